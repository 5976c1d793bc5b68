"""The whole life of a detector by its executables."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from shapes import FAST, KEY, SPEC, Trained

from tltpy import artifact

Cli = Callable[..., Any]
ENV = {"TLT_KEY": KEY}
CONVERT = """kitti_config {{ root_directory_path: "{root}" image_dir_name: "image_2" label_dir_name: "label_2"
image_extension: ".png" partition_mode: "random" num_partitions: 2 val_split: 40 num_shards: 2 }}
image_directory_path: "{root}"
"""

def spec_of(path: Path, root: Path, records: Path, epochs: int) -> Path:
    """The experiment on TFRecords, of which fold 0 is the validation set."""
    text = SPEC.format(root=root, epochs=epochs, network=FAST, training="", period=epochs)
    first, last = text.index("data_sources {"), text.index("target_class_mapping")
    sources = f'data_sources {{ tfrecords_path: "{records}*" image_directory_path: "{root}" }}\n'
    text = text[:first] + sources + text[last:]
    path.write_text(text.replace("interval: 1", f"interval: {epochs}").replace("gpu: 4", "gpu: 2"))
    return path


def steps_of(model: Path) -> list[str]:
    return [entry["step"] for entry in artifact.load_model(model, KEY).metadata["lineage"]]


@pytest.mark.slow
def test_from_labels_to_drawings(cli: Cli, here: Cli, trained: Trained, tmp_path: Path) -> None:
    """Each executable runs in a process of its own the first time, and then in this one, which is faster."""
    root, out, record = tmp_path / "training", tmp_path / "out", tmp_path / "results.json"
    root.mkdir()
    (root / "image_2").symlink_to(trained.data / "images")
    (root / "label_2").symlink_to(trained.data / "labels")

    known: set[str] = set()

    def run(executable: str, *arguments: object) -> Any:
        runner = here if executable in known else cli
        known.add(executable)
        return runner(executable, *arguments, "-q", env=ENV, check=0)

    (tmp_path / "convert.txt").write_text(CONVERT.format(root=root))
    done = run("tlt-dataset-convert", "-d", tmp_path / "convert.txt", "-o", out / "tf/shapes")
    assert done.stdout.splitlines()[-1].split() == ["images", "4", "6", "10"]
    spec = spec_of(tmp_path / "spec.txt", root, out / "tf/shapes", 4)
    again = spec_of(tmp_path / "again.txt", root, out / "tf/shapes", 20)

    def evaluate(name: str, model: Path, *more: object) -> dict[str, Any]:
        arguments = ["-e", spec, "-m", model, "--record", record, "--as", name, "--json"]
        measured: dict[str, Any] = json.loads(run("tlt-evaluate", "yolo", *arguments, *more).stdout)
        return measured

    run("tlt-train", "yolo", "-e", spec, "-m", trained.model, "-r", out / "trained")
    model, pruned = out / "trained/weights/yolo_resnet10_best.tlt", out / "pruned.tlt"
    assert evaluate("float", model)["metric"]["mAP"] > 0.4 and steps_of(model) == ["train"]

    table = run("tlt-prune", "-m", model, "-o", pruned, "--target-params", 0.5).stdout
    assert "remaining 0.4" in table and steps_of(pruned) == ["train", "prune"]
    run("tlt-train", "yolo", "-e", again, "-m", pruned, "-r", out / "retrained")
    retrained = out / "retrained/weights/yolo_resnet10_best.tlt"
    wanted = evaluate("retrained", retrained)
    assert wanted["metric"]["mAP"] > 0.1 and steps_of(retrained) == ["train", "prune", "train"]

    graph = out / "yolo.etlt"
    run("tlt-export", "yolo", "-e", again, "-m", retrained, "-o", graph)
    lineage = artifact.load_graph(graph, KEY).metadata["lineage"]
    assert [entry["step"] for entry in lineage] == ["train", "prune", "train", "export"]
    engines = {"engine_fp32": ["-e", out / "yolo.engine"], "engine_fp16": ["-t", "fp16", "-e", out / "half.engine"]}
    if find_spec("openvino"):
        engines["engine_openvino"] = ["--backend", "openvino", "-e", out / "yolo.xml"]
    for name, flags in engines.items():
        run("tlt-convert", *flags, graph)
        found = evaluate(name, Path(str(flags[-1])), *(["--align", retrained] if name == "engine_fp32" else []))
        assert found["metric"]["mAP"] == pytest.approx(wanted["metric"]["mAP"], abs=0.002)

    run("tlt-infer", "yolo", "-e", spec, "-m", out / "yolo.engine", "-i", root / "image_2", "-r", out / "seen")
    labels = sorted((out / "seen/labels").iterdir())
    rows = [row.split() for path in labels for row in path.read_text().splitlines()]
    assert len(labels) == 10 and len(rows) >= 10 and {len(row) for row in rows} == {16}
    assert len(list((out / "seen/images_annotated").glob("*.png"))) == 10

    results = json.loads(record.read_text())
    names = ["float", "retrained", *engines]
    assert [row["name"] for row in results["rows"]] == names
    assert results["rows"][1]["params"] < 0.5 * results["rows"][0]["params"]
    assert results["align"]["metric_difference"] <= 0.002
    table = run("tlt-evaluate", "yolo", "--table", record).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["model", *names]
    assert not list(tmp_path.rglob("*.part"))


KITTI = """
random_seed: 42
dataset_config {{
  data_sources {{ tfrecords_path: "{records}*" image_directory_path: "{root}" }}
  target_class_mapping {{ key: "car" value: "car" }} target_class_mapping {{ key: "van" value: "car" }}
  target_class_mapping {{ key: "pedestrian" value: "pedestrian" }}
  target_class_mapping {{ key: "cyclist" value: "cyclist" }}
}}
yolo_config {{
  arch: "resnet" nlayers: 18 arch_conv_blocks: 0 loss_loc_weight: 0.75 loss_neg_obj_weights: 200.0
  big_anchor_shape: "[(22.99, 12.13), (31.81, 22.92), (59.52, 35.28)]"
  mid_anchor_shape: "[(8.60, 6.38), (15.91, 6.35), (11.36, 11.39)]"
  small_anchor_shape: "[(3.12, 2.78), (6.05, 4.05), (4.13, 9.93)]"
}}
augmentation_config {{ preprocessing {{ output_image_width: 256 output_image_height: 96 crop_right: 1248
  crop_bottom: 384 }} spatial_augmentation {{ hflip_probability: 0.5 zoom_min: 0.7 zoom_max: 1.8 }} }}
