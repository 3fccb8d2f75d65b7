"""Labelled anomalies: in no other part of the task, nested, the same for all; and clear errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import DataError
from bench.core.contamination import Contamination
from bench.core.fewshot import UNLABELLED, FewShot
from bench.data.contaminate import contaminate
from bench.data.fewshot import label_some
from tests.data.test_contaminate import drawn_of, make_task, rows

FROM_TEST = {"source": "test"}


@given(
    number=st.integers(1, 12),
    per=st.sampled_from(["total", "type"]),
    labels_from=st.sampled_from(["pool", "test"]),
    source=st.sampled_from(["holdout", "test", "test_overlap"]),
    rate=st.sampled_from([0.0, 0.1, 0.2]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_labelled_anomalies_are_nowhere_else(
    number: int, per: str, labels_from: str, source: str, rate: float, seed: int
) -> None:
    task = make_task(kinds=3)
    few = FewShot(anomalies=number, per=per, source=labels_from, seed=seed).resolved()
    labelled, drawn = label_some(task, "d", few)
    dirty, _ = contaminate(labelled, "d", Contamination(rate=rate, source=source, seed=seed).resolved())
    own = set(rows(dirty.labelled))
    assert len(own) == drawn["labelled"] == number * (3 if per == "type" else 1)
    assert own <= set(rows(task.anomaly_pool if labels_from == "pool" else task.test))
    assert not own & set(rows(dirty.test))
    assert not own & set(rows(dirty.train))
    assert not own & drawn_of(dirty)
    assert len(dirty.test) == len(dirty.test_labels) == len(dirty.test_types) == len(dirty.masks)


def test_fewer_are_among_more_of_the_same_seed_and_another_seed_draws_others() -> None:
    task = make_task()
    shots = (FewShot(anomalies=5), FewShot(anomalies=10), FewShot(anomalies=10, seed=1))
    tasks = [label_some(task, "d", few)[0] for few in shots]
    five, ten, other = (set(rows(each.labelled)) for each in tasks)
    assert five < ten != other


def test_the_test_set_is_the_same_at_every_number() -> None:
    task = make_task()
    sets = [
        rows(label_some(task, "d", FewShot(anomalies=n, reserve=10, source="test").resolved())[0].test)
        for n in (0, 1, 10)
    ]
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0]) == len(task.test) - 10


def test_without_any_the_task_stays_as_it_was() -> None:
    task = make_task()
    assert label_some(task, "d", UNLABELLED) == (task, {})


def test_so_many_of_each_type() -> None:
    task = make_task(kinds=4)
    labelled, drawn = label_some(task, "d", FewShot(anomalies=2, per="class").resolved())
    kinds = dict(zip(rows(task.anomaly_pool), task.anomaly_pool_types, strict=True))
    found = [kinds[row] for row in rows(labelled.labelled)]
    assert sorted(found) == sorted([f"class{i}" for i in range(4)] * 2)
    assert drawn["labelled"] == 8
    assert len(labelled.anomaly_pool) == len(labelled.anomaly_pool_types) == 42


def test_too_few_are_an_error_that_says_what_can_be_had() -> None:
    task = make_task(anomaly_pool=7)
    with pytest.raises(DataError, match=r"d/t: few_shot asks for 8 .* there are 7 .* ask for at most 7"):
        label_some(task, "d", FewShot(anomalies=8))
    by_type = make_task(kinds=3, anomaly_pool=7)
    with pytest.raises(DataError, match=r"3 labelled anomalies of each type, but of 'class1' there are 2"):
        label_some(by_type, "d", FewShot(anomalies=3, per="type"))
    with pytest.raises(DataError, match="leave none of the 60 of the test set"):
        label_some(task, "d", FewShot(anomalies=60, source="test").resolved())
    with pytest.raises(DataError, match='from = "test"'):
        label_some(replace(task, anomaly_pool=None, anomaly_pool_types=()), "d", FewShot(anomalies=1))


def test_numbers_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        FewShot(anomalies=-1)


def test_one_form_for_what_means_the_same() -> None:
    assert FewShot(anomalies=0, per="type", seed=4).resolved() == UNLABELLED
    assert FewShot(anomalies=2, per="class").resolved() == FewShot(anomalies=2, per="type")
    assert FewShot(anomalies=2, reserve=9).resolved() == FewShot(anomalies=2)
    assert FewShot(anomalies=2, source="test").resolved().reserve == 2
    assert UNLABELLED.setting == ""
    assert FewShot(anomalies=2, per="type").setting == "few_shot[anomalies=2,per=type]"


@pytest.mark.parametrize("source", ["pool", "test"])
def test_those_of_one_type_are_of_it_alone(source: str) -> None:
    task = make_task(kinds=3)
    types = task.anomaly_pool_types if source == "pool" else task.test_types
    kind = sorted(set(types) - {"good"})[-1]
    few = FewShot(anomalies=3, source=source, only=kind).resolved()
    labelled, drawn = label_some(task, "d", few)
    images = task.anomaly_pool if source == "pool" else task.test
    of = dict(zip(rows(images), types, strict=True))
    assert drawn["labelled"] == 3
    assert {of[each] for each in rows(labelled.labelled)} == {kind}
    two, _ = label_some(task, "d", FewShot(anomalies=2, source=source, only=kind).resolved())
    assert set(rows(two.labelled)) < set(rows(labelled.labelled))


def test_too_few_of_one_type_and_a_type_that_is_not_there() -> None:
    task = make_task(kinds=3)
    kind = task.anomaly_pool_types[0]
    with pytest.raises(DataError, match=f"1000 labelled anomalies, but of {kind!r} there are"):
        label_some(task, "d", FewShot(anomalies=1000, only=kind))
    with pytest.raises(DataError, match="of 'nothing', of which there are none"):
        label_some(task, "d", FewShot(anomalies=1, only="nothing"))
