from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import ArraySource, DataError, Images, Task
from bench.core.contamination import AGAIN, PRESETS, Contamination
from bench.data.contaminate import contaminate, hash_order, shortfall
from bench.data.copied import jitter, move
from bench.data.images import SealedView
from bench.data.origins import decoded_image
from bench.data.task import LazyMasks


def blank(name: str, n: int) -> ArraySource:
    return ArraySource(name, name, n, lambda: np.zeros((n, 1, 1, 3), np.uint8))


def make_task(n: int = 40, good: int = 15, bad: int = 60, anomaly_pool: int = 50, kinds: int = 0) -> Task:
    """Return a task; each anomaly has a type of its own, or one of `kinds` types in turn."""
    train, test = blank("train", n + anomaly_pool), blank("test", good + bad)
    labels = np.array([0] * good + [1] * bad, np.uint8)
    return Task(
        name="t",
        train=Images.of(train, range(n)),
        test=Images.of(test),
        test_labels=labels,
        test_types=tuple(f"kind{i % kinds if kinds else i}" for i in range(good + bad)),
        anomaly_pool=Images.of(train, range(n, n + anomaly_pool)),
        anomaly_pool_types=tuple(f"class{i % (kinds or 1)}" for i in range(anomaly_pool)),
        masks=LazyMasks(lambda row: np.full((1, 1), bool(labels[row])), range(good + bad)),
        sources=(train, test),
    )


def rows(images: Images) -> list[tuple[int, int]]:
    """Return (source, row) of each image."""
    if isinstance(inside := images._source(0), SealedView):
        return rows(inside.images[images._rows])
    return [
        (images._tickets[which], int(row)) for which, row in zip(images._which, images._rows, strict=True)
    ]


def drawn_of(changed: Task) -> set[tuple[int, int]]:
    return {at for at, label in zip(rows(changed.train), changed.train_labels, strict=True) if label}


rates = st.sampled_from(["0", "0.01", "0.05", "0.1", "0.15", "0.2", "1/3", "0.4", "0.5"]).map(
    lambda text: float(Fraction(text))
)
#: Every combination of what a contamination says but its rates.
hows = st.fixed_dictionaries(
    {
        "of": st.sampled_from(["set", "normals"]),
        "mode": st.sampled_from(["add", "replace"]),
        "source": st.sampled_from(["holdout", "test", "test_overlap", "jittered"]),
        "draw": st.sampled_from(["uniform", "per_type", "one_class"]),
        "shortage": st.sampled_from(["error", "cap", "repeat", "redraw", "move", "skip"]),
        "seed": st.integers(0, 5),
    }
)


def plenty(n: int) -> Task:
    """Return a task of which one type alone has enough anomalies for every rate."""
    return make_task(n=n, bad=3 * (n + 1), anomaly_pool=3 * (n + 1), kinds=3)


@given(rates, rates, hows, st.integers(1, 60))
def test_the_rate_is_exact_to_one_image(rate: float, reserve: float, how: dict[str, Any], n: int) -> None:
    given_how = Contamination(rate=rate, reserve=reserve, **how).resolved()
    task = plenty(n)
    changed, drawn = contaminate(task, "d", given_how)
    count, size = int(changed.train_labels.sum()), len(changed.train)
    assert count == drawn["count"]
    assert size == (n if how["mode"] == "replace" else n + count)
    base = size if how["of"] == "set" else n
    # One image more would exceed the rate: in the resulting set, or of the normals.
    assert count <= rate * base + 1e-9
    more = base + (how["of"] == "set" and how["mode"] == "add")
    assert (count + 1) > rate * more - 1e-9
    assert drawn["rate"] == (count / size if size else 0)
    assert math.isclose(drawn["rate"], changed.train_labels.mean())
    assert len(drawn["indices"]) == (16 if count else 0)
    removed = Contamination(rate=max(rate, reserve), **how).count(n) if how["source"] == "test" else 0
    assert drawn["removed_from_test"] == removed == len(task.test) - len(changed.test)


