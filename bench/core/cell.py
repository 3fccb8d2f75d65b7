"""Cell and Record: what is to be computed, as pure data, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from bench.core import checks
from bench.core.contamination import Contamination
from bench.core.determinism import canonical_json
from bench.core.errors import ArchiveError
from bench.core.fewshot import UNLABELLED, FewShot
from bench.core.selector import format_selector, parse

#: Part of every cell's key: raise it when the meaning of a cell changes in the engine (splits, scores,
#: contamination draws, feature precision), so that old records stay but are not reused.
PROTOCOL_VERSION = 1
#: Schema of a record file, and those that can be read: 1 has no `Record.truth`, 2 no `candidates`,
#: 3 no `curves`, 4 no `Timing.reference`.
RECORD_VERSION = 5
_READABLE = (1, 2, 3, 4, 5)

#: Plain values, so that a cell is hashable and its canonical form is JSON.
Value = str | int | float | bool | None

_CONTAMINATION = tuple(each.name for each in fields(Contamination))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


_STRICT = json.JSONDecoder(parse_constant=_refuse)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError("its flags are no list")
    return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Method with its parameters × task × contamination × seed × backbone, and hashes of what it depends on.

    Attributes
    ----------
    dataset : str
        Canonical selector of the data set without the task, e.g. ``"cifar10"``, ``"textures[size=96]"``.
    task : str
    method : str
        The adapter's name.
    params : tuple of (str, value)
        All parameters, defaults included, sorted by name; without the backbone.
    backbone : str
        Canonical name of the backbone; empty if the method takes none.
    contamination : Contamination
    seed : int or None
        The method's seed; None for a deterministic method, which has one cell for all seeds.
    code : tuple of (str, str)
        Hashes of the adapters' code: ``("dataset", …)``, ``("method", …)``.
    data_fingerprint : str
    backbone_identity : str
        Weights, preprocessing, layer and precision of the backbone as one hash; empty without backbone.
    few_shot : FewShot
        The labelled anomalies of a method that asks for some; not part of the canonical form without any.
    """

    dataset: str
    task: str
    method: str
    params: tuple[tuple[str, Value], ...]
    backbone: str
    contamination: Contamination
    seed: int | None
    code: tuple[tuple[str, str], ...] = ()
    data_fingerprint: str = ""
    backbone_identity: str = ""
    protocol: int = PROTOCOL_VERSION
    few_shot: FewShot = UNLABELLED
    #: The key, once computed: reports need each cell's many times.
    _key: str = field(default="", init=False, repr=False, compare=False)

    def canonical(self) -> dict[str, Any]:
        """Return the cell as JSON data, which is hashed for the key and written in a record."""
        data = {
            "dataset": self.dataset,
            "task": self.task,
            "method": self.method,
            "params": dict(self.params),
            "backbone": self.backbone,
            "contamination": {name: getattr(self.contamination, name) for name in _CONTAMINATION},
            "seed": self.seed,
            "code": dict(self.code),
            "data_fingerprint": self.data_fingerprint,
            "backbone_identity": self.backbone_identity,
            "protocol": self.protocol,
        }
        return data | ({"few_shot": self.few_shot.canonical()} if self.few_shot != UNLABELLED else {})

    @classmethod
    def from_canonical(cls, data: Mapping[str, Any]) -> Cell:
        """Read what `canonical` wrote."""
        return cls(
            **{
                **data,
                "params": tuple(sorted(data["params"].items())),
                "contamination": Contamination(**data["contamination"]),
                "few_shot": FewShot(**data.get("few_shot", {})),
                "code": tuple(sorted(data["code"].items())),
            }
        )

    @property
    def key(self) -> str:
        """Return the first 32 hexadecimal digits of the sha256 of the canonical form."""
        if not self._key:
            key = hashlib.sha256(canonical_json(self.canonical()).encode()).hexdigest()[:32]
            object.__setattr__(self, "_key", key)
        return self._key

    @property
    def task_name(self) -> str:
        """Return ``"cifar10/bird"``."""
        return f"{self.dataset}/{self.task}"

    @property
    def train_name(self) -> str:
        """Return what it is fitted on: its task, or ``"mvtec[unified=true]"``, all tasks of the data set."""
        one = parse(self.dataset).params.get("unified") == "true" if "unified" in self.dataset else False
        return self.dataset if one else self.task_name

    def __str__(self) -> str:
        params = dict(self.params) | ({"backbone": self.backbone} if self.backbone else {})
        words = [format_selector(self.method, params), self.task_name]
        if self.contamination.rate:
            words.append(f"{100 * self.contamination.rate:.4g}% contaminated")
        if self.few_shot != UNLABELLED:
            words.append(self.few_shot.words)
        if self.seed is not None:
            words.append(f"seed {self.seed}")
        elif self.contamination != Contamination():
            words.append(f"draw {self.contamination.seed}")
        return " · ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of one cell, device-synchronised.

    Attributes
    ----------
    fit, score : float
        Without the time spent getting features.
    features : float
        Spent getting features (reading the store included), within `fit` and `score` calls.
    features_cold : float
        What extracting every feature that this cell used costs, by the measured seconds per image, whether
        or not this cell extracted them.
    features_from : str
        ``"none"``, ``"computed"``, ``"store"`` or ``"mixed"``.
    wall : float
        The entire cell: opening, fitting, scoring, evaluating.
    reference : float or None
        Those of the reference workload that ran beside it (`bench.run.reference`); None where none did.
    """

    fit: float
    score: float
    features: float
    features_cold: float
    features_from: Literal["none", "computed", "store", "mixed"]
    wall: float
    reference: float | None = None

    @property
    def warm(self) -> float:
        """Return the seconds a cell costs when its features are in the store."""
        return self.fit + self.score

    @property
    def cold(self) -> float:
        """Return the seconds a user pays who has no features yet."""
        return self.fit + self.score + self.features_cold


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The result of one cell.

    Attributes
    ----------
    status : {"ok", "failed"}
    metrics : dict
        ``auroc``, ``ap``, ``fpr95`` in [0, 1]; empty when failed.
    candidates : dict of str to dict
        For each choice of an oracle, such as ``"epoch 3"``: its ``auroc``, and the mean scores of the
        ``normal`` and ``anomalous`` test images; only finite values.
    curves : dict of str to list of float
        The mean loss of equal parts of each training, by its name.
    counts : dict
        ``train``, ``train_anomalous``, ``test``, ``test_anomalous``.
    contamination : dict
        What was drawn: realised ``rate``, ``count``, ``indices`` (hash), ``note``.
    flags : tuple of str
        Things a reader should know, e.g. ``"constant scores"``.
    timing : Timing or None
    memory : dict
        ``host_peak_bytes``, ``device_peak_bytes`` (None where not measured).
    environment : dict
    setting, selection : str
        The method's setting and selection rule (see `bench.train.method.Method`).
    error : dict or None
        ``kind``, ``reason``, ``traceback`` of a failed cell; ``where`` in an adapter's code, if there.
    scores_sha256 : str
        Of the scores file's bytes; empty when failed.
    truth : str
        Name of the labels and images of the test set (`bench.core.truth.Truth.identity`); empty when failed,
        and in old records, which did not keep them.
    created : str
        UTC, ISO 8601.
    """

    cell: Cell
    status: Literal["ok", "failed"]
    setting: str
    selection: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    candidates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    contamination: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    timing: Timing | None = None
    memory: Mapping[str, int | None] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    scores_sha256: str = ""
    truth: str = ""
    created: str = ""

    def to_json(self, indent: int | None = 1) -> str:
        # Without what came later a record is one of an older schema, to the byte.
        referred = self.timing is not None and self.timing.reference is not None
        schema, left_out = (4, ()) if self.curves else (3, ("curves",))
        schema = RECORD_VERSION if referred else schema
        data = {"schema": schema, "key": self.cell.key, "cell": self.cell.canonical()}
        for name in self.__dataclass_fields__:
            if name not in ("cell", "timing", *left_out):
                data[name] = getattr(self, name)
        timing = asdict(self.timing) if self.timing else None
        if timing is not None and not referred:
            del timing["reference"]
        data["timing"] = timing
        return json.dumps(data, indent=indent, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read a record file's text.

        Raises
        ------
        ArchiveError
            Not JSON, another schema, a missing field, or a key that does not belong to the cell.
        """
        try:
            data = _STRICT.decode(text)
            if data.pop("schema") not in _READABLE:
                raise ArchiveError(
                    f"its schema is not version {RECORD_VERSION} or older; use the anobench that wrote it"
                )
            key = data.pop("key")
            cell = Cell.from_canonical(data.pop("cell"))
            timing = data.pop("timing")
            record = cls(
                cell=cell,
                timing=Timing(**timing) if timing else None,
                flags=_texts(data.pop("flags")),
                **data,
            )
            checks.record(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ArchiveError(f"not a record ({type(error).__name__}: {error})") from None
        if cell.key != key:
            raise ArchiveError(f"its key {key} does not belong to its cell (expected {cell.key})")
        return record
