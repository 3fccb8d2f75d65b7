"""Suite: a TOML file that names data sets, methods, contamination rates and seeds: a grid of cells."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench.core.checks import file_name, short
from bench.core.errors import SelectorError, SuiteError, did_you_mean, said
from bench.core.files import working_directory
from bench.core.selector import Selector, expand, parse
from bench.features.backbone import NetworkTable
from bench.features.presets import DEFAULT
from bench.suite.keys import ContaminationTable, FewShotTable, SuiteTable, ThresholdsTable

Scalar = str | int | float | bool


class AdapterTable(BaseModel):
    """The long form of a data set or method: ``{ name = "dn2", k = [1, 2, 5], backbone = "pixels" }``.

    A list of values makes a grid. ``label`` is what tables and figures call it; a data set may also be
    written ``{ dataset = "folder", path = "tiles", name = "My tiles" }``.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar | list[Scalar]]
    name: str

    @model_validator(mode="before")
    @classmethod
    def _named_by_kind(cls, data: object) -> object:
        for kind in ("dataset", "method"):
            if isinstance(data, dict) and kind in data:
                rest = {key: value for key, value in data.items() if key not in (kind, "name")}
                return rest | ({"label": data["name"]} if "name" in data else {}) | {"name": data[kind]}
        return data


#: Seconds of a limit, at most: three years.
LONGEST = 1e8


class Limits(SuiteTable):
    """What a cell may cost.

    Attributes
    ----------
    cell_seconds : float, optional
        Soft limit: a cell that takes longer is interrupted and recorded as failed.
    grace_seconds : float
        A worker that still runs so long after the soft limit (it hangs in C code) is killed.
    cell_memory : float, optional
        GiB of resident memory; a worker that uses more is killed.
    """

    cell_seconds: float | None = Field(default=None, gt=0, le=LONGEST)
    grace_seconds: float = Field(default=10.0, gt=0, le=LONGEST)
    cell_memory: float | None = Field(default=None, gt=0, le=2**30)


class SuiteFile(SuiteTable):
    """The keys of a suite file."""

    title: str = ""
    description: str = ""
    datasets: tuple[str | AdapterTable, ...] = Field(min_length=1, strict=False)
    methods: tuple[str | AdapterTable, ...] = Field(min_length=1, strict=False)
    contamination: ContaminationTable = ContaminationTable(rates=(0.0,))
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, strict=False)
    backbone: str = DEFAULT
    backbones: dict[str, NetworkTable] = Field(default_factory=dict)
    feature_storage: Literal["float32", "float16"] = "float32"
    limits: Limits = Limits()
    thresholds: ThresholdsTable | None = None
    few_shot: FewShotTable | None = None

    @field_validator("contamination", mode="before")
    @classmethod
    def _short_contamination(cls, value: object) -> object:
        return {"rates": value} if isinstance(value, list | tuple) else value

    @field_validator("contamination", mode="after")
    @classmethod
    def _rates(cls, value: ContaminationTable) -> ContaminationTable:
        for rate in value.rates:
            if not 0 <= rate <= 0.5:
                raise ValueError(f"a rate of {rate} lies outside 0 to 0.5")
        if len(set(value.rates)) < len(value.rates):
            raise ValueError("a rate is given twice")
        return value

    @field_validator("seeds", mode="after")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0 or max(value) >= 2**63:
            raise ValueError("seeds must be different whole numbers from 0 up, below 2**63")
        return value


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite and where it came from.

    Attributes
    ----------
    name : str
        The file's stem: the leaderboard is ``<results>/<name>.md``.
    source : str
        For messages: the file's path, or "the command line".
    folder : Path or None
        Relative paths of local weights start here.
    text : str
        The file's text.
    """

    name: str
    source: str
    folder: Path | None
    text: str
    file: SuiteFile

    @property
    def title(self) -> str:
        return self.file.title or self.name

    def with_(
        self,
        *,
        name: str | None = None,
        backbone: str | None = None,
        contamination: Mapping[str, Any] | None = None,
        few_shot: Mapping[str, Any] | None = None,
    ) -> Suite:
        """Return the suite under another name, or with another backbone, contamination or labels."""
        text, changed = self.text, dict[str, Any]()
        if backbone is not None:
            text, changed["backbone"] = f"# --backbone {backbone}\n{text}", backbone
        if contamination is not None:
            text = f"# --contamination {_toml(contamination)}\n{text}"
            asked = {"datasets": ["-"], "methods": ["-"], "contamination": contamination}
            changed["contamination"] = _validate(asked, "--contamination").contamination
        if few_shot is not None:
            text = f"# --few-shot {_toml(few_shot)}\n{text}"
            asked = {"datasets": ["-"], "methods": ["-"], "few_shot": few_shot}
            changed["few_shot"] = _validate(asked, "--few-shot").few_shot
        return replace(self, name=name or self.name, text=text, file=self.file.model_copy(update=changed))


def load_suite(path: Path) -> Suite:
    """Read and validate a suite file.

    Raises
    ------
    SuiteError
        The file cannot be read, is not TOML, or has a key or value that is not allowed.
    """
    try:
        file_name(path.stem)
    except (ValueError, TypeError) as error:
        raise SuiteError(f"{path}: {error}; rename it") from None
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError, MemoryError) as error:  # numbers of too many digits too
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise SuiteError(f"{path}: not valid TOML: {why}") from None
    return Suite(path.stem, str(path), path.resolve().parent, text, _validate(data, str(path)))


def adhoc_suite(datasets: list[str], methods: list[str], *, name: str = "adhoc", **more: Any) -> Suite:
    """Return a suite made of selectors from the command line."""
    data = {"title": name, "datasets": datasets, "methods": methods, **more}
    lines = [f"{key} = {_toml(value)}" for key, value in data.items()]
    return Suite(
        name,
        "the command line",
        working_directory(),
        "\n".join(lines) + "\n",
        _validate(data, "the command line"),
    )


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)
    )


def _validate(data: Mapping[str, Any], source: str) -> SuiteFile:
    try:
        return SuiteFile.model_validate(data)
    except (RecursionError, OverflowError) as error:
        raise SuiteError(f"{source}: it cannot be read ({said(error)})") from None
    except ValidationError as error:
        # A value that fits no member of a union gives one error for each member: the first is enough.
        seen: dict[str, str] = {}
        for item in error.errors():
            key, message = _explain(item)
            seen.setdefault(key, message)
        raise SuiteError("\n".join(f"{source}: {message}" for message in seen.values())) from None


#: Allowed keys of the tables inside a suite file, by the first part of an error's location.
_TABLES: dict[str, type[BaseModel]] = {
    "contamination": ContaminationTable,
    "limits": Limits,
    "backbones": NetworkTable,
    "thresholds": ThresholdsTable,
    "few_shot": FewShotTable,
}


def _explain(item: Any) -> tuple[str, str]:
    """Return an error's key, and a message with the key, what was given and what is allowed."""
    where = [part for part in item["loc"] if part not in ("AdapterTable", "str", "int", "float", "bool")]
    where = [part for part in where if not (isinstance(part, str) and part.startswith(("list[", "tuple[")))]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    given = short(item["input"])
    if item["type"] == "extra_forbidden":
        model = _TABLES.get(str(where[0]), SuiteFile) if len(where) > 1 else SuiteFile
        return key, f"key {key!r} is not known{did_you_mean(str(where[-1]), model.model_fields)}"
    if item["type"] == "missing":
        return key, f"the key {key!r} is missing, e.g. {_EXAMPLES.get(str(where[-1]), key)}"
    message = item["msg"].removeprefix("Value error, ")
    hint = f", e.g. {_EXAMPLES[str(where[0])]}" if where and str(where[0]) in _EXAMPLES else ""
    return key, f"key {key!r}: {message[0].lower() + message[1:]}{hint}; got {given}"


