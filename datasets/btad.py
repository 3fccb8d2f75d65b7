"""BTAD: three industrial products (01, 02, 03) with body and surface defects, and masks."""

from __future__ import annotations

from typing import ClassVar

from bench.inspection import InspectionSet
from bench.listing import Listing, mvtec_listing


class BTAD(InspectionSet):
    title = "BTAD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "P. Mishra et al., VT-ADL: A Vision Transformer Network for Image Anomaly Detection and "
        "Localization, ISIE 2021"
    )
    home = "https://github.com/pankajmishra000/VT-ADL"
    layout = "btad/<product>/{train/ok, test/ok, test/ko, ground_truth/ko/<id>.png}"
    folders = ("btad", "BTAD", "BTech_Dataset_transformed")
    has_holdout = False
    categories = ("01", "02", "03")
    expected: ClassVar = {"01": (400, 21, 49), "02": (399, 30, 200), "03": (1000, 400, 41)}

    def listing(self, category: str) -> Listing:
        return mvtec_listing(self.root / category, train="train/ok", good="test/ok", suffix="")
