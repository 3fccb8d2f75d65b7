"""Order and dispatch: groups, extractions before cells, the longest first, how near the bound it comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.core.cell import Cell
from bench.run.cost import Costs, Size
from bench.run.schedule import Dispatcher
from bench.run.units import FeatureGroup, Unit, loading_seconds, units
from tests.run.simulate import lower_bound, simulate
from tests.run.workload import cell, past, workload, wrong_by

SIZES = {
    ("shared", "0"): Size(100, 100, {"train": 1000, "test": 100}),
    ("shared", "1"): Size(900, 100, {"train": 1000, "test": 100}),
    ("apart", "0"): Size(50, 50, {"a": 50, "b": 50}),
    ("apart", "1"): Size(50, 50, {"c": 50, "d": 50}),
}


def cells(*names: tuple[str, str]) -> list[Cell]:
    return [
        cell(dataset, task, method, "net", seed)
        for dataset, task in names
        for method in ("dn2", "lof")
        for seed in (0, 1)
    ]


def unit(name: str, seconds: float, *, group: str = "g", part: tuple[int, int] | None = None) -> Unit:
    where = cell(group, name, "dn2", "net", 0)
    return Unit(cells=(where,), group=FeatureGroup((group,), "net", "net"), seconds=seconds, part=part)


def drained(dispatcher: Dispatcher, worker: object = 0) -> list[Unit]:
    """Take and end one unit after the other."""
    taken = []
    while (got := dispatcher.take(worker)) is not None:
        dispatcher.done(got)
        taken.append(got)
    return taken


def test_groups_are_what_shares_sources_and_backbone() -> None:
    work = units(cells(*SIZES), Costs(sizes=SIZES))
    groups = {each.group: each.cells[0].dataset for each in work}
    assert sorted(groups.values()) == ["apart", "apart", "shared"]
    assert sorted(each.cells[0].key for each in work) == sorted(each.key for each in cells(*SIZES))
    unknown = units(cells(*SIZES), Costs())
    assert len({each.group for each in unknown}) == 2, "by data set, where sources are not known"


def test_a_group_is_extracted_once_before_its_cells_and_in_parts_if_it_is_large() -> None:
    sizes = {**SIZES, ("large", "0"): Size(90_000, 10_004, {"l": 100_004})}
    costs = Costs(sizes=sizes)
    work = units(cells(*sizes), costs, extracts=lambda _: True, devices=8)
    by_group: dict[FeatureGroup, list[Unit]] = {}
    for each in work:
        by_group.setdefault(each.group, []).append(each)
    for group, members in by_group.items():
        parts = [each.part for each in members if each.part]
        assert parts == [(at, 8 if group.sources == ("l",) else 1) for at in range(len(parts))]
        assert len(parts) in (1, 8)
        assert [each.runs_cells for each in members] == sorted(each.runs_cells for each in members)
    shared = next(members[0] for group, members in by_group.items() if "train" in group.sources)
    assert {each.task for each in shared.cells} == {"0", "1"}
    assert len(shared.cells) == 2, "each task once"
    assert shared.seconds == pytest.approx(costs.extraction("net", 1100)), "each image once"
    assert work[0].group.sources == ("l",), "the group that takes longest comes first"
    large = [each.seconds for each in work if each.part and each.group.sources == ("l",)]
    assert large == pytest.approx([costs.extraction("net", 100_004) / 8] * 8), "each part has its share"


def test_a_single_cell_extracts_for_itself() -> None:
    assert all(
        each.runs_cells for each in units(cells(("shared", "0"))[:1], Costs(), extracts=lambda _: True)
    )


def test_cells_fitted_together_are_one_unit_whose_seconds_add_up() -> None:
    costs = Costs(past(SIZES), sizes=SIZES)
    work = units(cells(("shared", "0")), costs, together=8, fits_together=lambda each: each.method == "lof")
    assert sorted(len(each.cells) for each in work) == [1, 1, 2]
    pair = next(each for each in work if len(each.cells) == 2)
    assert pair.seconds == pytest.approx(2 * costs.cell(pair.cells[0]).seconds)


def test_the_longest_goes_first_and_all_go() -> None:
    work = [unit("a", 1), unit("b", 5), unit("c", 3)]
    assert [each.seconds for each in drained(Dispatcher(work, devices=1))] == [5, 3, 1]


def test_cells_wait_until_every_part_of_the_extraction_is_done() -> None:
    work = [unit("x", 10, part=(0, 2)), unit("x", 10, part=(1, 2)), unit("a", 1)]
    dispatcher = Dispatcher(work, devices=3)
    first, second = dispatcher.take("one"), dispatcher.take("two")
    assert first is not None
    assert second is not None
    assert {first.part, second.part} == {(0, 2), (1, 2)}
    assert dispatcher.take("three") is None
    dispatcher.done(first)
    assert dispatcher.take("one") is None
    dispatcher.done(second)
    assert dispatcher.take("one") is work[2]


def test_a_worker_stays_with_its_group() -> None:
    work = [unit(str(at), 1.0, group=group) for at in range(50) for group in ("g", "h")]
    dispatcher = Dispatcher(work, devices=2, loading=lambda _: 5.0)
    groups: dict[str, list[str]] = {"one": [], "two": []}
    for _ in range(40):
        for worker, seen in groups.items():
            got = dispatcher.take(worker)
            assert got is not None
            seen.append(got.group.sources[0])
            dispatcher.done(got)
    assert {worker: len(set(seen)) for worker, seen in groups.items()} == {"one": 1, "two": 1}
    assert groups["one"][0] != groups["two"][0]


def test_a_long_unit_starts_at_once_even_behind_an_extraction() -> None:
    work = [
        *(unit(str(at), 1.0, group="short") for at in range(100)),
        unit("x", 1.0, group="long", part=(0, 1)),
        unit("hours", 60.0, group="long"),
    ]
    dispatcher = Dispatcher(work, devices=2)
    assert dispatcher.take("one") is work[100], "not the short cells, though they are more"


def test_what_a_dead_worker_had_is_given_to_another() -> None:
    work = [unit("a", 5.0), unit("b", 1.0)]
    dispatcher = Dispatcher(work, devices=1)
    got = dispatcher.take("one")
    assert got is work[0]
    assert dispatcher.left == 2
    assert dispatcher.seconds_left == pytest.approx(1.0)
    dispatcher.forget("one")
    dispatcher.give_back(got)
    assert dispatcher.seconds_left == pytest.approx(6.0)
    assert drained(dispatcher, "two") == work
    assert dispatcher.left == 0


def test_only_units_that_fit_are_given() -> None:
    work = [unit("a", 5.0), unit("b", 1.0)]
    dispatcher = Dispatcher(work, devices=1)
    assert dispatcher.take("one", lambda each: each.seconds < 2) is work[1]
    assert dispatcher.take("one", lambda each: each.seconds < 2) is None
    assert dispatcher.left == 2


def test_the_bound_is_the_longest_chain_or_the_even_share() -> None:
    work = [unit("x", 4.0, part=(0, 1)), unit("a", 10.0), unit("b", 1.0)]
    loading: Callable[[FeatureGroup], float] = lambda _: 2.0  # noqa: E731
    of: Callable[[Unit], float] = lambda each: each.seconds  # noqa: E731
    assert lower_bound(work, 8, loading, of) == pytest.approx(16.0)
    assert lower_bound(work, 1, loading, of) == pytest.approx(17.0)
    run = simulate(work, devices=1, loading=loading)
    assert (run.makespan, run.loads, run.ratio) == (pytest.approx(17.0), 1, pytest.approx(1.0))
    assert simulate(work, devices=2, loading=loading).makespan == pytest.approx(16.0)


@pytest.mark.parametrize("devices", [8, 16])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_makespan_comes_near_the_bound(devices: int, spread: float) -> None:
    """Also where the estimates are wrong by a factor of 1.6 as a rule."""
    work, costs = workload(1500, devices=devices, datasets=8)
    loading, real = loading_seconds(work, costs), wrong_by(work, spread)
    run = simulate(work, devices=devices, loading=loading.__getitem__, seconds=lambda each: real[id(each)])
    assert 1.0 <= run.ratio <= 1.10
    assert run.loads < len(work) / 5, "workers stay where features are hot"


def test_planning_is_the_same_every_time() -> None:
    work, costs = workload(300, devices=4)
    again, _ = workload(300, devices=4)
    assert work == again
    loading = loading_seconds(work, costs)
    runs = [simulate(each, devices=4, loading=loading.__getitem__) for each in (work, again)]
    assert runs[0] == runs[1]
