"""Pictures and boxes stay together on their way into the network, and boxes find their way back."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tltpy.data.images import DEEPER
from tltpy.data.loader import Draw
from tltpy.detection.records import DetectionRecord, make_record
from tltpy.tasks.yolo import data, records
from tltpy.tasks.yolo.decode import decode, yxhw_to_xyxy
from tltpy.tasks.yolo.settings import Settings, settings

WIDTH, HEIGHT = 160, 96  # of the small experiment
SIZES_HW = [(75, 131), (130, 61), (300, 507)]
CROP = {"left": 0.11, "top": 0.07, "right": 0.9, "bottom": 0.95}


def painted(size_hw: tuple[int, int], shares: Sequence[float] = (0.3, 0.2, 0.62, 0.8)) -> DetectionRecord:
    """A white rectangle on black, and its box; `shares` of the size: x1 y1 x2 y2."""
    height, width = size_hw
    x1, y1, x2, y2 = np.rint(np.array(shares) * [width, height, width, height]).astype(int).tolist()
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return make_record(id="a", size_hw=size_hw, class_names=["car"], boxes_xyxy=[[x1, y1, x2, y2]], pixels=image)


def noisy(size_hw: tuple[int, int], names: Sequence[str] = (), boxes: Any = (), **more: Any) -> DetectionRecord:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.uint8)
    pixels = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return make_record(id="b", size_hw=size_hw, class_names=names, boxes_xyxy=boxes, pixels=pixels, **more)


def boxes_of(sample: dict[str, Any]) -> np.ndarray:
    """x1 y1 x2 y2 in pixels of the network's input."""
    shares: np.ndarray = yxhw_to_xyxy(sample["boxes_yxhw"]).numpy()
    return shares * [WIDTH, HEIGHT, WIDTH, HEIGHT]


def bright(sample: dict[str, Any]) -> np.ndarray:
    """bool [H, W]: where the painted rectangle is; the mean in the margin is darker."""
    lit: np.ndarray = sample["image"].numpy().min(axis=0) > 190
    return lit


def bounds(mask: np.ndarray) -> list[float]:
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def crop_to(cfg: Any, **sides: int) -> Settings:
    for side, value in sides.items():
        setattr(cfg.augmentation_config.preprocessing, f"crop_{side}", value)
    return settings(cfg)


def plan_of(cfg: Any, form: str, size_hw: tuple[int, int]) -> Settings:
    augmentation = cfg.augmentation_config
    augmentation.ClearField("color_augmentation")
    if form.startswith("TLT2"):
        augmentation.spatial_augmentation.rotate_rad_max = 0.1 if "rotated" in form else 0.0
        if "cropped" not in form:
            return settings(cfg)
        sides = {name: round(share * size_hw[name in ("left", "right")]) for name, share in CROP.items()}
        return crop_to(cfg, **sides)
    augmentation.Clear()
    augmentation.output_width, augmentation.output_height = WIDTH, HEIGHT
    augmentation.horizontal_flip, augmentation.vertical_flip = 0.5, 0.5
    augmentation.jitter = 0.3 if "jittered" in form else 0.0
    return settings(cfg)


FORMS = ["TLT2", "TLT2 rotated", "TLT2 cropped", "TLT2 cropped rotated", "TLT3", "TLT3 jittered"]


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("form", FORMS)
def test_box_bounds_the_object_it_was_drawn_for(form: str, size_hw: tuple[int, int], yolo_cfg: Any) -> None:
    plan, record = plan_of(yolo_cfg, form, size_hw), painted(size_hw)
    near = 2.5 if "rotated" in form else 1.2  # the tip of a turned rectangle is too thin to be seen
    seen = set()
    for seed in range(40):
        sample = data.sample(record, plan, Draw(np.random.default_rng(seed)))
        assert sample["image"].shape == (3, HEIGHT, WIDTH)
        assert bounds(bright(sample)) == pytest.approx(boxes_of(sample)[0], abs=near), seed
        seen.add(tuple(np.sign(np.diagonal(sample["matrix"].numpy()[:, :2]))))
    assert len(seen) == 4  # each of the flips came up


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("form", ["TLT2 cropped", "TLT3"])
def test_box_bounds_the_object_in_evaluation(form: str, size_hw: tuple[int, int], yolo_cfg: Any) -> None:
    plan = plan_of(yolo_cfg, form, size_hw)
    sample = data.sample(painted(size_hw), plan, None)
    assert bounds(bright(sample)) == pytest.approx(boxes_of(sample)[0], abs=1)


