"""MVTec AD 2: eight scenes under changing light, from cans to walnuts; its public test set, with masks.

The private test sets (``test_private``, ``test_private_mixed``) have no published labels: their scores come
from MVTec's own server, and they are no tasks here. Published numbers on them do not compare with these. All
anomalies of a category have the type ``bad``. The validation images are not used.
"""

from __future__ import annotations

from typing import ClassVar

from bench import Download, InspectionSet, Listing, mvtec_listing


class MVTecAD2(InspectionSet):
    title = "MVTec AD 2 (public test set)"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "L. Heckler-Kram et al., The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly "
        "Detection, IJCV 134, 2026"
    )
    home = "https://www.mvtec.com/company/research/datasets/mvtec-ad-2"
    layout = (
        "mvtec_ad_2/<category>/{train/good, test_public/{good, bad}, "
        "test_public/ground_truth/bad/<id>_mask.png}"
    )
    folders = ("mvtec_ad_2", "mvtec_ad2", "MVTec_AD_2")
    download = Download(
        url="https://www.mydrive.ch/shares/121573/7f68fe2c4f7c2ceaa08f463aaeb2f414/download/"
        "466712769-1743422799/mvtec_ad_2.tar.gz",
        sha256="c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4",
        folder="mvtec_ad_2",
        gigabytes=32.8,
    )
    has_anomaly_pool = False
    facts = (
        ("counts of the eight scenes", "the paper's table, as others quote it", ""),
        ("counts of sheet_metal", "counted on a disk by others", ""),
    )
    categories = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")
    expected: ClassVar = {
        "can": (412, 72, 90),
        "fabric": (387, 66, 90),
        "fruit_jelly": (263, 20, 60),
        "rice": (313, 42, 90),
        "sheet_metal": (137, 24, 90),
        "vial": (291, 35, 105),
        "wallplugs": (293, 60, 90),
        "walnuts": (432, 60, 90),
    }

    def listing(self, category: str) -> Listing:
        return mvtec_listing(
            self.root / category,
            test="test_public",
            good="test_public/good",
            truth="test_public/ground_truth",
        )
