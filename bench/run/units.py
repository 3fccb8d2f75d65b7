"""Units of work: cells, in groups that share features, for `bench.run.schedule`. Pure.

A group is the cells with images from the same sources and the same backbone. Its features are extracted once,
by units of their own, before its cells run. Cells that are fitted together are one unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.core.cell import Cell
from bench.run.cost import Costs

#: A part of an extraction takes at least so many seconds and has at least so many images: less is not worth
#: starting a worker and a network.
PART_SECONDS, PART_IMAGES = 30.0, 2048


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """What cells share: the sources of their images (the data set, if unknown) and a backbone."""

    sources: tuple[str, ...]
    backbone: str
    backbone_identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a worker gets: cells to run, or a part of an extraction.

    Attributes
    ----------
    cells : tuple of Cell
        To run, several together; or those whose features to extract.
    group : FeatureGroup
    seconds : float
        Estimated, with features in the store.
    part : tuple of (int, int) or None
        Which part of how many of the group's extraction; None for a unit that runs cells.
    device_bytes : int or None
        Peak memory of the device learned from past records; None is unknown.
    guessed_bytes : int or None
        What counts until a cell like these has run, if nothing was learned (`Costs.guessed_bytes`).
    on_cpu : bool
        The method computes on the CPU, whatever the device is.
    """

    cells: tuple[Cell, ...]
    group: FeatureGroup
    seconds: float
    part: tuple[int, int] | None = None
    device_bytes: int | None = None
    guessed_bytes: int | None = None
    on_cpu: bool = False

    @property
    def runs_cells(self) -> bool:
        return self.part is None


def group_of(cell: Cell, costs: Costs) -> FeatureGroup:
    """Return the group that a cell belongs to."""
    size = costs.sizes.get((cell.dataset, cell.task))
    sources = tuple(sorted(size.sources)) if size and size.sources else (cell.dataset,)
    return FeatureGroup(sources, cell.backbone, cell.backbone_identity)


def units(
    todo: Sequence[Cell],
    costs: Costs,
    *,
    together: int = 1,
    fits_together: Callable[[Cell], bool] = lambda _: False,
    extracts: Callable[[Cell], bool] = lambda _: False,
    on_cpu: Callable[[Cell], bool] = lambda _: False,
    devices: int = 1,
) -> list[Unit]:
    """Return the work: a group's extraction before its cells, the longest first.

    Which cells form a unit depends only on the plan's order, so it is the same for every executor.

    Parameters
    ----------
    together : int
        Fit the heads of up to so many cells in the same steps, where `fits_together` allows it.
    extracts : callable
        Whether a cell asks for pooled features that are worth extracting beforehand.
    on_cpu : callable
        Whether a cell's method computes on the CPU, whatever the device is.
    devices : int
        Cut an extraction into at most so many parts.
    """
    by_group: dict[FeatureGroup, list[Unit]] = defaultdict(list)
    for cells in grouped(todo, fits_together, most=together):
        group = group_of(cells[0], costs)
        by_group[group].append(
            Unit(
                cells=tuple(cells),
                group=group,
                seconds=sum(costs.cell(cell).seconds for cell in cells),
                device_bytes=costs.device_bytes(cells),
                guessed_bytes=costs.guessed_bytes(cells),
                on_cpu=on_cpu(cells[0]),
            )
        )
    ordered = []
    for group, members in by_group.items():
        asking = [cell for unit in members for cell in unit.cells if extracts(cell)]
        first = _extraction(group, asking, costs, devices) if len(asking) > 1 else []
        ordered.append([*first, *sorted(members, key=lambda unit: -unit.seconds)])
    ordered.sort(key=lambda work: -_chain(work))
    return [unit for work in ordered for unit in work]


def _extraction(group: FeatureGroup, asking: Sequence[Cell], costs: Costs, devices: int) -> list[Unit]:
    """Return the parts of a group's extraction, about equal in size."""
    tasks = {(cell.dataset, cell.task, cell.contamination, cell.few_shot): cell for cell in asking}
    images = _distinct_images(asking, costs)
    seconds = costs.extraction(group.backbone_identity, images)
    parts = int(max(1, min(devices, seconds // PART_SECONDS, images // PART_IMAGES)))
    return [
        Unit(cells=tuple(tasks.values()), group=group, seconds=seconds / parts, part=(number, parts))
        for number in range(parts)
    ]


def _distinct_images(cells: Iterable[Cell], costs: Costs) -> int:
    """Count the distinct images of the cells' sources; for tasks with unknown sources, all images."""
    sources: dict[str, int] = {}
    for cell in cells:
        size = costs.sizes.get((cell.dataset, cell.task))
        if size is not None:
            sources |= dict(size.sources) or {f"{cell.dataset}/{cell.task}": size.images}
    return sum(sources.values())


def loading_seconds(work: Iterable[Unit], costs: Costs) -> dict[FeatureGroup, float]:
    """Return the seconds that a worker takes to read each group's features; 0 without a backbone."""
    cells: dict[FeatureGroup, list[Cell]] = defaultdict(list)
    for unit in work:
        cells[unit.group] += unit.cells
    return {
        group: costs.loading(group.backbone_identity, _distinct_images(members, costs))
        if group.backbone
        else 0.0
        for group, members in cells.items()
    }


def _chain(work: Iterable[Unit]) -> float:
    """Return the seconds that a group takes on as many devices as it can use."""
    longest = {True: 0.0, False: 0.0}
    for unit in work:
        longest[unit.runs_cells] = max(longest[unit.runs_cells], unit.seconds)
    return sum(longest.values())


def grouped(
    todo: Iterable[Cell], fits_together: Callable[[Cell], bool], *, most: int
) -> Iterator[list[Cell]]:
    """Yield the cells in order, those that can be fitted in the same steps together.

    These have the same data set, method and parameters; they move up to the first of them.
    """
    models: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    cells = []
    for cell in todo:
        if cell.train_name != cell.task_name:  # one model for several tasks
            models[*_kind(cell), cell.contamination, cell.few_shot, cell.seed].append(cell)
        else:
            cells.append(cell)
    yield from models.values()
    if most == 1:
        yield from ([cell] for cell in cells)
        return
    alike: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        alike[_kind(cell)].append(cell)
    offers = {kind: fits_together(members[0]) for kind, members in alike.items()}
    done: set[str] = set()
    for cell in cells:
        if cell.key not in done:
            kind = _kind(cell)
            group = alike[kind][:most] if offers[kind] else [cell]
            if offers[kind]:
                del alike[kind][:most]
            done.update(each.key for each in group)
            yield group


def _kind(cell: Cell) -> tuple[object, ...]:
    return cell.dataset, cell.method, cell.params, cell.backbone, cell.code, cell.backbone_identity
