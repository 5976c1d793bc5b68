"""Field path -> where it stands in the file. A path: dataset_config.data_sources[0].image_mean["b"]."""

import re

from tltpy.spec.tree import FILE, Position, quoted

_LAST = re.compile(r'(?:\.?[A-Za-z_]\w*|\[(?:"(?:[^"\\]|\\.)*"|[^\]"]*)\])$', re.DOTALL)


class Positions:
    """Of a scalar the position of its value; of a section, a map's entry or a whole repeated field that of its name."""

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}

    def note(self, path: str, position: Position) -> None:
        """The first position noted for a path stays."""
        self._positions.setdefault(path, position)

    def move(self, path: str, position: Position) -> None:
        """The last position given for a path stays."""
        self._positions[path] = position

    def find(self, path: str) -> Position | None:
        return self._positions.get(path)

    def nearest(self, path: str) -> Position:
        """That of the path or of its nearest ancestor in the file; FILE where there is none."""
        while path:
            position = self._positions.get(path)
            if position is not None:
                return position
            path = parent(path)
        return FILE


def parent(path: str) -> str:
    """a.b[0] -> a.b -> a -> "" """
    match = _LAST.search(path)
    return path[: match.start()] if match else ""


def child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def entry(path: str, key: str) -> str:
    """An entry of a map."""
    return f"{path}[{quoted(key)}]"
