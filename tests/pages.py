"""Reading a page strictly: every element closed, every id once, every picture described, nothing fetched."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input", "source"}


@dataclass
class Page:
    """`outside`: everything that the page would fetch; `wrong`: everything that is not well-formed."""

    text: str = ""
    ids: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)  # #references
    outside: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)  # their descriptions
    tags: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.open = page, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        page, given = self.page, {name: value or "" for name, value in attrs}
        page.tags.append(tag)
        if len(given) != len(attrs):
            page.wrong.append(f"{tag}: an attribute twice")
        page.ids += [given["id"]] if "id" in given else []
        for name in ("href", "src", "xlink:href", "srcset", "action", "data", "poster"):
            target = given.get(name, "#")
            (page.inside if target.startswith("#") else page.outside).append(target)
            if target.startswith("data:image/"):
                page.outside.remove(target)
        if "url(" in given.get("style", "") + given.get("clip-path", "") + given.get("fill", ""):
            for part in " ".join(given.values()).split("url(")[1:]:
                (page.inside if part.startswith("#") else page.outside).append(part.split(")")[0])
        if tag == "img" or given.get("role") == "img":
            page.pictures.append(given.get("alt" if tag == "img" else "aria-label", ""))
        if tag == "svg" and given.get("role") != "img":
            page.wrong.append("a drawing without a role")
        page.wrong += [f"{name} is a script" for name in given if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.page.wrong.append(f"</{tag}> at line {self.getpos()[0]} closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.page.outside += [word for word in ("@import", "url(", "http") if word in data]
        else:
            self.page.text += data


def read_page(html: str) -> Page:
    """The page; its `wrong` is found empty, its pictures described, its ids single and its references met."""
    page = Page()
    reader = _Reader(page)
    reader.feed(html)
    reader.close()
    page.wrong += [f"<{tag}> stays open" for tag in reader.open]
    assert page.wrong == [] and page.outside == []
    assert len(set(page.ids)) == len(page.ids), sorted({one for one in page.ids if page.ids.count(one) > 1})
    assert {one[1:] for one in page.inside if one != "#"} <= set(page.ids)
    assert all(page.pictures), "every picture is described"
    assert html.startswith("<!DOCTYPE html>") and "script" not in page.tags
    return page
