"""Something to look at, and what to say of it."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Picture:
    """A chart or photographs. Neighbours with the same `title` belong together."""

    name: str  # of its file, without the suffix
    title: str
    caption: str  # how to read it, and what it is made of
    alt: str  # what it shows, for those who do not see it
    data: bytes
    suffix: str = ".png"
    svg: str = ""  # the same as vectors, where it is a chart; its colours are variables of report.theme
    group: str = ""  # said once of all neighbours that share the title
    about: str = "course"  # which part of a report it belongs to: course (of a training), predictions, data
    asked: bool = False  # the spec asks for this very picture: it lies among the results, too


def renamed(picture: Picture, prefix: str) -> Picture:
    """The same under another name, so that two of one kind stand on one page without sharing an id."""
    name = f"{prefix}-{picture.name}"
    svg = picture.svg.replace(f'id="{picture.name}-', f'id="{name}-').replace(f"#{picture.name}-", f"#{name}-")
    return replace(picture, name=name, svg=svg)
