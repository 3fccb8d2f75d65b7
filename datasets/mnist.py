"""MNIST: 70,000 grey images of handwritten digits, 28 × 28; one-vs-rest tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import ClassFolders, Hub, Idx, OneVsRest, Parquet


class MNIST(OneVsRest):
    title = "MNIST"
    licence = "CC BY-SA 3.0"
    citation = (
        "Y. LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), 1998"
    )
    home = "http://yann.lecun.com/exdb/mnist/"
    layout = "mnist/mnist/{train,test}-*.parquet, MNIST/raw/*-ubyte[.gz] or mnist/{train,test}/<digit>/*"
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    expected: ClassVar = {"train": 60_000, "test": 10_000}
    has_anomaly_pool = True
    folder = "mnist"
    facts = (
        (
            "60,000 train and 10,000 test images in ten classes",
            "the authors' page",
            "each copy, by data check",
        ),
        (
            "the MD5 of the official files",
            "torchvision.datasets",
            "each copy of official files, by data check",
        ),
    )
    hub = Hub("ylecun/mnist")
    layouts = (Parquet("mnist"), Idx(("MNIST/raw", "mnist/raw", "mnist")), ClassFolders("mnist"))

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol
