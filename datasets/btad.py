"""BTAD: three industrial products (01, 02, 03) with body and surface defects, and masks.

The data's own readme and the literature differ in which of the folders 02 and 03 holds 399 and which 1,000
train images: it is as in the literature.
"""

from __future__ import annotations

from typing import ClassVar

from bench import Download, InspectionSet, Listing, mvtec_listing


class BTAD(InspectionSet):
    title = "BTAD"
    licence = "CC BY-SA (the data's readme; others say CC BY-NC-SA 4.0)"
    citation = (
        "P. Mishra et al., VT-ADL: A Vision Transformer Network for Image Anomaly Detection and "
        "Localization, ISIE 2021"
    )
    home = "https://github.com/pankajmishra000/VT-ADL"
    layout = "btad/<product>/{train/ok, test/ok, test/ko, ground_truth/ko/<id>.png}"
    folders = ("btad", "BTAD", "BTech_Dataset_transformed", "BTech")
    download = Download(
        url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
        sha256="461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
        folder="btad",
        gigabytes=3,
    )
    has_anomaly_pool = False
    categories = ("01", "02", "03")
    expected: ClassVar = {"01": (400, 21, 49), "02": (399, 30, 200), "03": (1000, 400, 41)}

    facts = (
        (
            "1,799 train, 451 good and 290 defective images",
            "the archive's list of 2,540 files",
            "official list",
        ),
        ("399 train images in 02, 1,000 in 03", "the archive's list of 2,540 files", "official list"),
    )

    def listing(self, category: str) -> Listing:
        return mvtec_listing(self.root / category, train="train/ok", good="test/ok", suffix="")
