"""A page is one well-formed file, whatever the texts in it."""

import pytest
from pages import read_page

from tltpy.report import charts, page
from tltpy.report.charts import Series
from tltpy.report.figure import render
from tltpy.report.picture import Picture, renamed

NASTY = "<b>\"quoted\" & 'single'</b><script>alert(1)</script></style>"


def chart(name: str = "loss", words: str = "loss") -> Picture:
    figure = charts.lines([Series(words, [1, 2], [2, 1])], xlabel=words, ylabel="y")
    return render(figure, name=name, title=words, caption=words, alt=words)


def photograph(number: int, words: str = "photographs") -> Picture:
    return Picture(f"photo_{number}", words, words, words, b"\xff\xd8\xff", ".jpg", group=words)


def whole(words: str) -> str:
    body = [
        page.tiles([(words, words, words)]),
        page.section(words, page.paragraph(words), page.facts({words: words}), page.listed([words], "warnings")),
        page.section("Tables", page.table([words, words], [[words, words], ["b", "2"]], words, best=[(0, 1)])),
        page.section("Pictures", page.pictures([chart(words=words), photograph(1, words), photograph(2, words)])),
        page.section("Code", page.code(words, words)),
    ]
    return page.page(words, words, body)


@pytest.mark.parametrize("words", ["plain words", NASTY, "a > b & c < d", "\N{SNOWMAN} \N{CAT FACE}", ""])
def test_any_text_is_text(words: str) -> None:
    html = whole(words)
    found = read_page(html)
    assert found.text.count(words) >= 12 if words else True
    assert "b" not in found.tags and len(found.pictures) == 3
    assert all(words in picture for picture in found.pictures)


def test_neighbours_of_one_title_form_a_group() -> None:
    shown = page.pictures([chart(), renamed(chart(), "again"), photograph(1), photograph(2), photograph(3)])
    assert shown.count('class="grid"') == 2 and shown.count("<figure") == 5
    assert shown.count("<h3>photographs</h3>") == 1
    found = read_page(page.page("t", "s", [shown]))
    assert "photographs, 3. photographs" in found.pictures, "each is described by itself"


def test_sections_are_listed_and_empty_ones_left_out() -> None:
    body = [page.section(name, page.paragraph("x")) for name in ("One", "Two", "And three")]
    html = page.page("t", "s", [*body, page.section("Empty", page.paragraph(""))])
    found = read_page(html)
    assert found.inside.count("#and-three") == 1 and "Empty" not in found.text


def test_it_fits_every_screen_and_both_modes() -> None:
    html = whole("x")
    assert 'name="viewport"' in html and "prefers-color-scheme:dark" in html and 'lang="en"' in html
    assert "@media print" in html and '<meta charset="utf-8">' in html