@given(hows, st.integers(1, 60))
def test_draws_are_nested_over_rates(how: dict[str, Any], n: int) -> None:
    task = plenty(n)
    before: set[Any] = set()
    normals_before = set(rows(task.train))
    for rate in (0.05, 0.1, 0.2, 0.4):
        changed, _ = contaminate(task, "d", Contamination(rate=rate, **how))
        drawn = drawn_of(changed)
        normals = set(rows(changed.train)) - drawn
        if how["source"] == "jittered":  # each call has a source of its own for the copies
            drawn = {(0, row) for _, row in drawn}
        assert before <= drawn
        assert normals <= normals_before
        before, normals_before = drawn, normals


@given(rates, rates, hows, st.integers(1, 60))
def test_train_and_test_share_no_image_unless_asked(
    rate: float, reserve: float, how: dict[str, Any], n: int
) -> None:
    task = plenty(n)
    changed, drawn = contaminate(task, "d", Contamination(rate=rate, reserve=reserve, **how))
    shared = set(rows(changed.train)) & set(rows(changed.test))
    assert len(rows(changed.train)) == len(set(rows(changed.train)))
    assert set(rows(changed.test)) <= set(rows(task.test))
    if how["source"] == "test_overlap":
        assert len(shared) == drawn["count"]
    else:
        assert not shared
    if how["source"] != "test":
        assert rows(changed.test) == rows(task.test)
    assert changed.test_labels.any()
    assert not changed.test_labels.all()


@given(rates, hows, st.integers(0, 12))
def test_no_more_is_drawn_than_there_is(rate: float, how: dict[str, Any], there: int) -> None:
    task = make_task(n=20, bad=there, anomaly_pool=there, kinds=2)
    given_how = Contamination(rate=rate, **how)
    wanted, lacking = given_how.count(20), shortfall(task, "d", given_how)
    assert 0 <= lacking <= wanted
    again = how["shortage"] in AGAIN and how["source"] != "test" and wanted > lacking
    if lacking and how["shortage"] != "cap" and not again:
        with pytest.raises(DataError, match="anomalies for 20 train images"):
            contaminate(task, "d", given_how)
        return
    changed, drawn = contaminate(task, "d", given_how)
    assert drawn["count"] == (wanted if again else wanted - lacking)
    assert how["source"] != "test" or changed.test_labels.sum() == there - drawn["removed_from_test"]
    assert changed.test_labels.any() == bool(there)


@given(rates, st.integers(0, 5))
def test_labels_types_and_masks_of_the_test_set_stay_together(rate: float, seed: int) -> None:
    task = make_task()
    changed, _ = contaminate(task, "d", Contamination(rate=rate, source="test", seed=seed))
    for i, (_, row) in enumerate(rows(changed.test)):
        assert changed.test_types[i] == f"kind{row}"
        assert changed.test_labels[i] == task.test_labels[row]
        assert changed.masks[i][0, 0] == bool(task.test_labels[row])


def test_masks_stay_lazy() -> None:
    asked: list[int] = []
    task = make_task()
    lazy = LazyMasks(lambda row: asked.append(row) or np.zeros((1, 1), bool), range(len(task.test)))
    task = Task(**{field: getattr(task, field) for field in task.__slots__} | {"masks": lazy})
    changed, _ = contaminate(task, "d", Contamination(rate=0.2, source="test"))
    assert asked == []
    assert len(changed.masks) == len(changed.test)
    assert len(changed.masks[2:5]) == 3
    changed.masks[3]
    assert asked == [rows(changed.test)[3][1]]


@settings(max_examples=20)
@given(st.integers(0, 5), st.sampled_from(["set", "normals"]), st.sampled_from(["add", "replace"]))
def test_the_test_set_is_the_same_for_a_whole_curve(seed: int, of: Any, mode: Any) -> None:
    task = make_task()
    test_sets = []
    for rate in (0.0, 0.1, 0.4):
        how = Contamination(rate=rate, of=of, mode=mode, source="test", seed=seed, reserve=0.4)
        changed, drawn = contaminate(task, "d", how)
        test_sets.append(rows(changed.test))
        assert drawn["removed_from_test"] == how.count(40, 0.4)
    assert test_sets[0] == test_sets[1] == test_sets[2]