def test_jitter_moves_the_picture_both_ways(yolo_cfg: Any) -> None:
    plan = plan_of(yolo_cfg, "TLT3 jittered", (75, 131))
    still = abs(float(data.sample(painted((75, 131)), plan, None)["matrix"][0, 0]))
    zooms = [
        abs(float(data.sample(painted((75, 131)), plan, Draw(np.random.default_rng(seed)))["matrix"][0, 0])) / still
        for seed in range(60)
    ]
    assert min(zooms) < 0.85 and max(zooms) > 1.1


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_jitter_leaves_a_fifth_of_each_side(amount: float, yolo_cfg: Any) -> None:
    plan = replace(plan_of(yolo_cfg, "TLT3 jittered", (75, 131)), jitter=amount)
    regions = np.array([data._jittered((0, 0, 131, 75), plan, np.random.default_rng(seed)) for seed in range(300)])
    shares = (regions[:, 2:] - regions[:, :2]) / (131, 75)
    assert shares.min() >= max(0.2, 1 - 2 * amount) - 1e-6 and shares.max() <= 1 + 2 * amount
    assert shares.max() > 1 + amount and shares.min() < 0.55
    assert np.sign(regions[:, 0]).std() > 0.5  # both ways


def test_an_object_cut_by_the_crop_is_cut_in_the_labels_and_one_outside_is_left_out(yolo_cfg: Any) -> None:
    plan = crop_to(yolo_cfg, left=20, top=10, right=90, bottom=60)
    boxes = [[10, 5, 50, 40], [0, 0, 20, 70], [91, 20, 99, 30], [30, 20, 60, 50], [19, 20, 20.5, 40]]
    record = noisy((75, 131), ["car"] * 5, boxes)
    sample = data.sample(record, plan, None)
    assert sample["truth"].boxes_xyxy.tolist() == [[20, 10, 50, 40], [30, 20, 60, 50]]


@pytest.mark.parametrize("form", ["letterbox", "random"])
def test_what_the_crop_leaves_out_is_not_seen(form: str, yolo_cfg: Any) -> None:
    """The objects there have no labels: in the margin they would be taught to be background."""
    yolo_cfg.augmentation_config.spatial_augmentation.zoom_min = 0.6
    yolo_cfg.augmentation_config.ClearField("color_augmentation")
    plan = crop_to(yolo_cfg, left=50, top=10, right=90, bottom=60)
    image = np.full((75, 131, 3), 255, np.uint8)
    image[10:60, 50:90] = 0
    record = make_record(id="c", size_hw=(75, 131), pixels=image)
    for seed in range(10):
        sample = data.sample(record, plan, Draw(np.random.default_rng(seed)) if form == "random" else None)
        assert not bright(sample).any()


def test_a_crop_beyond_the_picture_is_the_whole_picture(yolo_cfg: Any) -> None:
    record = noisy((375, 1242), ["car"], [[100, 50, 400, 300]])
    whole = data.sample(record, settings(yolo_cfg), None)
    cropped = data.sample(record, crop_to(yolo_cfg, right=1248, bottom=384), None)
    assert all(torch.equal(whole[key], cropped[key]) for key in ("image", "boxes_yxhw", "matrix"))


@pytest.mark.parametrize(
    ("crop", "region"),
    [
        ((0, 0, 0, 0), (0, 0, 131, 75)),
        ((10, 20, 100, 70), (10, 20, 100, 70)),
        ((0, 0, 0, 40), (0, 0, 131, 40)),
        ((10, 0, 1000, 0), (10, 0, 131, 75)),
        ((500, 400, 600, 500), (130, 74, 131, 75)),
        ((7, 8, 7, 8), (7, 8, 8, 9)),
    ],
)
def test_crop_region(crop: tuple[int, ...], region: tuple[int, ...], yolo_cfg: Any) -> None:
    plan = crop_to(yolo_cfg, left=crop[0], top=crop[1], right=crop[2], bottom=crop[3])
    assert data.crop_region((75, 131), plan) == region
    assert data.sample(noisy((75, 131)), plan, None)["image"].shape == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize(("crop", "scale"), [(False, 0.0), (True, 0.0), (False, 1.7), (True, 1.7)])
