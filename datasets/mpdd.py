"""MPDD: six kinds of painted metal parts, with masks; images vary in light, place and turn."""

from __future__ import annotations

from typing import ClassVar

from bench import InspectionSet


class MPDD(InspectionSet):
    title = "MPDD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "S. Jezek et al., Deep learning-based defect detection of metal parts: evaluating current methods in "
        "complex conditions, ICUMT 2021"
    )
    home = "https://github.com/stepanje/MPDD"
    layout = "mpdd/<category>/{train/good, test/good, test/<defect>, ground_truth/<defect>/<id>_mask.png}"
    folders = ("mpdd", "MPDD")
    has_anomaly_pool = False
    facts = (
        (
            "888 train, 176 good and 282 defective images of six kinds",
            "the archive's images",
            "official images",
        ),
    )
    categories = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")
    expected: ClassVar = {
        "bracket_black": (289, 32, 47),
        "bracket_brown": (185, 26, 51),
        "bracket_white": (110, 30, 30),
        "connector": (128, 30, 14),
        "metal_plate": (54, 26, 71),
        "tubes": (122, 32, 69),
    }