def test_the_draw_depends_on_seed_data_set_and_task_alone() -> None:
    how = Contamination(rate=0.2)
    first, note = contaminate(make_task(), "d", how)
    again, same_note = contaminate(make_task(), "d", how)
    assert note == same_note
    assert [row for _, row in rows(first.train)] == [row for _, row in rows(again.train)]
    others = [
        contaminate(make_task(), "e", how)[1],
        contaminate(make_task(), "d", Contamination(rate=0.2, seed=1))[1],
    ]
    assert len({note["indices"], *(other["indices"] for other in others)}) == 3


def test_draws_are_the_same_on_every_platform() -> None:
    assert hash_order(8, "contamination", 0, "d", "t").tolist() == [1, 4, 5, 2, 6, 3, 0, 7]
    types = {
        draw: contaminate(make_task(kinds=3), "d", Contamination(rate=0.2, draw=draw))[1]["indices"]
        for draw in ("uniform", "per_type", "one_class")
    }
    assert types == {
        "uniform": "f7e05ae0ac2df52a",
        "per_type": "54fdec8357d5cb15",
        "one_class": "733a54a49f6296d5",
    }
    _, drawn = contaminate(make_task(), "d", Contamination(rate=0.2))
    assert drawn == {"count": 10, "rate": 0.2, "indices": "f7e05ae0ac2df52a", "removed_from_test": 0}


def test_anomalies_do_not_stand_together() -> None:
    changed, _ = contaminate(make_task(), "d", Contamination(rate=0.2))
    places = np.flatnonzero(changed.train_labels)
    assert places.min() < 25 < places.max()


@given(st.integers(0, 200))
def test_an_order_is_a_permutation(n: int) -> None:
    assert sorted(hash_order(n, "x").tolist()) == list(range(n))


def test_a_shortage_is_an_error_or_capped() -> None:
    task = make_task(n=40, anomaly_pool=5)
    with pytest.raises(DataError, match=r"d/t: contamination of 20% \(set\) needs 10 .* holdout has 5"):
        contaminate(task, "d", Contamination(rate=0.2))
    changed, drawn = contaminate(task, "d", Contamination(rate=0.2, shortage="cap"))
    assert drawn["count"] == 5
    assert drawn["rate"] == 5 / 45 == changed.train_labels.mean()


@pytest.mark.parametrize(("bad", "count"), [(0, 0), (1, 0), (3, 2)])
def test_one_anomaly_always_stays_in_the_test_set(bad: int, count: int) -> None:
    task = make_task(bad=bad)
    how = Contamination(rate=0.4, source="test", shortage="cap")
    changed, drawn = contaminate(task, "d", how)
    assert drawn["count"] == count
    assert changed.test_labels.sum() == min(bad, 1)
    with pytest.raises(DataError, match="test has"):
        contaminate(task, "d", Contamination(rate=0.4, source="test"))


def test_without_a_holdout_the_message_says_what_to_set() -> None:
    task = make_task()
    bare = Task(
        **{field: getattr(task, field) for field in task.__slots__}
        | {"anomaly_pool": None, "anomaly_pool_types": ()}
    )
    with pytest.raises(DataError, match='source = "test"'):
        contaminate(bare, "d", Contamination(rate=0.1))


def test_a_clean_task_is_the_same_task_with_known_labels() -> None:
    task = make_task()
    changed, drawn = contaminate(task, "d", Contamination())
    assert rows(changed.train) == rows(task.train)
    assert changed.train_labels.tolist() == [0] * 40
    assert drawn["count"] == 0


@pytest.mark.parametrize("rate", [-0.1, 0.51, math.nan, math.inf])
def test_rates_outside_0_to_a_half_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"outside 0 to 0\.5"):
        Contamination(rate=rate)


def test_what_means_the_same_is_the_same() -> None:
    assert Contamination(rate=0.0, of="normals", seed=3).resolved() == Contamination()
    assert Contamination(rate=0.1, source="test").resolved() == Contamination(
        rate=0.1, source="test", reserve=0.1
    )
    assert Contamination(rate=0.1, reserve=0.4).resolved() == Contamination(rate=0.1)


def typed_task(types: dict[str, int], n: int = 40) -> Task:
    """Return a task whose test anomalies are of the given types, so many of each."""
    task = make_task(n=n, bad=sum(types.values()))
    kinds = [kind for kind, many in types.items() for _ in range(many)]
    return replace(task, test_types=("good",) * 15 + tuple(kinds))


