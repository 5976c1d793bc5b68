"""Charts show the numbers that they were given, in both forms, and leave nothing behind."""

import sys
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tltpy.report import charts, theme
from tltpy.report.charts import Point, Series
from tltpy.report.figure import render, short
from tltpy.report.picture import Picture, renamed


def rendered(figure: Any, name: str = "chart") -> Picture:
    return render(figure, name=name, title="title", caption="caption", alt="alt")


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_both_forms_of_a_chart() -> None:
    one = rendered(charts.lines([Series("a", [1, 2, 3], [3, 1, 2])], xlabel="epoch", ylabel="loss"))
    image = cv2.imdecode(np.frombuffer(one.data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None and image.shape[1] > image.shape[0] > 300 and image.std() > 5
    tree = ElementTree.fromstring(one.svg)
    assert tree.tag.endswith("svg") and set(tree.attrib) == {"viewBox"}
    written = " ".join("".join(text.itertext()) for text in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert "epoch" in written and "loss" in written, "text stays text"
    assert "var(--ink)" in one.svg and theme.INK not in one.svg, "the page has the colours"
    assert "http://www.w3.org/2000/svg" in one.svg and one.svg.count("http") == 1, "nothing is fetched"


def test_the_same_numbers_give_the_same_bytes() -> None:
    first, second = (rendered(charts.bars(["a", "b"], {"n": [1, 2]}, xlabel="x")) for _ in range(2))
    assert first == second


def test_two_charts_share_no_id() -> None:
    one = rendered(charts.lines([Series("a", [1], [2])], xlabel="x", ylabel="y"))
    two = renamed(one, "other")
    ids = [{element.attrib["id"] for element in ElementTree.fromstring(svg).iter() if "id" in element.attrib}
           for svg in (one.svg, two.svg)]  # fmt: skip
    assert ids[0] and not ids[0] & ids[1] and two.name == "other-chart"


@pytest.mark.parametrize("name", ["_hidden", "a$b$", "$\\frac{$", "<b>&", "x" * 200, "猫"])
def test_any_name_can_be_drawn(name: str) -> None:
    drawn = [
        charts.lines([Series(name, [0, 1], [0, 1])], xlabel=name, ylabel="y"),
        charts.bars([name, "b"], {name: [1, 2], "other": [3, 4]}, xlabel="n"),
        charts.matrix(np.array([[3, 1], [0, 2]]), [name, "b"], [name, "b"], xlabel="x", ylabel="y"),
        charts.tradeoff([Point(name, 1, 2), Point("b", 2, 3)], xlabel="x", ylabel="y"),
    ]
    for figure in drawn:
        assert any(short(name) in text for text in texts(figure))
        ElementTree.fromstring(rendered(figure).svg)


def test_lines_are_told_apart_without_colour() -> None:
    figure = charts.lines([Series(f"{i}", [0, 1], [i, i]) for i in range(8)], xlabel="x", ylabel="y", points=True)
    lines = figure.axes[0].lines
    assert len({(line.get_color()) for line in lines}) == 8
    looks = [(str(line.get_linestyle()), line.get_marker(), line.get_dash_capstyle()) for line in lines]
    assert len(set(looks)) == 8


def test_a_matrix_holds_its_counts_and_leaves_what_is_no_count_empty() -> None:
    figure = charts.matrix(np.array([[7, 0], [1234, -1]]), ["a", "b"], ["a", "b"], xlabel="x", ylabel="y")
    assert {"7", "0", "1,234"} <= set(texts(figure)) and "-1" not in texts(figure)
    big = charts.matrix(np.eye(60, dtype=int) * 9, [f"c{i}" for i in range(60)], ["c"] * 60, xlabel="x", ylabel="y")
    assert "9" not in texts(big), "too many to write"
    rendered(big)


def test_a_chart_of_very_many_things_is_no_drawing_of_vectors() -> None:
    noise = np.random.default_rng(0).random((80, 3000))
    crowd = [Series(f"{i}", np.arange(3000), row, quiet=i > 7) for i, row in enumerate(noise)]
    one = rendered(charts.lines(crowd, xlabel="x", ylabel="y"))
    assert one.svg == "" and len(one.data) < 400_000


def test_bars_are_as_long_as_their_numbers() -> None:
    figure = charts.bars(["a", "b"], {"training": [10, 2500], "validation": [1, 0]}, xlabel="objects")
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == [10, 2500, 1, 0] and "2,500" in texts(figure)


def test_the_front_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(0)
    points = [Point(str(i), float(x), float(y)) for i, (x, y) in enumerate(rng.integers(0, 9, (60, 2)))]
    front = charts.pareto(points)
    for one in points:
        beaten = any(p.x <= one.x and p.y >= one.y and (p.x, p.y) != (one.x, one.y) for p in points)
        assert (one in front) != beaten
    mirrored = charts.pareto([Point(p.label, p.x, -p.y) for p in points], higher_is_better=False)
    assert [p.label for p in mirrored] == [p.label for p in front]


def test_models_at_one_place_share_a_label() -> None:
    figure = charts.tradeoff([Point("a", 1, 2), Point("b", 1, 2), Point("c", 3, 1)], xlabel="x", ylabel="y")
    assert "a,\nb" in texts(figure)


def test_epochs_are_whole_numbers() -> None:
    figure = charts.lines([Series("", [1, 2], [1, 2])], xlabel="epoch", ylabel="y")
    rendered(figure)
    assert all(float(tick) == int(tick) for tick in figure.axes[0].get_xticks())


def test_pyplot_is_not_touched_and_settings_are_put_back() -> None:
    import matplotlib

    before, loaded = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    rendered(charts.lines([Series("a", [1], [2])], xlabel="x", ylabel="y"))
    assert dict(matplotlib.rcParams) == before and ("matplotlib.pyplot" in sys.modules) == loaded


def test_colours_stand_out_by_day_and_by_night() -> None:
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert len(theme.pairs()) == 20
    for name, colour, paper in theme.pairs():
        assert theme.contrast(colour, paper) >= (4.5 if name in ("ink", "quiet") else 3), (name, colour, paper)


def test_photographs_keep_to_their_bytes() -> None:
    from tltpy.report import photo

    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3)).astype(np.uint8)
    assert len(photo.encode(noise, 20_000)) <= 20_000
    assert len(photo.encode(noise, 3_000)) <= 3_000
    assert photo.scaled(noise, 0.5).shape == (150, 250, 3)
