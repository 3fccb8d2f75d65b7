"""Fashion-MNIST: 70,000 grey images of clothes, 28 × 28, in ten classes; one-vs-rest tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import ClassFolders, Hub, Idx, OneVsRest, Parquet


class FashionMNIST(OneVsRest):
    title = "Fashion-MNIST"
    licence = "MIT"
    citation = "H. Xiao et al., Fashion-MNIST: a Novel Image Dataset for Benchmarking ML Algorithms, 2017"
    home = "https://github.com/zalandoresearch/fashion-mnist"
    layout = (
        "fashion_mnist/fashion_mnist/{train,test}-*.parquet, FashionMNIST/raw/*-ubyte[.gz] or class folders"
    )
    classes = (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle_boot",
    )
    expected: ClassVar = {"train": 60_000, "test": 10_000}
    has_anomaly_pool = True
    folder = "fashion_mnist"
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
    hub = Hub("zalando-datasets/fashion_mnist")
    layouts = (
        Parquet("fashion_mnist"),
        Idx(("FashionMNIST/raw", "fashion_mnist/raw", "fashion_mnist", "fashion-mnist")),
        ClassFolders("fashion_mnist"),
    )

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol
