"""Pictures to run a network on: no labels."""

from pathlib import Path

from tltpy.data import images
from tltpy.detection.frames import list_files
from tltpy.detection.records import DetectionRecord, make_record
from tltpy.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png")


def find(path: str | Path) -> list[DetectionRecord]:
    """A picture, or the pictures of a folder sorted by name, with the stems as ids; DataError where there is none."""
    path = Path(path)
    if path.is_dir():
        names = list_files(path, EXTENSIONS)
        if not names:
            raise DataError(f"{path}: no picture in the folder", "pictures end in " + ", ".join(EXTENSIONS))
        return [_record(path / name) for name in names]
    if not path.exists():
        raise DataError(f"{path}: no such picture or folder")
    return [_record(path)]


def _record(path: Path) -> DetectionRecord:
    return make_record(id=path.stem, image_path=path, size_hw=images.read_size(path))
