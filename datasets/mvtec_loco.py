"""MVTec LOCO AD: five categories with structural and logical anomalies.

An image's mask is the union of its mask files: an anomaly that can be told from several places has a file
each. The test set's normal images are ``test/good``; ``good=validation`` takes the official validation
images instead, for copies without ``test/good`` (not comparable with published numbers).

Expected counts are those of the archive that is distributed: 1,778 train, 305 validation and 1,568 test
images (575 good, 993 anomalous). It has six train images and one validation image more of
``splicing_connectors`` than the paper's table.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import DataError, Download, InspectionSet, Listing, mvtec_listing


class MVTecLoco(InspectionSet):
    title = "MVTec LOCO AD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "P. Bergmann et al., Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly "
        "Detection and Localization, IJCV 130:947-969, 2022"
    )
    home = "https://www.mvtec.com/company/research/datasets/mvtec-loco"
    layout = (
        "mvtec_loco/<category>/{train/good, validation/good, test/<type>, ground_truth/<type>/<id>/*.png}"
    )
    folders = ("mvtec_loco", "mvtec_loco_anomaly_detection")
    download = Download(
        url="https://www.mydrive.ch/shares/48237/1b9106ccdfbb09a0c414bd49fe44a14a/download/430647091-1646842701/"
        "mvtec_loco_anomaly_detection.tar.xz",
        sha256="9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
        folder="mvtec_loco",
        gigabytes=6.0,
    )
    has_anomaly_pool = False
    facts = (
        (
            "1,778 train, 305 validation and 1,568 test images",
            "the archive that is distributed",
            "confirmed counts",
        ),
        (
            "575 good and 993 anomalous test images, and the counts of each category",
            "users of the archive",
            "",
        ),
    )
    categories = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
    expected: ClassVar = {
        "breakfast_box": (351, 102, 173),
        "juice_bottle": (335, 94, 236),
        "pushpins": (372, 138, 172),
        "screw_bag": (360, 122, 219),
        "splicing_connectors": (360, 119, 193),
    }

    def __init__(self, good: Literal["test", "validation"] = "test") -> None:
        self.good = good

    def listing(self, category: str) -> Listing:
        root = self.root / category
        if self.good == "test" and not (root / "test" / "good").is_dir():
            raise DataError(
                f"{root}: expected the folder test/good, which is missing; get the whole data set from "
                f"{self.home}, or test on the validation pictures: mvtec_loco[good=validation]"
            )
        return mvtec_listing(root, good=f"{self.good}/good", suffix="")
