"""What is kept of test sets: labels and images, once each, complete or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.contamination import Contamination
from bench.core.errors import ArchiveError
from bench.core.truth import Truth, Truths
from bench.data.contaminate import contaminate
from bench.data.images import Images
from bench.data.origins import contents, origins
from bench.data.source import ArraySource
from bench.data.task import Task
from bench.suite.registry import Registry
from tests.factory import make_cell, make_record, run_cells


def source(name: str, n: int) -> ArraySource:
    return ArraySource(name, f"print of {name}", n, lambda: np.zeros((n, 2, 2, 3), np.uint8))


@pytest.fixture
def task() -> Task:
    train, test = source("train", 6), source("test", 5)
    return Task(
        name="a",
        train=Images.of(train),
        test=Images.of(test, [4, 0, 2, 3]),
        test_labels=np.array([0, 1, 1, 0], np.uint8),
        test_types=("good", "bad", "bad", "good"),
        sources=(train, test),
    )


def digits(method: str = "deep", seed: int | None = None) -> Cell:
    return make_cell("3", method, seed=seed)


def test_a_truth_has_labels_and_images_in_the_order_of_the_scores(task: Task) -> None:
    truth = task.truth()
    assert truth.labels.tolist() == [0, 1, 1, 0]
    assert truth.sources == ("print of test",)
    assert truth.rows.tolist() == [4, 0, 2, 3]
    assert truth.which.tolist() == [0, 0, 0, 0]


def test_the_identity_names_a_file_and_stays_the_same(task: Task) -> None:
    assert task.truth().identity == "2a24b6c3088b0e645c6e4cc134ad6024"


def test_what_left_the_test_set_is_not_in_its_truth(task: Task) -> None:
    changed, drawn = contaminate(task, "toy", Contamination(rate=0.2, source="test"))
    assert drawn["removed_from_test"] == 1
    assert changed.truth().rows.tolist() in ([4, 0, 3], [4, 2, 3])
    assert changed.truth().identity != task.truth().identity


def test_joined_and_sealed_views_know_where_their_images_are() -> None:
    one, two = source("one", 3), source("two", 4)
    joined = Images.of(two, [3, 1]) + Images.of(one, [2]) + Images.of(two, [0])
    sealed, inside = joined.sealed()
    for images in (joined, sealed, (sealed + Images.of(one, [0]))[:4]):
        names, which, rows = origins(images)
        assert [(names[at], int(row)) for at, row in zip(which, rows, strict=True)] == [
            ("print of two", 3),
            ("print of two", 1),
            ("print of one", 2),
            ("print of two", 0),
        ]
    assert len(inside) == 4


def test_a_truth_is_read_back(task: Task, tmp_path: Path) -> None:
    truth = task.truth()
    Truths(tmp_path / "tests").keep(truth)
    assert [path.name for path in (tmp_path / "tests").iterdir()] == [f"{truth.identity}.npz"]
    back = Truths(tmp_path / "tests").read(truth.identity)
    assert back.identity == truth.identity
    assert back.sources == truth.sources
    for name in ("labels", "which", "rows"):
        np.testing.assert_array_equal(getattr(back, name), getattr(truth, name))


def test_every_part_counts_for_the_identity(task: Task) -> None:
    truth = task.truth()
    others = [
        replace(truth, labels=1 - truth.labels),
        replace(truth, rows=truth.rows[::-1]),
        replace(truth, sources=("another",)),
        replace(truth, which=truth.which + 1),
    ]
    assert len({truth.identity, *(other.identity for other in others)}) == 5


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04" + bytes(40), np.zeros(3).tobytes()])
def test_a_damaged_truth_is_refused_and_written_again(task: Task, tmp_path: Path, content: bytes) -> None:
    truth = task.truth()
    path = tmp_path / f"{truth.identity}.npz"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="not the labels of a test set"):
        Truths(tmp_path).read(truth.identity)
    Truths(tmp_path).keep(truth)
    assert Truths(tmp_path).read(truth.identity).identity == truth.identity


def test_another_test_sets_truth_is_refused(task: Task, tmp_path: Path) -> None:
    truth = task.truth()
    (tmp_path / "other.npz").write_bytes(truth.to_bytes())
    with pytest.raises(ArchiveError, match="not those of the record"):
        Truths(tmp_path).read("other")
    (tmp_path / "new.npz").write_bytes(b"")
    np.savez(tmp_path / "new.npz", schema=np.array(99))
    with pytest.raises(ArchiveError, match="schema"):
        Truths(tmp_path).read("new")


def test_the_runner_keeps_the_truth_once_for_all_cells_of_a_task(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    code = (
        "from bench import Method, Scores\n"
        "class Flat(Method):\n"
        "    stochastic = True\n"
        "    def fit(self, train):\n"
        "        pass\n"
        "    def score(self, test):\n"
        "        return Scores(test.features('pixels[size=8]').sum(1) + self.seed % 7)\n"
    )
    (tmp_path / "methods" / "flat.py").write_text(code)
    archive = Archive(tmp_path / "results")
    cells = [digits("flat", seed) for seed in (0, 1)]
    records = run_cells(cells, archive, Registry([tmp_path]))
    assert records[0].truth == records[1].truth
    assert len(list((archive.root / "tests").iterdir())) == 1
    assert archive.keys() == {cell.key for cell in cells}
    truth = Archive(archive.results).truth(records[0])
    assert len(truth.labels) == len(archive.scores(records[0])) == records[0].counts["test"]
    assert truth.labels.sum() == records[0].counts["test_anomalous"]


def test_records_from_before_truths_were_kept_are_read(tmp_path: Path) -> None:
    record = make_record(digits())
    data = json.loads(record.to_json())
    data["schema"] = 1
    del data["truth"]
    old = Record.from_json(json.dumps(data))
    assert old == record
    with pytest.raises(ArchiveError, match="no labels were kept"):
        Archive(tmp_path).truth(old)


def test_content_has_numbers_that_are_no_part_of_the_identity(task: Task, tmp_path: Path) -> None:
    truth = task.truth()
    assert truth.images is not None
    assert (truth.images.dtype, len(set(truth.images.tolist()))) == (np.uint64, 4)
    old = replace(truth, images=None)
    assert old.identity == truth.identity == replace(truth, images=truth.images[::-1]).identity
    for each in (truth, old):
        back = Truth.from_bytes(each.to_bytes())
        assert back.identity == truth.identity
        assert (back.images is None) == (each.images is None)
    np.testing.assert_array_equal(Truth.from_bytes(truth.to_bytes()).images, truth.images)
    # What is there already is not written again, and so stays as it was read before.
    truths = Truths(tmp_path)
    truths.keep(old)
    path = tmp_path / f"{old.identity}.npz"
    before = path.read_bytes()
    assert Truths(tmp_path).read(old.identity).images is None
    assert before == old.to_bytes()


def test_a_file_of_old_is_read(task: Task, tmp_path: Path) -> None:
    """As it was written before content was kept: without the array."""
    truth = task.truth()
    arrays = {
        "schema": np.array(1),
        "labels": truth.labels,
        "sources": np.array(truth.sources, np.str_),
        "which": truth.which,
        "rows": truth.rows,
    }
    with (tmp_path / f"{truth.identity}.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    assert Truths(tmp_path).read(truth.identity).images is None


def test_the_same_image_has_the_same_number_in_every_view(task: Task) -> None:
    test = task.sources[1]
    every = contents(Images.of(test))
    assert len(set(every.tolist())) == 5
    np.testing.assert_array_equal(task.truth().images, every[[4, 0, 2, 3]])
    apart = source("other", 5)
    other = Images.of(apart)
    assert not set(contents(other).tolist()) & set(every.tolist())
    joined = Images.of(test, [3, 1]) + other[:2]
    sealed = joined.sealed()
    for images in (joined, sealed[0]):
        np.testing.assert_array_equal(contents(images), [*every[[3, 1]], *contents(other)[:2]])
    again = source("again", 5)
    again.fingerprint = test.fingerprint
    np.testing.assert_array_equal(contents(Images.of(again)), every)


def test_the_same_file_is_the_same_image_in_every_folder(tmp_path: Path) -> None:
    """Whatever its name and place, and whatever else the folder holds."""
    registry, rng = Registry(), np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 8, 8, 3), np.uint8)
    for folder, shown in (("x", range(6)), ("y", (7, 6, 5, 4, 1, 0))):
        for at, which in enumerate(shown):
            place = ("train/good", "train/good", "test/good", "test/good", "test/bad", "test/bad")[at]
            path = tmp_path / folder / "thing" / place / f"{folder}{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures[which]).save(path)
    truths = [
        registry.open_dataset(f"folder[path={tmp_path / folder}]").task("thing").truth() for folder in "xy"
    ]
    # x tests on 2, 3, 4, 5 and y on 5, 4, 1, 0.
    assert all(truth.images is not None and len(truth.images) == 4 for truth in truths)
    assert len(set(truths[0].images.tolist()) & set(truths[1].images.tolist())) == 2
    assert truths[0].sources != truths[1].sources


def with_types(**changes: Any) -> Truth:
    types = {"types": ("cut", "good", "hole"), "type_of": np.array([1, 0, 2, 2], np.int32)}
    plain = {
        "labels": np.array([0, 1, 1, 1], np.uint8),
        "sources": ("s",),
        "which": np.zeros(4, np.uint8),
        "rows": np.arange(4),
    }
    return Truth(**{**plain, **types, **changes})


def test_types_are_kept_and_change_no_identity() -> None:
    truth = with_types()
    again = Truth.from_bytes(truth.to_bytes())
    assert again.types == truth.types
    assert again.type_of.tolist() == [1, 0, 2, 2]
    assert again.identity == with_types(types=(), type_of=None).identity
    masks = {kind: mask.tolist() for kind, mask in again.anomalous_types.items()}
    assert masks == {"cut": [False, True, False, False], "hole": [False, False, True, True]}
    assert with_types(types=(), type_of=None).anomalous_types == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"type_of": np.array([1, 0, 2, 3], np.int32)},
        {"type_of": np.array([1, 0, 2, -1], np.int32)},
        {"type_of": np.array([1, 0, 2], np.int32)},
        {"type_of": np.array([1, 0, 2, 2], np.int64)},
        {"types": ("a" * 3000, "good", "hole")},
    ],
)
def test_types_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError, match="not the labels of a test set"):
        Truth.from_bytes(with_types(**changes).to_bytes())


def test_labels_of_old_are_written_again_once_types_are_known(tmp_path: Path) -> None:
    old, new = with_types(types=(), type_of=None), with_types()
    Truths(tmp_path).keep(old)
    known = Truths(tmp_path)
    known.keep(new)
    assert known.read(new.identity).types == new.types
    known.keep(old)  # not the other way
    assert Truths(tmp_path).read(new.identity).types == new.types