def drawn_types(task: Task, changed: Task) -> Counter[str]:
    test = task.test._tickets[0]
    return Counter(task.test_types[row] for ticket, row in drawn_of(changed) if ticket == test)


@given(st.integers(0, 9), st.sampled_from(["test", "test_overlap"]))
def test_per_type_deals_in_turn(seed: int, source: Any) -> None:
    task = typed_task({"scratch": 20, "hole": 20, "stain": 3})
    changed, _ = contaminate(task, "d", Contamination(rate=0.2, source=source, draw="per_type", seed=seed))
    counts = drawn_types(task, changed)
    assert sum(counts.values()) == 10
    assert counts["stain"] == 3
    assert abs(counts["scratch"] - counts["hole"]) <= 1


def test_one_class_is_clustered_and_its_class_depends_on_the_seed() -> None:
    task = typed_task({"scratch": 20, "hole": 20, "stain": 20})
    chosen = set()
    for seed in range(12):
        how = Contamination(rate=0.2, source="test", draw="one_class", seed=seed)
        changed, drawn = contaminate(task, "d", how)
        ((kind, many),) = drawn_types(task, changed).items()
        assert many == drawn["count"] == 10
        chosen.add(kind)
    assert chosen == {"scratch", "hole", "stain"}


def test_one_class_may_use_up_its_class_but_not_the_test_set() -> None:
    how = Contamination(rate=0.2, source="test", draw="one_class")
    changed, _ = contaminate(typed_task({"a": 10, "b": 10}), "d", how)
    assert Counter(changed.test_types)["good"] == 15
    assert sorted([Counter(changed.test_types)["a"], Counter(changed.test_types)["b"]]) == [0, 10]
    with pytest.raises(DataError, match="test has 9"):
        contaminate(typed_task({"a": 10}), "d", how)


def test_jittered_copies_are_new_images_and_the_test_set_stays() -> None:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (75, 2, 3, 3)), np.ones((1, 10, 10, 1), int)).astype(np.uint8)
    source = ArraySource("test", "t", 75, lambda: pixels)
    task = replace(make_task(), test=Images.of(source), sources=(source,))
    how = Contamination(rate=0.2, source="jittered", seed=3)
    changed, drawn = contaminate(task, "d", how)
    assert rows(changed.test) == rows(task.test)
    assert drawn["removed_from_test"] == 0
    # The same originals as with overlap, for the same seed.
    overlap, _ = contaminate(task, "d", Contamination(rate=0.2, source="test_overlap", seed=3))
    copies = [decoded_image(changed.train, int(i)) for i in np.flatnonzero(changed.train_labels)]
    originals = [decoded_image(overlap.train, int(i)) for i in np.flatnonzero(overlap.train_labels)]
    for copy, original in zip(copies, originals, strict=True):
        assert copy.shape == original.shape
        difference = np.abs(copy.astype(int) - original.astype(int))
        assert 0.5 < difference.mean() < 60
        assert np.corrcoef(copy.ravel(), original.ravel())[0, 1] > 0.8
    again, _ = contaminate(task, "d", how)
    for i in np.flatnonzero(changed.train_labels):
        assert np.array_equal(decoded_image(again.train, int(i)), decoded_image(changed.train, int(i)))


def test_jitter_follows_the_published_steps() -> None:
    flat = np.full((300, 400, 3), 100, np.uint8)
    flat[:, 200:] = 200
    made = jitter(flat, np.random.default_rng(0))
    assert made.shape == (256, 256, 3), "larger images are read at 256 x 256"
    assert made.min() <= 12, "the least value is stretched to 0"
    assert made.max() >= 243, "the greatest value is stretched to 255"
    left, right = made[:, :120].astype(float), made[:, 136:].astype(float)
    assert right.mean() - left.mean() > 150
    assert 1 < left.std() < 12, "the noise is there and light"


def test_a_shortage_can_be_drawn_again() -> None:
    task = make_task(bad=4)
    how = Contamination(rate=0.2, source="jittered", shortage="repeat")
    changed, drawn = contaminate(task, "d", how)
    assert drawn["count"] == 10 == changed.train_labels.sum()
    with pytest.raises(DataError, match="jittered has 4"):
        contaminate(task, "d", Contamination(rate=0.2, source="jittered"))


