"""A suite expanded into cells: which there are, which are one, and what their keys depend on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.contamination import Contamination
from bench.core.errors import DataError, SuiteError
from bench.core.plan import Plan
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import Suite, load_suite


def suite_of(tmp_path: Path, text: str) -> Suite:
    path = tmp_path / "trial.toml"
    path.write_text(text)
    return load_suite(path)


def plan_of(tmp_path: Path, text: str) -> Plan:
    return make_plan(suite_of(tmp_path, text), Registry())


def test_the_smallest_suite(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'title = "Pixels"\ndatasets = ["digits"]\n'
        'methods = ["dn2[k=2,backbone=pixels]", "mean_distance[backbone=pixels]"]\n'
        "contamination = [0.0]\nseeds = [0]\n",
    )
    assert (plan.suite, plan.title) == ("trial", "Pixels")
    assert [row.label for row in plan.rows] == ["dn2[k=2,backbone=pixels]", "mean_distance[backbone=pixels]"]
    assert [column.task for column in plan.columns] == list("0123456789")
    assert len({entry.cell.key for entry in plan.entries}) == len(plan.entries) == 20


def test_a_deterministic_method_has_one_cell_for_all_seeds(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = ["digits[task=3]", "textures[task=wood]"]\n'
        'methods = ["random", "mean_distance[backbone=pixels]"]\n'
        "contamination = [0.0, 0.1]\nseeds = [0, 1, 2]\n",
    )
    counts = Counter((e.cell.dataset, e.cell.method, e.rate) for e in plan.entries)
    assert counts == {
        ("digits", "random", 0.0): 3,
        ("digits", "random", 0.1): 3,
        # Clean and deterministic: nothing is left to vary.
        ("digits", "mean_distance", 0.0): 1,
        ("digits", "mean_distance", 0.1): 3,
        # Anomalies come out of the test set, at every rate: another draw is another test set.
        ("textures", "random", 0.0): 3,
        ("textures", "random", 0.1): 3,
        ("textures", "mean_distance", 0.0): 3,
        ("textures", "mean_distance", 0.1): 3,
    }
    for entry in plan.entries:
        assert (entry.cell.seed is None) == (entry.cell.method == "mean_distance")


def test_parameters_can_make_a_method_deterministic(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = ["digits[task=3]"]\nmethods = ["cap", "cap[adapt=false]"]\nbackbone = "pixels"\n'
        "contamination = [0.0]\nseeds = [0, 1, 2]\n",
    )
    assert [row.stochastic for row in plan.rows] == [True, False]
    assert [entry.cell.seed for entry in plan.entries] == [0, 1, 2, None]


def test_tables_make_grids_and_equal_rows_are_one(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = ["digits[task=1]", "digits[task=2|1]"]\nbackbone = "pixels[size=8]"\n'
        'methods = [{ name = "dn2", k = [1, 2], backbone = ["pixels", "pixels[size=8]"] }, "dn2[k=1]",\n'
        '           "dn2"]\n',
    )
    assert [column.task for column in plan.columns] == ["1", "2"]
    assert [(row.label, row.backbone) for row in plan.rows] == [
        ("dn2[k=1,backbone=pixels]", plan.rows[0].backbone),
        ("dn2[k=1,backbone=pixels[size=8]]", "pixels[size=8]"),
        ("dn2[k=2,backbone=pixels]", plan.rows[0].backbone),
        ("dn2[k=2,backbone=pixels[size=8]]", "pixels[size=8]"),
    ]


def test_a_glob_takes_parameters_where_they_fit(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'datasets = ["digits[task=1]"]\nmethods = ["*[backbone=pixels,k=3]"]\n')
    labels = {row.label for row in plan.rows}
    assert {"random", "dn2[backbone=pixels,k=3]", "mean_distance[backbone=pixels]"} <= labels


def test_cells_are_grouped_by_task(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = ["digits", "textures"]\nseeds = [0, 1]\n'
        'methods = ["dn2[backbone=pixels]", "random", "dn2[backbone=hog]"]\n',
    )
    order = [(e.cell.dataset, e.cell.task) for e in plan.entries]
    assert len(set(order)) == 1 + sum(a != b for a, b in pairwise(order))


def test_the_key_depends_on_all_that_matters(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'datasets = ["digits[task=1]"]\nmethods = ["dn2[backbone=pixels]"]\n')
    (entry,) = plan.entries
    cell = entry.cell
    others = [
        replace(cell, task="2"),
        replace(cell, method="dn3"),
        replace(cell, params=(("k", 3),)),
        replace(cell, backbone="hog"),
        replace(cell, contamination=Contamination(rate=0.1)),
        replace(cell, seed=0),
        replace(cell, code=(("dataset", "x"), ("method", "y"))),
        replace(cell, data_fingerprint="z"),
        replace(cell, backbone_identity="w"),
        replace(cell, protocol=cell.protocol + 1),
    ]
    assert len({cell.key, *(other.key for other in others)}) == len(others) + 1
    again = plan_of(
        tmp_path, 'datasets = ["digits[task=1]"]\nmethods = [{ name = "dn2", backbone = "pixels", k = 2 }]\n'
    )
    assert again.entries[0].cell.key == cell.key, "how it is written does not matter"


def test_the_plan_survives_the_disk(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        'datasets = ["textures"]\nmethods = ["dn2[backbone=pixels]", "random"]\n'
        "contamination = [0.0, 0.2]\nseeds = [3]\n",
    )
    assert Plan.from_json(plan.to_json()) == plan


def test_a_suites_own_backbone_table_needs_its_keys_right(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"backbones\.m\.resise.*did you mean 'resize'"):
        suite_of(
            tmp_path,
            'datasets = ["digits"]\nmethods = ["random"]\n[backbones.m]\ntimm = "resnet18"\nresise = 256\n',
        )


def test_presets_say_what_papers_mean(tmp_path: Path) -> None:
    base = 'datasets = ["textures[task=wood]"]\nmethods = ["random"]\n'
    plan = plan_of(tmp_path, base + '[contamination]\nrates = [0.1]\npreset = "softpatch"\n')
    (entry,) = plan.entries
    assert entry.cell.contamination == Contamination(rate=0.1, of="normals", source="test", reserve=0.1)
    plan = plan_of(tmp_path, base + '[contamination]\nrates = [0.1]\npreset = "adl"\nshortage = "error"\n')
    (entry,) = plan.entries
    assert (entry.cell.contamination.source, entry.cell.contamination.shortage) == ("jittered", "error")
    with pytest.raises(SuiteError, match="preset"):
        plan_of(tmp_path, base + '[contamination]\nrates = [0.1]\npreset = "adll"\n')
    with pytest.raises(SuiteError, match=r"no official noisy split with a rate of 0\.1; it has: none"):
        plan_of(tmp_path, base + '[contamination]\nrates = [0.0, 0.1]\npreset = "llbnad"\n')


def test_a_shortage_can_be_left_out_of_the_plan(tmp_path: Path) -> None:
    text = (
        'datasets = ["textures[task=wood,per_defect=1]"]\nmethods = ["random"]\n'
        '[contamination]\nrates = [0.0, 0.01, 0.4]\nshortage = "skip"\n'
    )
    plan = plan_of(tmp_path, text)
    assert [entry.rate for entry in plan.entries] == [0.0, 0.01]
    assert len(plan.notes) == 1
    assert "at 40% is left out" in plan.notes[0]


def test_a_preset_that_nobody_knows_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = 'datasets = ["textures"]\nmethods = ["random"]\n[contamination]\nrates = [0.1]\n'
    text += 'preset = "iterative"\n'
    with pytest.raises(SuiteError, match=r"'iterative' cannot be given: .* only the abstract is known here"):
        plan_of(tmp_path, text)


SHORT = 'datasets = ["textures[per_defect=1]"]\nmethods = ["random"]\n[contamination]\n'


@pytest.mark.parametrize("more", ["", 'shortage = "repeat"\n'])
def test_a_shortage_is_refused_before_anything_runs(tmp_path: Path, more: str) -> None:
    """All tasks that lack anomalies are named, with the rate that they could have."""
    with pytest.raises(DataError) as error:
        plan_of(tmp_path, SHORT + "rates = [0.0, 0.04, 0.4]\n" + more)
    lines = str(error.value).split("\n")
    assert len(lines) == 5
    assert "weave: contamination of 40% (set) needs 53 anomalies for 80 train images" in lines[0]
    assert "test has 4; lower the rate (at most 4.7 % can be had)" in lines[0]
    assert len(plan_of(tmp_path, SHORT + 'rates = [0.0, 0.4]\nshortage = "cap"\n').entries) == 10
    repeated = 'rates = [0.0, 0.4]\nshortage = "repeat"\nsource = "test_overlap"\n'
    assert len(plan_of(tmp_path, SHORT + repeated).entries) == 10


def test_a_shortage_of_one_class_depends_on_the_seed(tmp_path: Path) -> None:
    text = (
        'datasets = ["textures[task=wood,per_defect=9]"]\nmethods = ["random"]\nseeds = [0, 1, 2]\n'
        '[contamination]\nrates = [0.0, 0.1]\ndraw = "one_class"\n'
    )
    assert len(plan_of(tmp_path, text).entries) == 6
    with pytest.raises(DataError, match="needs 8 anomalies for 80 train images, but test has 7"):
        plan_of(tmp_path, text.replace("per_defect=9", "per_defect=7"))


def test_a_task_that_cannot_be_opened_is_left_to_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    for split in ("train", "test"):
        for i, kind in enumerate(("cat", "dog") if split == "train" else ("cat", "dog", "bird")):
            folder = tmp_path / "data" / "cifar10" / split / kind
            folder.mkdir(parents=True)
            for j in range(4):
                Image.fromarray(np.full((8, 8, 3), 10 * i + j, np.uint8)).save(folder / f"{j}.png")
    text = 'datasets = ["cifar10[task=cat|bird]"]\nmethods = ["random"]\ncontamination = [0.0, 0.2]\n'
    assert len(plan_of(tmp_path, text).entries) == 4


def test_rounded_features_make_other_cells(tmp_path: Path) -> None:
    text = 'datasets = ["digits[task=1]"]\nmethods = ["dn2[backbone=pixels]"]\n'
    (exact,) = plan_of(tmp_path, text).entries
    (rounded,) = plan_of(tmp_path, text + 'feature_storage = "float16"\n').entries
    assert exact.cell.key != rounded.cell.key


def test_a_part_of_a_data_set_is_said_without_the_machines_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for part in ("train/good", "test/good", "test/scratch"):
        folder = tmp_path / "data" / "mvtec" / "screw" / part
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / "000.png")
    masks = tmp_path / "data" / "mvtec" / "screw" / "ground_truth" / "scratch"
    masks.mkdir(parents=True)
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(masks / "000_mask.png")
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    plan = plan_of(tmp_path, 'datasets = ["mvtec"]\nmethods = ["random"]\n')
    assert len(plan.notes) == 2
    assert plan.notes[0].startswith("mvtec: mvtec lacks 14 of 15: bottle")
    assert not any(str(tmp_path) in note for note in plan.notes)
    for asked, words in (
        ("bottle", r"no task 'bottle'; this copy \(.*mvtec\) lacks it: get it from https://www\.mvtec"),
        ("botle", r"no task 'botle'; did you mean 'bottle'\? This copy .* lacks it.* Available: screw"),
        ("scrw", r"no task 'scrw'; did you mean 'screw'\? Available: screw"),
        ("x*", r"no task 'x\*'; available: screw"),
    ):
        with pytest.raises(SuiteError, match=words):
            plan_of(tmp_path, f'datasets = ["mvtec[task={asked}]"]\nmethods = ["random"]\n')


def test_the_draws_do_not_depend_on_which_methods_run(tmp_path: Path) -> None:
    rest = "contamination = [0.0, 0.1, 0.3]\nseeds = [0, 1]\n"

    def drawn(methods: str) -> set[object]:
        plan = plan_of(tmp_path, f'datasets = ["digits[task=3]"]\nmethods = [{methods}]\n{rest}')
        return {(e.cell.contamination, e.rate) for e in plan.entries}

    alone = drawn('"random"')
    assert alone == drawn('"random", "dn2[backbone=pixels]"')
    # Clean cells of two seeds are one contamination; 10 and 30 % have a draw a seed.
    assert len(alone) == 5


def test_a_category_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"textures has no task 'wod'; did you mean 'wood'"):
        plan_of(tmp_path, 'datasets = ["textures[task=wod]"]\nmethods = ["random"]\n')


def test_a_data_set_that_is_not_there_is_refused_by_name_and_left_out_of_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    text = 'datasets = ["digits[task=3]", "{}"]\nmethods = ["random"]\n'
    with pytest.raises(DataError, match=r"datasets\[1\].*: mvtec: "):
        plan_of(tmp_path, text.format("mvtec"))
    plan = plan_of(tmp_path, text.format("mvte?"))
    assert [column.dataset for column in plan.columns] == ["digits"]
    (problem,) = (problem for problem in plan.problems if "is left out" in problem)
    assert problem.startswith("mvtec is left out: ")