#: Larger grids and suites are mistakes: a year of cells of a second is thirty million.
MOST_POINTS, MOST_CELLS = 100_000, 1_000_000


def check_size(number: int, where: str, most: int = MOST_CELLS, what: str = "cells") -> None:
    """Refuse what is too large to be meant, before it is expanded.

    Raises
    ------
    SuiteError
        It is.
    """
    if number > most:
        raise SuiteError(f"{where} has {number:,} {what}, at most {most:,} are planned; cut it into several")


_EXAMPLES = {
    "datasets": 'datasets = ["digits"]',
    "methods": 'methods = ["dn2[k=2,backbone=pixels]"]',
    "contamination": "contamination = [0.0, 0.1]",
    "seeds": "seeds = [0, 1]",
    "anomalies": "anomalies = [1, 10]",
    "name": '{ name = "dn2", k = 2 }',
}


def selections(
    entries: tuple[str | AdapterTable, ...], key: str, source: str
) -> Iterator[tuple[str, Selector, dict[str, Any]]]:
    """Yield (where, selector, parameters) of each entry, one for each point of its grid.

    Parameters from a selector are text; those from a table have their type.
    """
    for index, entry in enumerate(entries):
        where = f"{source}: {key}[{index}]"
        try:
            if isinstance(entry, str):
                for selector in map(parse, expand(entry)):
                    yield where, selector, dict(selector.params)
                continue
            params = entry.__pydantic_extra__ or {}
            axes = [_axis(value) for value in params.values()]
        except SelectorError as error:
            raise SuiteError(f"{where}: {error}") from None
        check_size(math.prod(map(len, axes)), f"{where}: {entry.name}", MOST_POINTS, "points of a grid")
        for point in itertools.product(*axes):
            yield where, Selector(entry.name), dict(zip(params, point, strict=True))


def _axis(value: Scalar | list[Scalar]) -> list[Scalar]:
    """Return the values of a table's parameter; a nested selector may have a grid."""
    values = value if isinstance(value, list) else [value]
    return [point for each in values for point in (expand(each) if isinstance(each, str) else [each])]