@pytest.mark.parametrize(
    ("how", "most"),
    [
        ({"of": "set", "mode": "add"}, "11.1"),
        ({"of": "normals", "mode": "add"}, "12.5"),
        ({"of": "set", "mode": "replace"}, "12.5"),
    ],
)
def test_a_shortage_says_which_rate_can_be_had(how: dict[str, Any], most: str) -> None:
    task = make_task(n=40, anomaly_pool=5)
    with pytest.raises(DataError, match=rf"lower the rate \(at most {most} % can be had\)"):
        contaminate(task, "d", Contamination(rate=0.3, **how))
    _, drawn = contaminate(task, "d", Contamination(rate=float(most) / 100, **how))
    assert drawn["count"] in (4, 5)  # rounded down to a tenth of a percent


def test_shortfall_says_how_many_are_lacking() -> None:
    task = make_task(anomaly_pool=7)
    assert shortfall(task, "d", Contamination(rate=0.1)) == 0
    assert shortfall(task, "d", Contamination(rate=0.2)) == 3
    assert shortfall(task, "d", Contamination()) == 0


def test_official_splits_bring_their_own_truth() -> None:
    labels = np.array([0] * 36 + [1] * 4, np.uint8)
    task = replace(make_task(), train_labels=labels)
    changed, drawn = contaminate(task, "d", Contamination(rate=0.1, source="official").resolved())
    assert drawn["count"] == 4
    assert drawn["rate"] == 0.1
    assert changed.train_labels is labels
    others = replace(task, train_labels=labels[::-1].copy())
    assert len(drawn["indices"]) == 16
    assert drawn["indices"] != contaminate(others, "d", Contamination())[1]["indices"]
    assert Contamination(rate=0.1, source="official", seed=5, of="normals").resolved() == Contamination(
        rate=0.1, source="official"
    )


# --- presets ------------------------------------------------------------------------------------------------


def by_preset(task: Task, preset: str, rate: float) -> tuple[Task, dict[str, Any]]:
    """Contaminate as a paper's code does."""
    given_how: dict[str, Any] = dict(PRESETS[preset])
    return contaminate(task, "d", Contamination(rate=rate, **given_how))


def test_adl_adds_jittered_copies_and_draws_again_when_short() -> None:
    task = make_task(n=209, bad=63)
    changed, drawn = by_preset(task, "adl", 0.1)
    assert drawn["count"] == int(0.1 / 0.9 * 209) == 23
    assert rows(changed.test) == rows(task.test)
    short = make_task(n=209, bad=20)
    changed, drawn = by_preset(short, "adl", 0.2)
    assert drawn["count"] == int(0.2 / 0.8 * 209) == 52
    assert len(changed.train) == 209 + 52


def test_softpatch_counts_by_normals_with_and_without_overlap() -> None:
    task = make_task(n=209, bad=63)
    without, drawn = by_preset(task, "softpatch", 0.1)
    assert (drawn["count"], drawn["removed_from_test"]) == (20, 20)
    assert int(without.test_labels.sum()) == 43
    overlap, drawn = by_preset(task, "softpatch-overlap", 0.1)
    assert (drawn["count"], drawn["removed_from_test"]) == (20, 0)
    assert rows(overlap.test) == rows(task.test)
    assert drawn_of(overlap) <= set(rows(overlap.test))


@pytest.mark.parametrize("preset", ["deepsad", "hscl"])
def test_semantic_presets_draw_from_the_train_split(preset: str) -> None:
    task = replace(
        make_task(n=100, anomaly_pool=90), anomaly_pool_types=tuple(f"class{i % 9}" for i in range(90))
    )
    changed, drawn = by_preset(task, preset, 0.1)
    assert drawn["count"] == 11
    assert rows(changed.test) == rows(task.test)
    assert drawn_of(changed) <= set(rows(task.anomaly_pool))
    of_class = Counter(rows(task.anomaly_pool).index(at) % 9 for at in drawn_of(changed))
    if preset == "hscl":  # stratified: 11 over nine classes
        assert sorted(of_class.values()) == [1] * 7 + [2] * 2


