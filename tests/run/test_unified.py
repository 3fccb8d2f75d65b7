"""One model for all categories: trained once, tested on each, in any executor, by any method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.core.selector import parse
from bench.metrics.image import auroc, f1_max
from bench.report.leaderboard.unified import one_threshold
from bench.run.units import grouped
from bench.suite.registry import Registry

ROOT = Path(bench.__file__).resolve().parent.parent

#: Counts its fits in a file, and scores by the distance to the mean image of its training set.
COUNTING = '''
from pathlib import Path

from bench import Method, Scores


class Counting(Method):
    """Mean image."""

    stochastic = True

    def __init__(self, path: str) -> None:
        self.path = path

    def fit(self, train):
        with Path(self.path).open("a") as file:
            file.write(f"{len(train)}\\n")
        self.mean = train.features("pixels[size=4]").mean(0)

    def score(self, test):
        import torch
        noise = torch.rand(len(test)) / 1e6
        return Scores((test.features("pixels[size=4]") - self.mean).square().sum(1) + noise)
'''


def make_tree(root: Path) -> None:
    """Make three categories in MVTec AD's layout, each of its own shade."""
    rng = np.random.default_rng(0)

    def save(folder: Path, count: int, light: int) -> None:
        folder.mkdir(parents=True)
        for at in range(count):
            pixels = rng.integers(0, 60, (16, 16, 3)) + light
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{at:03}.png")

    for number, name in enumerate(("bottle", "grid", "pill")):
        folder, shade = root / "mvtec" / name, 50 * number
        save(folder / "train" / "good", 6 + number, shade)
        save(folder / "test" / "good", 4, shade)
        save(folder / "test" / "dent", 5, shade + 20 + 10 * number)
        masks = folder / "ground_truth" / "dent"
        masks.mkdir(parents=True)
        for at in range(5):
            Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(masks / f"{at:03}_mask.png")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path / "data")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "counting.py").write_text(COUNTING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(method: str, datasets: str = "mvtec[unified]", **options: Any) -> bench.Results:
    options = {"show": False, "executor": "inline", "device": "cpu"} | options
    return bench.run(datasets=datasets, methods=[method], **options)


def test_a_flag_may_stand_alone() -> None:
    assert parse("mvtec[unified]").params == {"unified": "true"}
    assert parse("mvtec[unified,task=pill]").params == {"unified": "true", "task": "pill"}


@pytest.mark.parametrize("executor", ["inline", "pool"])
def test_one_training_on_all_images_serves_every_category(executor: str) -> None:
    results = run(f"counting[path={Path('fits.txt').resolve()}]", executor=executor)
    assert Path("fits.txt").read_text().split() == ["21"]
    assert {record.cell.task for record in results.records.values()} == {"bottle", "grid", "pill"}
    for record in results.records.values():
        assert record.status == "ok"
        assert record.counts["train"] == 21
        assert record.counts["test"] == 9
        assert any("one model for all tasks" in flag for flag in record.flags)
    # A category alone has the same scores: they depend on no task that came before.
    alone = run(f"counting[path={Path('fits.txt').resolve()}]", "mvtec[unified,task=pill]", results="alone")
    (record,) = alone.records.values()
    assert record.metrics == results.records[record.cell.key].metrics


def test_without_it_each_category_has_a_model() -> None:
    run(f"counting[path={Path('fits.txt').resolve()}]", "mvtec")
    assert sorted(Path("fits.txt").read_text().split()) == ["6", "7", "8"]


def test_the_page_has_mean_and_pooled_numbers() -> None:
    results = run("mean_distance[backbone=pixels[size=4]]")
    archive = results.archive
    pairs = [(archive.truth(record).labels, archive.scores(record)) for record in results.records.values()]
    pooled = auroc(*(np.concatenate(each) for each in zip(*pairs, strict=True)))
    page = Path("results/adhoc.md").read_text()
    part = page.partition("## Unified models")[2].partition("One model is trained")[0]
    line = [cell.strip() for cell in part.strip().splitlines()[-1].split("|")[1:-1]]
    assert line[1] == f"{100 * np.mean([auroc(*pair) for pair in pairs]):.1f}"
    assert line[2] == f"{100 * pooled:.1f}"
    assert pooled < np.mean([auroc(*pair) for pair in pairs])
    own = np.mean([f1_max(*pair) for pair in pairs])
    every = np.unique(np.concatenate([scores for _, scores in pairs]))
    best = max(np.mean([2 * (y[s >= t]).sum() / ((s >= t).sum() + y.sum()) for y, s in pairs]) for t in every)
    assert one_threshold([(y.astype(float), s.astype(float)) for y, s in pairs]) == pytest.approx(best)
    assert line[3:] == [f"{100 * own:.1f}", f"{100 * best:.1f}", f"{100 * (own - best):.1f}"]


def suite(how: str, dataset: str = "mvtec[unified]", method: str = "counting[path={path}]") -> bench.Results:
    named = method.format(path=Path("fits.txt").resolve())
    text = f'datasets = ["{dataset}"]\nmethods = ["{named}"]\nseeds = [0]\n[contamination]\n{how}\n'
    Path("trial.toml").write_text(text)
    return bench.run(
        "trial.toml", show=False, executor="inline", device="cpu", results=f"{dataset[5:8]}results"
    )


def test_each_category_is_contaminated_by_itself_and_all_are_trained_on() -> None:
    found = suite('rates = [0.0, 0.3]\nof = "normals"\nsource = "test"').records.values()
    # 6, 7 and 8 normal images, and 30 % of each: 1, 2 and 2 anomalies.
    assert sorted(Path("fits.txt").read_text().split()) == ["21", "26"]
    dirty = [record for record in found if record.cell.contamination.rate]
    assert len(dirty) == 3
    for record in dirty:
        assert record.status == "ok"
        assert (record.counts["train"], record.counts["train_anomalous"]) == (26, 5)
        assert record.contamination["count"] == 5
        assert record.contamination["rate"] == pytest.approx(5 / 26)
        assert len(record.contamination["indices"]) == 16
    assert len({record.contamination["indices"] for record in dirty}) == 1
    clean = {record.cell.task: record for record in found if not record.cell.contamination.rate}
    for record in dirty:
        left = {"bottle": 1, "grid": 2, "pill": 2}[record.cell.task]
        assert record.contamination["removed_from_test"] == left
        assert record.counts["test"] == clean[record.cell.task].counts["test"] == 9 - left
    alone = suite('rates = [0.3]\nof = "normals"\nsource = "test"', "mvtec").records.values()
    assert {record.contamination["count"] for record in alone} == {1, 2}


def test_what_is_tested_on_what_it_is_trained_on_is_one_category() -> None:
    try:
        found = suite('rates = [0.2]\nsource = "transductive"\nshortage = "cap"').records.values()
        said = " ".join(record.error["reason"] for record in found if record.error)
    except AnobenchError as error:
        said = str(error)
    assert "one model for all tasks is not tested on what it is trained on" in said


def test_cells_of_one_model_are_one_unit() -> None:
    from bench.suite.grid import make_plan
    from bench.suite.suite import adhoc_suite

    made = adhoc_suite(["mvtec[unified]", "mvtec"], ["mean_distance[backbone=pixels[size=4]]", "random"])
    cells: list[Cell] = [entry.cell for entry in make_plan(made, Registry()).entries]
    sizes = sorted(len(group) for group in grouped(cells, lambda _: False, most=1))
    assert sizes == [1] * 6 + [3, 3]
