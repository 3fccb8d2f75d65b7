"""MVTec AD: fifteen categories of industrial products and materials, with masks of 73 kinds of defects."""

from __future__ import annotations

from typing import ClassVar

from bench import Download, InspectionSet


class MVTec(InspectionSet):
    title = "MVTec AD"
    licence = "CC BY-NC-SA 4.0"
    citation = "P. Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129:1038-1059, 2021"
    home = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
    layout = "mvtec/<category>/{train/good, test/good, test/<defect>, ground_truth/<defect>/<id>_mask.png}"
    folders = ("mvtec", "mvtec_anomaly_detection", "mvtec_ad")
    download = Download(
        url="https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/420938113-1629952094/"
        "mvtec_anomaly_detection.tar.xz",
        sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        folder="mvtec",
        gigabytes=5.27,
    )
    has_anomaly_pool = False
    facts = (
        (
            "3,629 train, 467 good and 1,258 defective images",
            "the archive's list of 5,354 images",
            "official list",
        ),
    )
    categories = (
        "bottle",
        "cable",
        "capsule",
        "carpet",
        "grid",
        "hazelnut",
        "leather",
        "metal_nut",
        "pill",
        "screw",
        "tile",
        "toothbrush",
        "transistor",
        "wood",
        "zipper",
    )
    expected: ClassVar = {
        "bottle": (209, 20, 63),
        "cable": (224, 58, 92),
        "capsule": (219, 23, 109),
        "carpet": (280, 28, 89),
        "grid": (264, 21, 57),
        "hazelnut": (391, 40, 70),
        "leather": (245, 32, 92),
        "metal_nut": (220, 22, 93),
        "pill": (267, 26, 141),
        "screw": (320, 41, 119),
        "tile": (230, 33, 84),
        "toothbrush": (60, 12, 30),
        "transistor": (213, 60, 40),
        "wood": (247, 19, 60),
        "zipper": (240, 32, 119),
    }

    def __init__(self, unified: bool = False) -> None:
        self.unified = unified
