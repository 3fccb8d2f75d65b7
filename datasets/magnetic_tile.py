"""Magnetic tile defects: 1,344 grey images of magnetic tiles, five kinds of defects with masks; one task.

There is no official split for anomaly detection. Here 80 % of the 952 images without defects (rounded down)
are for training, the others and all defective ones for testing; papers split in this proportion too, but draw
their own. Which images, the sha256 of the name and of ``split`` decides. Published numbers compare only
approximately.

There are 952 images without defects, and 115 blowholes, 85 breaks, 57 cracks, 32 frays and 103 uneven ones,
392 in all. The masks have grey edges: defective is what is above 127, not above 0, which would make cracks
1.48 times as large. The masks of four defective images are empty officially.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench import (
    DataError,
    InspectionSet,
    Listing,
    MissingData,
    NonNegativeInt,
    Sample,
    held_out,
    list_images,
)

GOOD = "MT_Free"
DEFECTS = ("blowhole", "break", "crack", "fray", "uneven")


class MagneticTile(InspectionSet):
    title = "Magnetic tile defects"
    licence = "not stated by the authors, who ask to be cited"
    citation = "Y. Huang, C. Qiu and K. Yuan, Surface defect saliency of magnetic tile, Vis. Comput. 36, 2020"
    home = "https://github.com/abin24/Magnetic-tile-defect-datasets."
    layout = (
        "magnetic_tile/MT_{Free,Blowhole,Break,Crack,Fray,Uneven}/Imgs/{<name>.jpg, <name>.png (the mask)}"
    )
    folders = ("magnetic_tile", "Magnetic-tile-defect-datasets", "Magnetic-tile-defect-datasets.-master")
    has_anomaly_pool = False
    categories = ("magnetic_tile",)
    expected: ClassVar = {"magnetic_tile": (761, 191, 392)}
    mask_above = 127
    known_empty_masks = ("exp3_num_45042", "exp4_num_124690", "exp4_num_352527", "exp4_num_45057")
    facts = (
        (
            "952 images without defects, 392 with one of five kinds",
            "the authors' repository",
            "official images",
        ),
        ("masks have values from 1 to 254 at edges; above 127 is defective", "the masks", "official images"),
        ("four masks of defective images are empty", "the masks", "official images"),
        ("761 train and 191 good test images, by a draw of our own", "the proportion of other papers", ""),
    )

    def __init__(self, split: NonNegativeInt = 0) -> None:
        self.split = split

    def holds(self, root: Path, category: str) -> bool:
        del category  # there is one
        return (root / GOOD).is_dir()

    def tasks(self) -> list[str]:
        if not (self.root / GOOD).is_dir():
            names = sorted(path.name for path in self.root.iterdir())
            raise MissingData(
                f"{self.root}: expected the folder {GOOD}, found {', '.join(names) or 'nothing'}; "
                f"expected {self.layout}; get it from {self.home}"
            )
        return list(self.categories)

    def listing(self, category: str) -> Listing:
        train, good = held_out(self._pictures(GOOD), self.split)
        test = [Sample(file, "good") for file in good]
        for kind in DEFECTS:
            folder = f"MT_{kind.capitalize()}"
            if not (self.root / folder).is_dir():
                raise DataError(f"{self.root}: expected the folder {folder}, which is missing; get it too")
            test += [Sample(file, kind, self._mask(file)) for file in self._pictures(folder)]
        return Listing(self.root, train, test).checked(category)

    def _pictures(self, folder: str) -> list[str]:
        return [file for file in list_images(self.root / folder, self.root) if file.endswith(".jpg")]

    def _mask(self, file: str) -> tuple[str, ...]:
        mask = Path(file).with_suffix(".png").as_posix()
        return (mask,) if (self.root / mask).is_file() else ()
