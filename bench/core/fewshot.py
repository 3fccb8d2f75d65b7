"""Few-shot: how many labelled anomalies a method gets that asks for some. `bench.data.fewshot` draws them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Per = Literal["total", "type", "class"]
LabelledFrom = Literal["pool", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShot:
    """Labelled anomalies beside a task's train images.

    Attributes
    ----------
    anomalies : int
    per : {"total", "type", "class"}
        So many in all, from the entire pool, or of each defect type or class (two words for one).
    source : {"pool", "test"}
        Labelled anomalies of the train split, or of the test set, which they then leave.
    reserve : int
        The largest number of the suite: with ``source="test"`` so many leave the test set at every number.
    seed : int
        Of the draw.
    only : str
        The one defect type or class that they are of; empty for any.
    """

    anomalies: int = 0
    per: Per = "total"
    source: LabelledFrom = "pool"
    reserve: int = 0
    seed: int = 0
    only: str = ""

    def __post_init__(self) -> None:
        if min(self.anomalies, self.reserve) < 0:
            raise ValueError(f"numbers of anomalies must be 0 or more, got {self.anomalies}, {self.reserve}")

    def resolved(self) -> FewShot:
        """Return the one form of all that mean the same, so that they share a cell's key."""
        reserve = max(self.anomalies, self.reserve) if self.source == "test" else 0
        if not self.anomalies and not reserve:
            return UNLABELLED
        total = self.per == "total" or bool(self.only)
        return replace(self, reserve=reserve, per="total" if total else "type")

    def canonical(self) -> dict[str, Any]:
        """Return it as JSON data for a cell's key, without an empty `only`, as before there was one."""
        data = asdict(self)
        return data if self.only else {name: value for name, value in data.items() if name != "only"}

    @property
    def setting(self) -> str:
        """The setting of rows with it, which never rank with those of another; empty without any anomaly."""
        if self == UNLABELLED:
            return ""
        only = f",only={self.only}" if self.only else ""
        return f"few_shot[anomalies={self.anomalies},per={self.per}{only}]"

    @property
    def words(self) -> str:
        """What a row's name says of it."""
        of = f" of {self.only}" if self.only else " of each type" if self.per == "type" else ""
        return f"{self.anomalies} labelled{of}"


#: No labelled anomalies: what most cells have.
UNLABELLED = FewShot()
