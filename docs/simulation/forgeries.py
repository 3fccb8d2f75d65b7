"""Submissions with a known truth: forgeries that raise a mean by a point, and honest ones, as packs.

They are made from a suite that was run: a method's true records are packed as they are, or forged, and
`bench.run.verification.verify_pack` is asked. A rerun is an oracle, the true scores that the suite gave, or a
real one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Cell, Record, Timing
from bench.core.pack import PackedArchive, write_pack
from bench.core.plan import Plan
from bench.core.scorefile import pack_scores
from bench.core.truth import Truth
from bench.metrics.image import auroc, image_metrics
from bench.report.submitted.suspicion import stands_out
from bench.run.verification import Rerun, Verification, profiles_of, verify_pack
from bench.suite.registry import Registry
from bench.suite.suite import Suite

Floats = NDArray[np.float64]

#: By how much a forgery raises the mean AUROC over a method's cells.
RISE = 0.01
#: Noise of another platform, relative to each score.
OTHER_PLATFORM = 1e-5


@dataclass(slots=True)
class World:
    """A suite that was run: the truth behind all submissions.

    Attributes
    ----------
    suite : Suite
    registry : Registry
        Opens each task once.
    archive : Archive
        Of the run.
    plan : Plan
    """

    suite: Suite
    registry: Registry
    archive: Archive
    plan: Plan
    records: dict[str, Record] = field(default_factory=dict)
    scores: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.records = self.archive.load_all(entry.cell.key for entry in self.plan.entries)
        self.scores = {key: self.archive.scores(record) for key, record in self.records.items()}
        opened: dict[object, Any] = {}
        fresh = self.registry.open_task

        def open_task(cell: Cell) -> Any:
            where = (cell.dataset, cell.task, cell.contamination, cell.few_shot)
            if where not in opened:
                opened[where] = fresh(cell)
            return opened[where]

        self.registry.open_task = open_task  # type: ignore[method-assign]

    def labels(self, key: str) -> NDArray[np.uint8]:
        return self.archive.truth(self.records[key]).labels

    def oracle(self, known: object, cells: Iterable[Cell]) -> dict[str, tuple[Record, Floats]]:
        """Return the true records of cells, as if run again."""
        del known
        return {cell.key: (self.records[cell.key], self.scores[cell.key]) for cell in cells}


@dataclass(slots=True)
class Submitted:
    """A method's part of a world, as it is sent: to be changed before it is packed."""

    world: World
    row: int
    plan: Plan
    records: dict[str, Record]
    scores: dict[str, Floats]
    truths: dict[str, Truth]

    @classmethod
    def of(cls, world: World, row: int) -> Submitted:
        plan = world.plan.of_rows([row])
        keys = [entry.cell.key for entry in plan.entries]
        return cls(
            world,
            row,
            plan,
            {key: world.records[key] for key in keys},
            {key: world.scores[key].astype(np.float64) for key in keys},
            {key: world.archive.truth(world.records[key]) for key in keys},
        )

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(entry.cell.key for entry in self.plan.entries))

    def claim(self, key: str) -> float:
        return auroc(self.truths[key].labels, self.scores[key])

    def mean(self) -> float:
        return float(np.mean([self.claim(key) for key in self.keys]))

    def settle(self, *, metrics: bool = True) -> None:
        """Bring the records into line with scores and labels, as a careful forger does."""
        for key, record in self.records.items():
            packed = pack_scores(self.scores[key], {})
            found = replace(
                record, scores_sha256=hashlib.sha256(packed).hexdigest(), truth=self.truths[key].identity
            )
            if metrics:
                found = replace(found, metrics=image_metrics(self.truths[key].labels, self.scores[key]))
            self.records[key] = found

    def pack(self, path: Path) -> PackedArchive:
        write_pack(path, _Sent(self), self.plan, self.records)
        return PackedArchive(path)


class _Sent(Archive):
    """A submission as an archive."""

    def __init__(self, of: Submitted) -> None:
        super().__init__(of.world.archive.results)
        self._of = of

    def packed_scores(self, record: Record) -> bytes:
        return pack_scores(self._of.scores[record.cell.key], {})

    def truth(self, record: Record) -> Truth:
        return self._of.truths[record.cell.key]


