"""VisA: twelve objects, from printed circuit boards to capsules; the official one-class split with masks."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from bench import DataError, Download, InspectionSet, Listing, csv_listing, read_rows


class VisA(InspectionSet):
    title = "VisA"
    licence = "CC BY 4.0"
    citation = (
        "Y. Zou et al., SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and "
        "Segmentation, ECCV 2022"
    )
    home = "https://github.com/amazon-science/spot-diff"
    layout = "visa/{split_csv/1cls.csv, <object>/Data/Images/{Normal,Anomaly}, <object>/Data/Masks/Anomaly}"
    folders = ("visa", "VisA", "VisA_20220922")
    download = Download(
        url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        folder="visa",
        gigabytes=1.93,
        conditions=False,
    )
    has_anomaly_pool = False
    #: What the authors' prepare_data.py makes.
    converted = ("VisA_pytorch/1cls", "visa/VisA_pytorch/1cls")
    facts = (
        (
            "8,659 train, 962 good and 1,200 anomalous images",
            "split_csv/1cls.csv, 10,821 lines",
            "official list",
        ),
    )
    categories = (
        "candle",
        "capsules",
        "cashew",
        "chewinggum",
        "fryum",
        "macaroni1",
        "macaroni2",
        "pcb1",
        "pcb2",
        "pcb3",
        "pcb4",
        "pipe_fryum",
    )
    expected: ClassVar = {
        "candle": (900, 100, 100),
        "capsules": (542, 60, 100),
        "cashew": (450, 50, 100),
        "chewinggum": (453, 50, 100),
        "fryum": (450, 50, 100),
        "macaroni1": (900, 100, 100),
        "macaroni2": (900, 100, 100),
        "pcb1": (904, 100, 100),
        "pcb2": (901, 100, 100),
        "pcb3": (905, 101, 100),
        "pcb4": (904, 101, 100),
        "pipe_fryum": (450, 50, 100),
    }

    def __init__(self, unified: bool = False) -> None:
        self.unified = unified

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        table = self.root / "split_csv" / "1cls.csv"
        if not table.is_file():
            raise DataError(
                f"{table}: cannot be read (it does not exist). The split files are in the folder split_csv "
                f"of the authors' code, {self.home}: put that folder beside those of the objects"
            )
        return read_rows(table, ("object", "split", "label", "image", "mask"))

    def listing(self, category: str) -> Listing:
        rows = [row for row in self._rows if row["object"] == category]
        table = self.root / "split_csv" / "1cls.csv"
        return csv_listing(self.root, table, rows, image_column="image", what=category)
