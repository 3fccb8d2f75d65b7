"""CIFAR-10: 60,000 photographs of 32 × 32 pixels in ten classes; one-vs-rest tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from bench import ClassFolders, Hub, OneVsRest, Parquet, PythonBatches


class Cifar10(OneVsRest):
    title = "CIFAR-10"
    licence = "not stated by the authors; for research"
    citation = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    home = "https://www.cs.toronto.edu/~kriz/cifar.html"
    layout = (
        "cifar10/plain_text/{train,test}-*.parquet, cifar-10-batches-py/ or cifar10/{train,test}/<class>/*"
    )
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    expected: ClassVar = {"train": 50_000, "test": 10_000}
    has_anomaly_pool = True
    folder = "cifar10"
    facts = (
        (
            "50,000 train and 10,000 test images in ten classes",
            "the authors' page",
            "each copy, by data check",
        ),
        (
            "the MD5 of the official files",
            "torchvision.datasets",
            "each copy of official files, by data check",
        ),
    )
    hub = Hub("uoft-cs/cifar10", image="img", label="label")
    layouts = (
        Parquet("cifar10", image="img", label="label"),
        PythonBatches(
            folders=("cifar10/cifar-10-batches-py", "cifar-10-batches-py"),
            train=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
            test=("test_batch",),
        ),
        ClassFolders("cifar10"),
    )

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol
