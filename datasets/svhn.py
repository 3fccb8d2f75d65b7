"""SVHN: cropped house numbers from street photographs, 32 × 32, ten digits; one-vs-rest tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import ClassFolders, Hub, Mat, OneVsRest, Parquet


class SVHN(OneVsRest):
    title = "SVHN, cropped digits"
    licence = "for non-commercial use"
    citation = "Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011"
    home = "http://ufldl.stanford.edu/housenumbers"
    layout = "svhn/cropped_digits/{train,test}-*.parquet, svhn/{train,test}_32x32.mat or class folders"
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    expected: ClassVar = {"train": 73_257, "test": 26_032}
    has_anomaly_pool = True
    folder = "svhn"
    facts = (
        (
            "73,257 train and 26,032 test images in ten classes",
            "the authors' page",
            "each copy, by data check",
        ),
        (
            "the MD5 of the official files",
            "torchvision.datasets",
            "each copy of official files, by data check",
        ),
    )
    hub = Hub("ufldl-stanford/svhn", config="cropped_digits", conditions=True)
    layouts = (Parquet("svhn", config="cropped_digits"), Mat(("svhn", "SVHN")), ClassFolders("svhn"))

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol
