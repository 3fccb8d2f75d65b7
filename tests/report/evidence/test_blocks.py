"""Which data sets are independent: those that share test images are one block and vary together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.plan import Entry
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.scored import image_keys
from tests.report.evidence.scored_factory import noisy, truth_of, write_archive
from tests.report.report_factory import columns, make_plan, make_records, row

A, B = row("a"), row("b")
LABELS = np.arange(40) >= 20


def evidence(folder: Path, truths: dict[str, Truth], score: Callable | None = None) -> Evidence:
    """Return the evidence of two methods on data sets of one task, each with its truth."""
    plan = make_plan((A, B), columns(**{name: ["t"] for name in truths}))

    def made(entry: Entry, truth: Truth) -> object:
        return noisy(entry, truth, 1.0 + entry.row)

    archive, records = write_archive(folder, plan, score or made, lambda entry: truths[entry.cell.dataset])
    return Evidence(Board(plan, records), archive)


def shown(first: int, source: str, *, content: bool = True) -> Truth:
    """Return a test set of 40 images whose content has the numbers from `first` on."""
    return truth_of(LABELS, source=source, content=np.arange(40) + first if content else None)


def test_adapters_that_show_the_same_pictures_are_one_data_set(tmp_path: Path) -> None:
    """By content: their sources, and so the rows in them, are others."""
    found = evidence(
        tmp_path, {"mvtec": shown(0, "a"), "folder[path=mvtec]": shown(0, "b"), "visa": shown(500, "c")}
    )
    assert found.blocks == {"mvtec": 0, "folder[path=mvtec]": 0, "visa": 1}
    compared = found.overall(0.0)
    assert compared is not None
    assert compared.n == 2


def test_two_folders_that_share_none_are_two(tmp_path: Path) -> None:
    found = evidence(tmp_path, {"folder[path=x]": shown(0, "x"), "folder[path=y]": shown(500, "y")})
    assert found.blocks == {"folder[path=x]": 0, "folder[path=y]": 1}


@pytest.mark.parametrize(("first", "blocks"), [(39, [0, 0]), (40, [0, 1])])
def test_one_common_picture_is_enough(tmp_path: Path, first: int, blocks: list[int]) -> None:
    found = evidence(tmp_path, {"x": shown(0, "x"), "y": shown(first, "y")})
    assert list(found.blocks.values()) == blocks


def test_what_shares_with_both_joins_them(tmp_path: Path) -> None:
    found = evidence(
        tmp_path,
        {"x": shown(0, "x"), "y": shown(60, "y"), "apart": shown(900, "z"), "both": shown(30, "both")},
    )
    assert found.blocks == {"x": 0, "y": 0, "apart": 1, "both": 0}


def test_files_of_old_say_it_by_source_and_row(tmp_path: Path) -> None:
    held = {"x[k=1]": shown(0, "s", content=False), "y": shown(0, "s", content=False), "z": shown(0, "t")}
    found = evidence(tmp_path, held)
    assert found.blocks == {"x[k=1]": 0, "y": 0, "z": 1}


def test_where_the_images_are_not_at_hand_variants_of_one_adapter_are_one() -> None:
    names = ("textures[size=64]", "textures[size=96]", "x", "textures")
    plan = make_plan((A, B), columns(**{name: ["t"] for name in names}))
    found = Evidence(Board(plan, make_records(plan)))
    assert found.blocks == {"textures[size=64]": 0, "textures[size=96]": 0, "x": 1, "textures": 0}


def test_one_of_which_the_images_are_not_at_hand(tmp_path: Path) -> None:
    """Then variants count as one; other adapters as others."""
    held = {"folder[path=x]": shown(0, "x"), "folder[path=y]": shown(500, "y"), "z": shown(0, "x")}
    found = evidence(tmp_path, held)
    for path in (tmp_path / "records" / "tests").glob("*.npz"):
        if path.stem == held["folder[path=y]"].identity:
            path.write_bytes(b"torn")
    again = Evidence(found.board, type(found.archive)(tmp_path))  # type: ignore[misc, call-arg]
    assert again.blocks == {"folder[path=x]": 0, "folder[path=y]": 0, "z": 0}
    assert list(again.why) == ["folder[path=y]"]


def test_two_protocols_on_the_same_pictures_vary_together(tmp_path: Path) -> None:
    """With the same scores their average is no more certain than either; with others' pictures it is."""
    scores = np.random.default_rng(0).normal(size=40) + LABELS

    def same(entry: Entry, _: Truth) -> object:
        return scores if entry.row == 0 else scores[::-1] + 2 * LABELS

    widths = {}
    for name, first in (("shared", 0), ("apart", 500)):
        found = evidence(tmp_path / name, {"x": shown(0, "x"), "y": shown(first, "y")}, same)
        low, high = found.overall_interval(0, 0.0) or (0, 0)
        alone = found.interval(0, (0,), 0.0) or (0, 0)
        widths[name] = (high - low) / (alone[1] - alone[0])
    assert widths["shared"] == pytest.approx(1.0, rel=1e-6)
    assert widths["apart"] == pytest.approx(0.5**0.5, rel=0.05)


def test_a_picture_that_is_normal_here_and_anomalous_there(tmp_path: Path) -> None:
    """One-vs-rest as two data sets: what an image adds to both is summed before it is squared."""
    turned = truth_of(~LABELS, source="y", content=np.arange(40))
    found = evidence(tmp_path, {"x": shown(0, "x"), "y": turned})
    assert list(found.blocks.values()) == [0, 0]
    parts = [found.parts(name, [0], 0.0) for name in ("x", "y")]
    compared = found.samples(["x", "y"], (0,), 0.0)
    assert compared.images is not None
    assert compared.images[0].parts == pytest.approx((parts[0] + parts[1]) / 2)  # type: ignore[operator]
    assert len(set(compared.images[0].strata.tolist())) == 2


def test_numbers_of_images() -> None:
    """By content where all know it; else two images are one where source and row are."""
    new = [shown(0, "a"), shown(30, "b")]
    assert len(np.intersect1d(*image_keys(new))) == 10
    old = [shown(0, "a", content=False), shown(30, "b")]
    assert len(np.intersect1d(*image_keys(old))) == 0
    same = [shown(0, "a", content=False), shown(900, "a")]
    assert len(np.intersect1d(*image_keys(same))) == 40
    rows = [truth_of(LABELS, np.arange(40) + first, "a") for first in (0, 39)]
    assert len(np.intersect1d(*image_keys(rows))) == 1