def test_decode_leads_back_to_the_stored_picture(crop: bool, scale: float, yolo_cfg: Any) -> None:
    yolo_cfg.augmentation_config.preprocessing.scale_width = scale
    plan = crop_to(yolo_cfg, left=5, top=4, right=120, bottom=70) if crop else settings(yolo_cfg)
    records = [
        noisy((75, 131), ["car", "cyclist"], [[12.5, 9, 80, 60], [100, 30, 117.25, 69]]),
        noisy((130, 61), ["cyclist"], [[6, 5, 58, 68]]),
        noisy((333, 520), ["cyclist", "car"], [[7, 8, 30, 40], [50, 40, 110, 66]]),
    ]
    batch = data.collate([data.sample(record, plan, None) for record in records])
    number = torch.tensor([[2], [1], [2]], dtype=torch.int32)
    outputs = {
        "BatchedNMS": number,
        "BatchedNMS_1": yxhw_to_xyxy(batch["boxes_yxhw"]),
        "BatchedNMS_2": torch.tensor([[0.9, 0.8], [0.7, 0.0], [0.6, 0.5]]),
        "BatchedNMS_3": batch["labels"].clamp(min=0).float(),
    }
    found = decode(outputs, batch, plan.input_hw)
    for one, truth, record in zip(found, batch["truth"], records, strict=True):
        assert one.boxes_xyxy == pytest.approx(record.boxes_xyxy, abs=0.01)
        assert one.labels.tolist() == truth.labels.tolist()
    assert [one.scores.tolist() for one in found] == [pytest.approx(row) for row in ([0.9, 0.8], [0.7], [0.6, 0.5])]


def test_decoded_boxes_end_at_the_edge_of_the_picture(yolo_cfg: Any) -> None:
    batch = data.collate([data.sample(noisy(size), settings(yolo_cfg), None) for size in ((75, 131), (130, 61))])
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(2, 1, 4)
    ones = torch.ones(2, 1)
    outputs = {"BatchedNMS": ones.int(), "BatchedNMS_1": whole, "BatchedNMS_2": ones, "BatchedNMS_3": ones}
    first, second = decode(outputs, batch, (HEIGHT, WIDTH))
    assert first.boxes_xyxy[0] == pytest.approx([0, 0, 131, 75], abs=1e-4)
    assert second.boxes_xyxy[0] == pytest.approx([0, 0, 61, 130], abs=1e-4)