def test_meds_takes_what_there_is_and_leaves_the_test_set() -> None:
    """Hazelnut's 391 normal images and 70 anomalies at "40 %": all are trained on, 17.9 % of the normals."""
    task = make_task(n=391, good=40, bad=70)
    changed, drawn = by_preset(task, "meds", 0.4)
    assert drawn["count"] == 70
    assert drawn["rate"] == pytest.approx(70 / 461)
    assert "repeats" not in drawn
    assert rows(changed.test) == rows(task.test)
    assert by_preset(make_task(n=209, bad=63), "meds", 0.2)[1]["count"] == 41


def test_softpatch_plus_moves_what_it_draws_again() -> None:
    task = make_task(n=40, bad=6)
    changed, drawn = by_preset(task, "softpatch-plus", 0.4)
    assert drawn["count"] == 16
    assert drawn["repeats"] == 10
    assert rows(changed.test) == rows(task.test)
    inside = drawn_of(changed)
    assert len(inside & set(rows(task.test))) == 6, "each anomaly once as it is"
    assert len(inside) == 16, "and the others as copies, each of its own"
    assert by_preset(make_task(n=40, bad=30), "softpatch-plus", 0.4)[1].get("repeats", 0) == 0


def test_transductive_tests_on_the_images_trained_on() -> None:
    task = make_task(n=40, good=15, bad=60, anomaly_pool=50)
    for rate in (0.0, 0.2):
        changed, drawn = by_preset(task, "transductive", rate)
        assert rows(changed.test) == rows(changed.train)
        assert drawn["count"] == int(rate * 55), "of the normal images of both splits"
        assert changed.test_labels.tolist() == changed.train_labels.tolist()
        normal = set(rows(task.train)) | set(rows(task.test)[:15])
        assert set(rows(changed.train)) - drawn_of(changed) == normal
        kinds = [kind for kind, label in zip(changed.test_types, changed.test_labels, strict=True) if label]
        assert len(kinds) == drawn["count"]
        assert "kind0" not in kinds, "a normal image's type"
    both = drawn_of(by_preset(task, "transductive", 0.5)[0])
    assert both & set(rows(task.test))
    assert both & set(rows(task.anomaly_pool))
    clean = Contamination(source="transductive", of="normals", shortage="cap")
    assert clean.resolved() == Contamination(source="transductive") != Contamination()


def test_redrawing_is_with_replacement_and_by_the_seed() -> None:
    task = make_task(n=100, bad=10)
    counts = []
    for seed in range(40):
        how = Contamination(rate=0.2, source="test_overlap", shortage="redraw", seed=seed)
        changed, drawn = contaminate(task, "d", how)
        assert contaminate(task, "d", how)[1] == drawn
        assert drawn["count"] == 25
        of_image = Counter(
            at for at, label in zip(rows(changed.train), changed.train_labels, strict=True) if label
        )
        assert drawn["repeats"] == 25 - len(of_image)
        counts.append(len(of_image))
    # The number of different images of 25 draws from 10 is 10 (1 - 0.9^25) = 9.28 on average.
    assert np.mean(counts) == pytest.approx(9.28, abs=0.3)
    assert min(counts) < 10
    enough = Contamination(rate=0.05, source="test_overlap", shortage="redraw")
    assert contaminate(task, "d", enough)[1] == contaminate(task, "d", replace(enough, shortage="error"))[1]


def test_moved_copies_are_turned_and_shifted_a_little() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 90:110] = 255
    centres = []
    for seed in range(50):
        made = move(image, np.random.default_rng(seed))
        assert made.shape == image.shape
        weight = made[..., 0].astype(float)
        centres.append([(weight * at).sum() / weight.sum() for at in np.indices((100, 200))])
    away = np.array(centres) - [49.5, 99.5]
    assert np.abs(away[:, 0]).max() <= 3.1, "3 % of the height"
    assert np.abs(away[:, 1]).max() <= 6.1, "3 % of the width"
    assert np.abs(away).max(0).min() > 2
    flat = move(np.full((30, 30, 3), 77, np.uint8), np.random.default_rng(0))
    assert (flat == 77).all(), "no edge comes into view"


def test_every_preset_is_tried_here() -> None:
    tried = {"adl", "softpatch", "softpatch-overlap", "deepsad", "hscl"}
    tried |= {"meds", "softpatch-plus", "transductive"}
    assert set(PRESETS) == tried | {"llbnad"}  # whose official splits Real-IAD's tests open
