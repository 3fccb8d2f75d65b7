"""A user's own images: ``folder[path=DIR]``, a folder in MVTec AD's layout or a CSV file.

::

    DIR/train/good/*, DIR/test/good/*, DIR/test/<defect>/*, DIR/ground_truth/<defect>/<name>_mask.png

The masks may be missing as a whole. ``DIR`` may also hold several such folders: a task each. A CSV file has
the columns ``path,split,label,mask``: paths absolute or relative to the file's folder; split ``train`` or
``test``; label ``good`` (or normal, ok, 0) or the defect's type; mask may be empty or left out. In a suite,
``path`` starts at the suite's file, else at the working directory.

A mask is defective where it is above ``mask_above``: 0, or 127 for masks with grey edges (of a JPEG, say).
An image that is in train and in test, or that has two labels, is refused, whatever its files are called.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bench import (
    DataError,
    InspectionSet,
    Listing,
    NonNegativeInt,
    csv_listing,
    mvtec_listing,
    on_disk,
    read_rows,
    subfolders,
)


class Folder(InspectionSet):
    title = "Pictures in a folder"
    layout = (
        "DIR/{train/good, test/good, test/<defect>, ground_truth/<defect>} or a CSV: path,split,label,mask"
    )
    has_anomaly_pool = False
    own_images = True
    paths = ("path",)

    def __init__(self, path: str, mask_above: NonNegativeInt = 0) -> None:
        self.path, self.mask_above = on_disk(Path(path).expanduser()), mask_above

    @cached_property
    def root(self) -> Path:
        if not self.path.exists():
            raise DataError(f"folder[path={self.path}] does not exist; expected {self.layout}")
        return self.path.resolve()

    @cached_property
    def _places(self) -> dict[str, Path]:
        """Folder of each task, or the one CSV file."""
        if self.root.is_file() or (self.root / "train").is_dir():
            return {self.root.stem: self.root}
        inside = {path.name: path for path in subfolders(self.root) if (path / "train").is_dir()}
        if not inside:
            raise DataError(
                f"{self.root}: neither it nor a folder in it holds train/; expected {self.layout}"
            )
        return inside

    def tasks(self) -> list[str]:
        return list(self._places)

    def listing(self, category: str) -> Listing:
        place = self._places[category]
        if place.is_dir():
            return mvtec_listing(place)
        rows = read_rows(place, ("path", "split", "label"))
        return csv_listing(place.parent, place, rows, image_column="path", what=place.name)
