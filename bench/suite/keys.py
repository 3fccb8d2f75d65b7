"""Tables of a suite file that say how its cells are made and what is asked of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.core.contamination import PRESETS, UNKNOWN_PRESETS, AnomalySource, Draw, Shortage
from bench.core.errors import did_you_mean
from bench.core.fewshot import FewShot, LabelledFrom, Per
from bench.core.params import NonNegativeInt

#: How calibration scores are made: ``cross-fit`` fits as often as there are folds, ``held-out`` once.
How = Literal["cross-fit", "held-out"]


class SuiteTable(BaseModel):
    """A table with the keys that it names and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ContaminationTable(SuiteTable):
    """The long form of the contamination rates; see `bench.core.contamination.Contamination`."""

    rates: tuple[float, ...] = Field(min_length=1, strict=False)
    preset: str | None = None
    of: Literal["set", "normals"] = "set"
    mode: Literal["add", "replace"] = "add"
    source: Literal["default"] | AnomalySource = "default"
    draw: Draw = "uniform"
    shortage: Shortage = "error"

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, data: object) -> object:
        """Fill in from a preset what the table does not set."""
        if isinstance(data, dict) and isinstance(data.get("preset"), str):
            if reason := UNKNOWN_PRESETS.get(data["preset"]):
                raise ValueError(f"the preset {data['preset']!r} cannot be given: {reason}")
            if data["preset"] not in PRESETS:
                raise ValueError(f"no preset {data['preset']!r}{did_you_mean(data['preset'], PRESETS)}")
            return {**PRESETS.get(data["preset"], {}), **data}
        return data


class FewShotTable(SuiteTable):
    """Labelled anomalies for the methods that ask for some; see `bench.core.fewshot.FewShot`.

    Attributes
    ----------
    anomalies : tuple of int
        Each makes a row of such a method.
    per : {"total", "type", "class"}
    source : {"default", "pool", "test"}
        ``from`` in the file; by default the train split where it has labelled anomalies.
    only : tuple of str
        Defect types or classes: each makes a row, whose anomalies are all of it. By default they are of any.
    seed : int, optional
        Of the draw, in all cells; by default each seed of the suite draws others.
    """

    anomalies: tuple[NonNegativeInt, ...] = Field(min_length=1, strict=False)
    per: Per = "total"
    source: Literal["default"] | LabelledFrom = Field(default="default", alias="from")
    only: tuple[str, ...] = Field(default=(), strict=False)
    seed: int | None = Field(default=None, ge=0, lt=2**63)

    @field_validator("anomalies", "only", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, int | str) else value

    @field_validator("only", mode="after")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value) or len(set(value)) < len(value):
            raise ValueError("expected names of defect types or classes, each once")
        return value

    def rows(self) -> list[FewShot]:
        """Return what each row of a method that asks for labels gets; source and seed are its cells'."""
        most = max(self.anomalies)
        rows = [
            FewShot(anomalies=number, per=self.per, source="test", reserve=most, only=only).resolved()
            for only in self.only or ("",)
            for number in dict.fromkeys(self.anomalies)
        ]
        if self.source != "test":  # then no anomaly leaves the test set, and none are of no type
            rows = [row if row.anomalies else replace(row, only="") for row in rows]
        return list(dict.fromkeys(rows))

    def of_cell(self, row: FewShot, *, has_pool: bool, seed: int) -> FewShot:
        """Return what a row's cells of this seed get, on a data set with a pool of anomalies or without."""
        default: LabelledFrom = "pool" if has_pool else "test"
        source = default if self.source == "default" else self.source
        return replace(row, source=source, seed=seed if self.seed is None else self.seed).resolved()


class ThresholdsTable(SuiteTable):
    """Decision thresholds from normal images: what they need, and what they aim at.

    Attributes
    ----------
    folds : int
        The training images are cut into so many parts; each is scored by a method fitted on the others.
    how : {"cross-fit", "held-out"}
        All parts, or the first alone, which costs one fit more than none.
    rate : float
        The rate of false alarms that thresholds aim at.
    """

    folds: int = Field(default=5, ge=2, le=1000)
    how: How = "cross-fit"
    rate: float = Field(default=0.05, gt=0, lt=1)
