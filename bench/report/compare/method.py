"""One method at one rate on both sides: its mean over tasks, and each task, its p values not adjusted.

A mean weighs data sets alike, and the tasks of one alike. A difference varies over test images, where both
sides have the scores of the same ones, and over seeds. Without scores the test images are taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.report.compare.change import Change
from bench.report.compare.images import OverImages, PairedImages
from bench.report.compare.paired import PairedTask
from bench.stats import Floats
from bench.stats.seeds import SEEDS_OF_ONE_TASK, TASKS_THAT_HELP, seeds_needed, seeds_needed_by_task
from bench.stats.variance import Variance, stacked

#: Seeds from which a difference can be told where test images are given: one degree of freedom is enough.
SEEDS_ALONE = 2


def compare_method(tasks: Sequence[PairedTask], images: PairedImages) -> tuple[Change | None, list[Change]]:
    """Return what moved of a method.

    Parameters
    ----------
    tasks : sequence of PairedTask
        Of one method at one rate.
    images : PairedImages

    Returns
    -------
    Change or None
        Of the mean; None for a single task, which is its own.
    list of Change
        Of the tasks.
    """
    share = _weights(tasks)
    if all(task.same and (task.identical or not task.seeds) for task in tasks):
        seen, of_mean = [OverImages()] * len(tasks), OverImages()
    else:
        seen, of_mean = images.of(tasks, share)
    if len(tasks) == 1:
        return None, [_tested(tasks, share, seen[0], tasks[0].over_seeds, seeds_needed(1))]
    by_task: dict[int, Change] = {}
    for name in dict.fromkeys(task.place.dataset for task in tasks):
        of = [at for at, task in enumerate(tasks) if task.place.dataset == name]
        by_task |= dict(zip(of, _by_task([tasks[at] for at in of], [seen[at] for at in of]), strict=True))
    parts = [task.over_seeds.scaled(weight) for task, weight in zip(tasks, share, strict=True)]
    mean = _tested(tasks, share, of_mean, stacked(parts).sum(axis=0), seeds_needed(len(tasks)))
    return mean, [by_task[at] for at in range(len(tasks))]


def _by_task(tasks: Sequence[PairedTask], seen: Sequence[OverImages]) -> list[Change]:
    """Return what moved on the tasks of one data set, which help each other where their seeds are alike."""
    needed, over_seeds = SEEDS_OF_ONE_TASK, [task.over_seeds for task in tasks]
    if len({(task.seeds, task.paired, len(task.before), len(task.after)) for task in tasks}) == 1:
        needed = seeds_needed_by_task(len(tasks))
        if len(tasks) >= TASKS_THAT_HELP and tasks[0].seeds > 1:
            over_seeds = _pooled(tasks, [each.margin for each in seen])
    every = zip(tasks, seen, over_seeds, strict=True)
    return [_tested([task], np.ones(1), each, variance, needed) for task, each, variance in every]


def _pooled(tasks: Sequence[PairedTask], margins: Sequence[float]) -> list[Variance]:
    """Return each task's variance over seeds, or what the mean of all tasks' makes of it if that is more.

    On the logit scale, where they are alike near 100 % and in the middle. A gate looks for the least p value
    of many tasks: there an estimate that is too small by chance finds too much.
    """
    means = np.array([task.means for task in tasks]).mean(axis=1)
    centre = np.clip(means, margins, 1 - np.asarray(margins))
    scale = (centre * (1 - centre)) ** 2
    own = np.array([task.over_seeds.value for task in tasks])
    most = np.maximum(own, (own / scale).mean() * scale)
    return [Variance.of(each, len(tasks) * (tasks[0].seeds - 1)) for each in most]


def _weights(tasks: Sequence[PairedTask]) -> Floats:
    names = [task.place.dataset for task in tasks]
    return np.array([1 / (len(set(names)) * names.count(name)) for name in names])


def _tested(
    tasks: Sequence[PairedTask], share: Floats, seen: OverImages, over_seeds: Variance, needed: int
) -> Change:
    """Return the difference of the means over some tasks with its p value, or what is lacking for one."""
    change = _plain(tasks, share)
    few = 0 < change.seeds < (SEEDS_ALONE if seen.why else needed)
    if change.state == "same" and not (few and any(not task.identical for task in tasks)):
        return change
    if few:
        return replace(change, state="moved", needed=SEEDS_ALONE if seen.why else needed, why=seen.why)
    if seen.variance is None and not change.seeds:
        return replace(change, why=seen.why)
    whole = over_seeds if seen.variance is None else seen.variance + over_seeds
    p = float(whole.p(change.difference, least=seen.least_p))
    se, freedom = float(np.sqrt(whole.value)), float(whole.freedom)
    return replace(change, se=se, p=p, freedom=freedom, least_p=seen.least_p, why=seen.why)


def _plain(tasks: Sequence[PairedTask], share: Floats) -> Change:
    means = share @ np.array([task.means for task in tasks])
    same = all(task.same for task in tasks)
    one = len(tasks) == 1
    return Change(
        place=tasks[0].place if one else tasks[0].place.of_method,
        tasks=0 if one else len(tasks),
        state="same" if same else "moved",
        before=float(means[0]),
        after=float(means[0 if same else 1]),
        seeds=min((task.seeds for task in tasks if task.seeds), default=0),
        changed=tuple(dict.fromkeys(what for task in tasks for what in task.changed)),
    )