training_config {{ batch_size_per_gpu: 4 num_epochs: 1 visualizer {{ enabled: false }} n_workers: 1
  regularizer {{ type: L1 weight: 3e-5 }} learning_rate {{ soft_start_annealing_schedule {{ min_learning_rate: 5e-5
  max_learning_rate: 2e-2 soft_start: 0.15 annealing: 0.8 }} }} }}
eval_config {{ batch_size: 3 average_precision_mode: SAMPLE }}
nms_config {{ confidence_threshold: 0.01 clustering_iou_threshold: 0.6 top_k: 50 }}
"""


@pytest.mark.slow
def test_every_step_runs_on_kitti(here: Cli, shared: Path, tmp_path: Path) -> None:
    """The seed's experiment, scaled down; in one process, the order of things was shown above."""
    root, out = shared / "data/kitti_object/training", tmp_path / "out"
    records, spec = tmp_path / "tf/kitti", tmp_path / "spec.txt"

    def run(executable: str, *arguments: object) -> Any:
        return here(executable, *arguments, "-q", "--json", env=ENV, check=0)

    (tmp_path / "convert.txt").write_text(CONVERT.format(root=root))
    counts = json.loads(run("tlt-dataset-convert", "-d", tmp_path / "convert.txt", "-o", records).stdout)
    assert counts["images"] == 13 and counts["objects"]["car"] > 13 and counts["objects"]["pedestrian"] > 0
    spec.write_text(KITTI.format(root=root, records=records))
    first = json.loads(run("tlt-train", "yolo", "-e", spec, "-r", out / "one").stdout)
    assert 0 < first["last_epoch"]["loss"] < float("inf")
    run("tlt-prune", "-m", first["last"].replace("last", "epoch_001"), "-o", out / "p.tlt", "--target-flops", 0.6)
    second = json.loads(run("tlt-train", "yolo", "-e", spec, "-m", out / "p.tlt", "-r", out / "two").stdout)
    model = second["best"]
    metric = json.loads(run("tlt-evaluate", "yolo", "-e", spec, "-m", model).stdout)["metric"]
    assert set(metric["AP"]) == {"car", "pedestrian", "cyclist"} and metric["truths"]["car"] > 0
    flags = ["-e", spec, "-m", model, "-i", root / "image_2", "-r", out / "r"]
    found = json.loads(run("tlt-infer", "yolo", *flags).stdout)
    assert found["pictures"] == 13 and len(list((out / "r/labels").iterdir())) == 13