class Receiver(Archive):
    """The world's archive without a method: that of somebody who has the others' results."""

    def __init__(self, world: World, row: int) -> None:
        super().__init__(world.archive.results)
        without = {entry.cell.key for entry in world.plan.entries if entry.row == row}
        self._world, self._keys = world, world.records.keys() - without

    def keys(self) -> set[str]:
        return set(self._keys)

    def load(self, key: str) -> Record | None:
        return self._world.records.get(key) if key in self._keys else None

    def scores(self, record: Record) -> Floats:
        return self._world.scores[record.cell.key]

    def plan(self, suite: str) -> Plan:
        del suite
        return self._world.plan

    def suites(self) -> list[str]:
        return [self._world.plan.suite]


# Forgeries. Each raises the mean by RISE, or says that it cannot by returning False.


def _raised(
    scores: Floats, labels: NDArray[np.uint8], gain: float, way: str, rng: np.random.Generator
) -> Floats:
    """Return scores whose AUROC is higher by `gain`: by a shift of all anomalous images, or a few."""
    aim = min(auroc(labels, scores) + gain, 1.0)
    bad = np.flatnonzero(labels == 1)
    if way == "all":
        low, high = 0.0, float(np.ptp(scores)) + 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if auroc(labels, scores + middle * labels) < aim else (low, middle)
        return scores + high * labels
    found = scores.copy()
    top = np.sort(scores)[-max(3, len(scores) // 10) :]
    for at in bad[np.argsort(scores[bad], kind="stable")]:  # the lowest first, put among the highest
        if auroc(labels, found) >= aim:
            break
        found[at] = rng.uniform(top[0], top[-1])
    return found


def _gains(room: Floats, total: float) -> Floats | None:
    """Return equal gains, none above its room, of this total; None where there is too little room."""
    if room.sum() < total:
        return None
    low, high = 0.0, float(room.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(room, middle).sum() < total else (low, middle)
    return np.minimum(room, high)


def inflated(sent: Submitted, order: list[str], least: int, way: str, rng: np.random.Generator) -> bool:
    """Raise the first cells of an order: at least so many, more where there is too little room."""
    total = RISE * len(sent.keys)
    for n in range(max(1, least), len(order) + 1):
        room = np.array([1 - sent.claim(key) for key in order[:n]])
        gains = _gains(room, total)
        if gains is not None:
            for key, gain in zip(order[:n], gains.tolist(), strict=True):
                sent.scores[key] = _raised(sent.scores[key], sent.truths[key].labels, gain, way, rng)
            sent.settle()
            return True
    return False


def _cells(rng: np.random.Generator, sent: Submitted) -> tuple[list[str], int]:
    keys = [sent.keys[at] for at in rng.permutation(len(sent.keys))]
    return keys, int(np.exp(rng.uniform(np.log(2), np.log(0.7 * len(keys)))))


def few_images(sent: Submitted, rng: np.random.Generator) -> bool:
    return inflated(sent, *_cells(rng, sent), "few", rng)


def all_images(sent: Submitted, rng: np.random.Generator) -> bool:
    return inflated(sent, *_cells(rng, sent), "all", rng)


def tasks(sent: Submitted, rng: np.random.Generator) -> bool:
    """All cells of some tasks, whatever their seed and rate."""
    names = {key: record.cell.task_name for key, record in sent.records.items()}
    every = sorted(set(names.values()))
    order = [key for at in rng.permutation(len(every)) for key in sent.keys if names[key] == every[at]]
    return inflated(sent, order, _cells(rng, sent)[1], "all", rng)


def everywhere(sent: Submitted, rng: np.random.Generator) -> bool:
    return inflated(sent, sent.keys, len(sent.keys), "all", rng)


def swapped_labels(sent: Submitted, rng: np.random.Generator) -> bool:
    """Labels exchanged between an anomalous image of low score and a normal one of high score."""
    aim, done = sent.mean() + RISE, False
    for at in rng.permutation(len(sent.keys)):
        key = sent.keys[at]
        while sent.mean() < aim and sent.claim(key) < 0.99:
            labels = sent.truths[key].labels.copy()
            bad, good = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
            labels[bad[sent.scores[key][bad].argmin()]] = 0
            labels[good[sent.scores[key][good].argmax()]] = 1
            sent.truths[key] = replace(sent.truths[key], labels=labels)
        if done := sent.mean() >= aim:
            break
    sent.settle()
    return done


def _replaced(sent: Submitted, options: Mapping[str, list[Floats]], rng: np.random.Generator) -> bool:
    """Put other scores in place of cells', where they are better, until the mean has risen."""
    aim = sent.mean() + RISE
    for at in rng.permutation(len(sent.keys)):
        key = sent.keys[at]
        labels = sent.truths[key].labels
        better = [each for each in options.get(key, []) if auroc(labels, each) > sent.claim(key) + 1e-6]
        if better:
            sent.scores[key] = better[int(rng.integers(len(better)))].astype(np.float64)
        if sent.mean() >= aim:
            sent.settle()
            return True
    return False


def _elsewhere(sent: Submitted, wanted: Callable[[Cell, Cell], bool]) -> dict[str, list[Floats]]:
    """Return for each cell the scores of cells of other rows on the same test set."""
    world = sent.world
    others = [entry.cell for entry in world.plan.entries if entry.row != sent.row]
    found: dict[str, list[Floats]] = {}
    for key, record in sent.records.items():
        same = (each for each in others if world.records[each.key].truth == world.records[key].truth)
        found[key] = [world.scores[each.key] for each in same if wanted(record.cell, each)]
    return found


def _same_draw(one: Cell, other: Cell) -> bool:
    return one.task_name == other.task_name and one.contamination == other.contamination


def other_backbone(sent: Submitted, rng: np.random.Generator) -> bool:
    """The same method on another backbone, under this one's name."""
    return _replaced(sent, _elsewhere(sent, lambda a, b: _same_draw(a, b) and a.method == b.method), rng)


def stronger_method(sent: Submitted, rng: np.random.Generator) -> bool:
    """Scores of other methods, through an increasing transform, so that no number is the same."""
    options = _elsewhere(sent, lambda a, b: _same_draw(a, b) and a.method != b.method)
    return _replaced(sent, {key: [np.exp(_unit(s)) for s in each] for key, each in options.items()}, rng)


def clean_training(sent: Submitted, rng: np.random.Generator) -> bool:
    """Scores of clean training sets in place of contaminated ones', and of better seeds or draws."""
    options: dict[str, list[Floats]] = {}
    for key, record in sent.records.items():
        options[key] = [
            sent.world.scores[other]
            for other, each in sent.records.items()
            if each.cell.task_name == record.cell.task_name and each.truth == record.truth and other != key
        ]
    return _replaced(sent, options, rng)


def _unit(scores: Floats) -> Floats:
    return np.asarray((scores - scores.mean()) / (scores.std() or 1.0), np.float64)


def edited_metrics(sent: Submitted, rng: np.random.Generator) -> bool:
    """Numbers in the records alone."""
    sent.settle()
    for at in rng.permutation(len(sent.keys))[: max(1, len(sent.keys) // 2)]:
        record = sent.records[sent.keys[at]]
        higher = min(1.0, record.metrics["auroc"] + 2 * RISE)
        sent.records[sent.keys[at]] = replace(record, metrics={**record.metrics, "auroc": higher})
    return True


def other_protocol(sent: Submitted, rng: np.random.Generator) -> bool:
    """Another preprocessing, which the cells' keys say: what an honest mistake or another version gives."""
    inflated(sent, *_cells(rng, sent), "all", rng)
    entries, records, scores, truths = [], {}, {}, {}
    for entry in sent.plan.entries:
        identity = hashlib.sha256(entry.cell.backbone_identity.encode()).hexdigest()
        cell = replace(entry.cell, backbone_identity=identity)
        entries.append(replace(entry, cell=cell))
        records[cell.key] = replace(sent.records[entry.cell.key], cell=cell)
        scores[cell.key], truths[cell.key] = sent.scores[entry.cell.key], sent.truths[entry.cell.key]
    sent.plan, sent.records = replace(sent.plan, entries=tuple(entries)), records
    sent.scores, sent.truths = scores, truths
    return True


def informed(sent: Submitted, rng: np.random.Generator) -> bool:
    """Who knows what stands out: all cells of the tasks that lie lowest, up to a standard deviation above."""
    cells = {entry.cell.key: entry.cell for entry in sent.plan.entries}
    others, claims = (
        profiles_of(Receiver(sent.world, sent.row), sent.plan),
        np.array(list(map(sent.claim, cells))),
    )

    def above(held: Floats) -> Floats:
        return stands_out(list(cells.values()), held, others)[1]

    names = np.array([cell.task_name for cell in cells.values()])
    now, step = above(claims), 1e-4
    total, order = RISE * len(cells), []
    for name in sorted(set(names), key=lambda name: (now[names == name][0], rng.random())):
        of = names == name
        unit = step / max(float((above(claims + step * of) - now)[of][0]), 1e-6)  # a deviation, in AUROC
        room = np.minimum(1 - claims[of], max(0.0, unit * (1 - float(now[of][0]))))
        gains = room * min(1.0, total / room.sum()) if room.sum() > 0 else room
        total -= float(gains.sum())
        order += list(zip(np.flatnonzero(of).tolist(), gains.tolist(), strict=True))
        if total < 1e-9:
            break
    for at, gain in order:
        key = list(cells)[at]
        sent.scores[key] = _raised(sent.scores[key], sent.truths[key].labels, gain, "all", rng)
    sent.settle()
    return total < 1e-9


# Honest submissions.


def as_it_is(sent: Submitted, rng: np.random.Generator) -> bool:
    del rng
    sent.settle(metrics=False)
    return True


def other_seconds(sent: Submitted, rng: np.random.Generator) -> bool:
    """Timings alone are others: nobody can check them, nobody is accused for them."""
    sent.settle(metrics=False)
    for key, record in sent.records.items():
        if record.timing is not None:
            held = record.timing
            fast = float(rng.uniform(0.05, 0.5))
            timing = Timing(
                fit=fast * held.fit,
                score=fast * held.score,
                features=fast * held.features,
                features_cold=fast * held.features_cold,
                features_from=held.features_from,
                wall=fast * held.wall,
            )
            sent.records[key] = replace(record, timing=timing)
    return True


def other_platform(sent: Submitted, rng: np.random.Generator) -> bool:
    """Another machine with other versions, whose rounding moves every score a little."""
    for key, record in sent.records.items():
        values = sent.scores[key]
        sent.scores[key] = values + OTHER_PLATFORM * np.abs(values) * rng.normal(size=len(values))
        packages = {**record.environment["packages"], "numpy": "1.26.0"}
        environment = {**record.environment, "platform": "Darwin arm64", "packages": packages}
        sent.records[key] = replace(record, environment=environment)
    sent.settle()
    return True


FORGERIES: dict[str, Callable[[Submitted, np.random.Generator], bool]] = {
    "some cells, a few images": few_images,
    "some cells, all images": all_images,
    "some tasks, all their cells": tasks,
    "all cells, a little": everywhere,
    "labels swapped": swapped_labels,
    "another backbone under this name": other_backbone,
    "another preprocessing, which the keys say": other_protocol,
    "scores of other methods, transformed": stronger_method,
    "scores of clean training sets or other draws": clean_training,
    "metrics edited": edited_metrics,
}
HONEST: dict[str, Callable[[Submitted, np.random.Generator], bool]] = {
    "as it is": as_it_is,
    "other seconds": other_seconds,
    "another platform": other_platform,
}


def verified(
    world: World, row: int, change: Callable[[Submitted, np.random.Generator], bool], at: int, *,
    folder: Path, share: float, rerun: Rerun | None = None,
) -> Verification | None:  # fmt: skip
    """Return what `verify_pack` says of one submission; None where the forgery cannot raise the mean."""
    sent, rng = Submitted.of(world, row), np.random.default_rng([row, at])
    if not change(sent, rng):
        return None
    pack = sent.pack(folder / "sent.anobench")
    return verify_pack(
        pack,
        world.suite,
        world.registry,
        Receiver(world, row),
        rerun or world.oracle,
        share=share,
        nonce=rng.bytes(16).hex(),
    )