def test_scale_stretches_the_picture(yolo_cfg: Any) -> None:
    yolo_cfg.augmentation_config.preprocessing.scale_height = 0.5
    matrix = data.sample(noisy((75, 131)), settings(yolo_cfg), None)["matrix"].numpy()
    assert matrix[1, 1] / matrix[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_the_picture_fills_the_input_from_edge_to_edge(scale: float, yolo_cfg: Any) -> None:
    pre = yolo_cfg.augmentation_config.preprocessing
    pre.scale_width = pre.scale_height = scale
    for left in (0, 40):
        matrix = data.sample(noisy((30, 120)), crop_to(yolo_cfg, left=left, right=120, bottom=30), None)["matrix"]
        edges = torch.tensor([left - 0.5, 119.5])  # of the cropped picture, whose margins are above and below
        assert (matrix[0, 0] * edges + matrix[0, 2]).tolist() == pytest.approx([-0.5, WIDTH - 0.5], abs=1e-4)


def test_evaluation_is_the_letterbox_alone(yolo_cfg: Any) -> None:
    record = noisy((75, 131), ["car"], [[12, 9, 80, 60]])
    varied = data.sample(record, settings(yolo_cfg), None)
    yolo_cfg.augmentation_config.ClearField("color_augmentation")
    yolo_cfg.augmentation_config.ClearField("spatial_augmentation")
    plain = data.sample(record, settings(yolo_cfg), None)
    trained = data.sample(record, settings(yolo_cfg), Draw(np.random.default_rng(0)))
    for other in (plain, trained):
        assert all(torch.equal(varied[key], other[key]) for key in ("image", "boxes_yxhw", "labels", "matrix"))
    scale = min(WIDTH / 131, HEIGHT / 75)
    assert varied["matrix"].numpy()[:, :2] == pytest.approx(np.eye(2) * scale)


@pytest.mark.parametrize("form", ["TLT2", "TLT3"])
def test_colours_vary_in_training_and_leave_the_boxes(form: str, yolo_cfg: Any) -> None:
    still = plan_of(yolo_cfg, form, (75, 131))
    if form == "TLT2":
        yolo_cfg.augmentation_config.color_augmentation.contrast_scale_max = 0.5
    else:
        yolo_cfg.augmentation_config.exposure = 1.5
    plan, record = settings(yolo_cfg), noisy((75, 131), ["car"], [[12, 9, 80, 60]])
    first, second = (data.sample(record, one, Draw(np.random.default_rng(4))) for one in (still, plan))
    assert torch.equal(first["boxes_yxhw"], second["boxes_yxhw"]) and torch.equal(first["matrix"], second["matrix"])
    assert not torch.equal(first["image"], second["image"])


@pytest.mark.parametrize("included", [True, False])
def test_difficult_objects_are_trained_on_as_the_spec_says_and_always_evaluated(included: bool, yolo_cfg: Any) -> None:
    yolo_cfg.dataset_config.include_difficult_in_training = included
    yolo_cfg.augmentation_config.ClearField("spatial_augmentation")
    record = noisy((75, 131), ["car", "cyclist"], [[12, 9, 80, 60], [90, 10, 120, 50]], occlusion=[2, 0])
    trained = data.sample(record, settings(yolo_cfg), Draw(np.random.default_rng(0)))
    evaluated = data.sample(record, settings(yolo_cfg), None)
    assert trained["labels"].tolist() == ([0, 1] if included else [1])
    assert len(trained["boxes_yxhw"]) == len(trained["labels"])
    assert evaluated["labels"].tolist() == [0, 1] and evaluated["truth"].difficult.tolist() == [True, False]


def test_boxes_below_the_least_size_are_not_trained_on(yolo_cfg: Any) -> None:
    pre = yolo_cfg.augmentation_config.preprocessing
    pre.min_bbox_width, pre.min_bbox_height = 20, 12
    yolo_cfg.augmentation_config.ClearField("spatial_augmentation")
    scale = min(WIDTH / 131, HEIGHT / 75)
    wide, high = 20 / scale, 12 / scale  # in pixels of the stored picture
    sizes = [(wide + 0.1, high + 0.1), (wide - 0.1, high + 9), (wide + 9, high - 0.1)]
    record = noisy((75, 131), ["car", "cyclist", "van"], [[10, 9, 10 + w, 9 + h] for w, h in sizes])
    assert data.sample(record, settings(yolo_cfg), Draw(np.random.default_rng(0)))["labels"].tolist() == [0]
    assert data.sample(record, settings(yolo_cfg), None)["labels"].tolist() == [0, 1, 0]


def test_objects_moved_out_of_the_picture_are_not_trained_on(yolo_cfg: Any) -> None:
    spatial = yolo_cfg.augmentation_config.spatial_augmentation
    spatial.zoom_min = spatial.zoom_max = 3
    record = noisy((75, 131), ["car", "cyclist"], [[0, 0, 20, 15], [110, 60, 131, 75]])
    plan = settings(yolo_cfg)
    counts = set()
    for seed in range(20):
        sample = data.sample(record, plan, Draw(np.random.default_rng(seed)))
        counts.add(len(sample["labels"]))
        boxes = boxes_of(sample)
        assert (boxes >= -1e-3).all() and (boxes <= np.array([WIDTH, HEIGHT] * 2) + 1e-3).all()
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all() and len(sample["truth"].labels) == 2
    assert 0 in counts


def test_a_grey_network_sees_the_luminance(yolo_cfg: Any) -> None:
    yolo_cfg.augmentation_config.preprocessing.output_image_channel = 1
    yolo_cfg.augmentation_config.ClearField("color_augmentation")
    plan = settings(yolo_cfg)
    colour = np.full((75, 131, 3), (200, 100, 50), np.uint8)
    record = make_record(id="d", size_hw=(75, 131), pixels=colour)
    for draw in (None, Draw(np.random.default_rng(2))):
        image = data.sample(record, plan, draw)["image"]
        assert image.shape == (1, HEIGHT, WIDTH)
        assert image[0, HEIGHT // 2, WIDTH // 2] == round(0.114 * 200 + 0.587 * 100 + 0.299 * 50)
    batch = data.collate([data.sample(record, plan, None)] * 2)
    value = data.inputs(batch, plan)["Input"]
    assert value.shape == (2, 1, HEIGHT, WIDTH) and float(value[1, 0, 48, 80]) == pytest.approx(96 - 117.3786, abs=1e-3)


@pytest.mark.parametrize("form", ["TLT2", "TLT3"])
def test_the_input_size_is_varied_by_the_step(form: str, yolo_cfg: Any) -> None:
    augmentation = plan_of(yolo_cfg, form, (75, 131)) and yolo_cfg.augmentation_config
    augmentation.randomize_input_shape_period = 2
    plan = settings(yolo_cfg)
    record = painted((75, 131))

    def size(step: int, example: int) -> tuple[int, int]:
        found = data.sample(record, plan, Draw(np.random.default_rng(example), 7, 0, step))
        height, width = found["image"].shape[1:]
        limits = found["boxes_yxhw"].numpy()
        assert ((limits >= 0) & (limits <= 1)).all()
        return height, width

    sizes = [size(step, step) for step in range(80)]
    assert sizes == [size(step // 2 * 2 + 1, 3) for step in range(80)]  # alike for two steps and every example
    heights, widths = ({size[axis] for size in sizes} for axis in (0, 1))
    # 0.6 to 1.5 times 96 x 160, in cells of 32: 2 .. 4 (4.5 rounds to even) and 3 .. 8 (7.5)
    assert heights == {64, 96, 128} and widths == {96, 128, 160, 192, 224, 256}
    assert len(set(sizes)) > 10  # height and width are drawn each on its own
    assert data.sample(record, plan, None)["image"].shape == (3, HEIGHT, WIDTH)


def test_boxes_follow_a_varied_size(yolo_cfg: Any) -> None:
    yolo_cfg.augmentation_config.Clear()
    yolo_cfg.augmentation_config.output_width, yolo_cfg.augmentation_config.output_height = WIDTH, HEIGHT
    yolo_cfg.augmentation_config.randomize_input_shape_period = 1
    plan = settings(yolo_cfg)
    for step in range(12):
        sample = data.sample(painted((75, 131)), plan, Draw(np.random.default_rng(0), 1, 0, step))
        height, width = sample["image"].shape[1:]
        box = yxhw_to_xyxy(sample["boxes_yxhw"]).numpy()[0] * [width, height, width, height]
        assert np.abs(box - bounds(bright(sample))).max() < 1.6


def deep(cfg: Any, **more: Any) -> Settings:
    cfg.augmentation_config.Clear()
    cfg.augmentation_config.output_width, cfg.augmentation_config.output_height = WIDTH, HEIGHT
    cfg.augmentation_config.output_channel, cfg.augmentation_config.output_depth = 1, 16
    for name, value in more.items():
        setattr(cfg.augmentation_config, name, value)
    return settings(cfg)


def test_sixteen_bits_reach_the_network(yolo_cfg: Any, tmp_path: Path) -> None:
    pixels = (np.arange(75 * 131).reshape(75, 131) * 6).astype(np.uint16)  # 58944 of 65536 levels
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels)
    plan = deep(yolo_cfg)
    (record,) = records.read(yolo_cfg, tmp_path)
    sample = data.sample(record, plan, None)
    assert sample["image"].dtype == torch.int32 and sample["image"].shape == (1, HEIGHT, WIDTH)
    assert len(sample["image"].unique()) > 1000  # 8 bits would leave 256
    height, width = HEIGHT // 2, WIDTH // 2
    (x, y) = np.linalg.inv(np.vstack([sample["matrix"].numpy(), [0, 0, 1]]))[:2] @ [width, height, 1]
    assert int(sample["image"][0, height, width]) == pytest.approx(6 * (131 * y + x), abs=200)
    batch = data.collate([sample] * 2)
    value = data.inputs(batch, plan)["Input"]
    level = int(sample["image"][0, height, width])
    assert float(value[1, 0, height, width]) == pytest.approx(level - 117.3786 * 256, abs=1)
    margin = float(value[0, 0, 0, 0])
    assert abs(margin) < 1  # the mean


def test_eight_bits_are_spread_in_a_sixteen_bit_experiment(yolo_cfg: Any, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full((75, 131), 255, np.uint8))
    deep(yolo_cfg)
    (record,) = records.read(yolo_cfg, tmp_path)
    assert record.image().dtype == np.uint16 and (record.image() == 255 * DEEPER).all()


def test_exposure_and_contrast_reach_a_grey_picture(yolo_cfg: Any) -> None:
    grey = make_record(id="d", size_hw=(75, 131), pixels=np.full((75, 131, 1), 20000, np.uint16))
    plan = deep(yolo_cfg, exposure=1.5)
    seen = [int(data.sample(grey, plan, Draw(np.random.default_rng(seed)))["image"][0, 48, 80]) for seed in range(40)]
    assert 13300 <= min(seen) < 15000 and 27000 < max(seen) <= 30000
    yolo_cfg.augmentation_config.Clear()
    pre, color = yolo_cfg.augmentation_config.preprocessing, yolo_cfg.augmentation_config.color_augmentation
    pre.output_image_width, pre.output_image_height, pre.output_image_channel = WIDTH, HEIGHT, 1
    color.contrast_scale_max = 0.4
    plan = settings(yolo_cfg)
    grey = replace(grey, pixels=np.full((75, 131, 3), 200, np.uint8))
    seen = [int(data.sample(grey, plan, Draw(np.random.default_rng(seed)))["image"][0, 48, 80]) for seed in range(40)]
    # 200 + c * (200 - 127.5), |c| <= 0.4
    assert 171 <= min(seen) < 190 and 210 < max(seen) <= 229


def test_is_monochrome_asks_for_one_channel(yolo_cfg: Any) -> None:
    yolo_cfg.dataset_config.is_monochrome = True
    assert settings(yolo_cfg).channels == 1
    yolo_cfg.augmentation_config.preprocessing.output_image_channel = 3
    assert settings(yolo_cfg).channels == 3  # which the check refuses


@pytest.mark.parametrize("given", [{}, {"b": 20.0, "g": 30.25, "r": 40.0}])
def test_mean_fills_the_margin_and_is_taken_off(given: dict[str, float], yolo_cfg: Any) -> None:
    yolo_cfg.augmentation_config.image_mean.update(given)
    plan = settings(yolo_cfg)
    mean = [given[key] for key in "bgr"] if given else [103.939, 116.779, 123.68]
    assert plan.mean == pytest.approx(mean)
    batch = data.collate([data.sample(noisy((40, 131)), plan, None), data.sample(noisy((50, 131)), plan, None)])
    value = data.inputs(batch, plan)["Input"]
    margin = value[:, :, :5]  # above a wide picture
    assert margin.abs().max() <= 0.5 + 1e-3
    image = batch["image"][0, :, HEIGHT // 2, WIDTH // 3].float()
    assert value[0, :, HEIGHT // 2, WIDTH // 3].tolist() == pytest.approx(
        (image - torch.tensor(mean)).tolist(), abs=1e-3
    )
    assert batch["image"].dtype == torch.uint8 and value.dtype == torch.float32


def test_unmapped_classes_are_dropped_and_mapped_ones_get_the_ids_of_the_sorted_classes(yolo_cfg: Any) -> None:
    names = ["dontcare", "Person Sitting", "van", "tram", "cyclist"]
    record = noisy((75, 131), names, [[10 + 20 * place, 9, 25 + 20 * place, 60] for place in range(5)])
    plan = settings(yolo_cfg)
    sample = data.sample(record, plan, None)
    assert plan.classes == ("car", "cyclist", "pedestrian")
    assert sample["labels"].tolist() == [2, 0, 1] and sample["truth"].boxes_xyxy[:, 0].tolist() == [30, 50, 90]


def test_a_picture_without_objects_and_one_with_two_make_a_batch(yolo_cfg: Any) -> None:
    plan = settings(yolo_cfg)
    for draw in (None, Draw(np.random.default_rng(5))):
        nothing = data.sample(noisy((130, 61)), plan, draw)
        assert nothing["boxes_yxhw"].shape == (0, 4) and nothing["labels"].shape == (0,)
        assert nothing["boxes_yxhw"].dtype == torch.float32 and nothing["labels"].dtype == torch.int64
        assert data.collate([nothing, nothing])["labels"].shape == (2, 0)
    two = data.sample(noisy((75, 131), ["car", "cyclist"], [[12, 9, 80, 60], [90, 10, 120, 50]]), plan, None)
    batch = data.collate([data.sample(noisy((130, 61)), plan, None), two])
    assert batch["boxes_yxhw"].shape == (2, 2, 4) and batch["labels"].tolist() == [[-1, -1], [0, 1]]
    assert batch["size_hw"].tolist() == [[130, 61], [75, 131]] and len(batch["truth"]) == 2
    assert torch.equal(batch["boxes_yxhw"][1], two["boxes_yxhw"])


def test_boxes_are_centre_and_size_in_the_order_y_x_h_w(yolo_cfg: Any) -> None:
    record = noisy((HEIGHT, WIDTH), ["car"], [[16, 24, 48, 72]])
    sample = data.sample(record, settings(yolo_cfg), None)
    assert sample["boxes_yxhw"].tolist() == [pytest.approx([0.5, 0.2, 0.5, 0.2])]
    assert torch.equal(sample["image"].permute(1, 2, 0), torch.from_numpy(record.image()))
