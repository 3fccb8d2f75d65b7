"""Anomaly maps through whole runs: what each executor's records say, what is kept, what is left behind."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sklearn

import bench
from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.metrics.maps import fitted
from bench.metrics.pixel import PIXEL_METRICS
from bench.metrics.resampling import REPLICATES
from bench.run.executors.slurm import executor as slurm
from bench.suite.registry import Registry
from tests.metrics.test_pixel import plain_pro

ROOT = Path(bench.__file__).resolve().parent.parent
DATA = "textures[task=weave,size=30,train=12,good=5,per_defect=2]"

#: The nearest patch of raw pixels: nothing of the bench's own, and it finds textures' defects.
PATCHES = '''
import torch

from bench import Method, Scores


class Patches(Method):
    """Distance of each 6 x 6 patch of pixels to the nearest of the training images'."""

    def __init__(self, how: str = "streamed", path: str = "") -> None:
        self.how, self.path = how, path

    def patches(self, images):
        for batch in images.batches(4):
            cut = torch.nn.functional.unfold(batch.float(), 6, stride=6)
            yield cut.transpose(1, 2).reshape(len(batch), -1, cut.shape[1])

    def fit(self, train):
        self.bank = torch.cat([each.reshape(-1, each.shape[-1]) for each in self.patches(train)])

    def parts(self, test):
        for found in self.patches(test):
            side = round(found.shape[1] ** 0.5)
            distances = torch.cdist(found, self.bank).amin(2)
            yield distances.amax(1), distances.reshape(-1, side, side)
            if self.how == "dies":
                import os
                os.kill(os.getpid(), 9)
            if self.how == "waits":
                import pathlib, time
                pathlib.Path(self.path).touch()
                time.sleep(60)

    def score(self, test):
        if self.how == "streamed" or self.path or self.how == "dies":
            return Scores.streamed(self.parts(test))
        parts = list(self.parts(test))
        image, maps = (torch.cat(each) for each in zip(*parts))
        if self.how == "nan":
            maps[3, 1, 1] = float("nan")
        if self.how == "none":
            return Scores(image)
        if self.how == "crop":
            return Scores(image, maps=maps, covers=(0.25, 0.25, 0.5, 0.5))
        return Scores(image, maps=maps.half() if self.how == "half" else maps)
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "patches.py").write_text(PATCHES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(*methods: str, datasets: str = DATA, **options: Any) -> bench.Results:
    options = {"show": False, "executor": "inline", "device": "cpu"} | options
    return bench.run(datasets=datasets, methods=list(methods) or ["patches"], **options)


def only(results: bench.Results) -> Any:
    (record,) = results.records.values()
    return record


def maps_of(cell: Cell) -> tuple[Any, Any, Any]:
    """Return the maps of the method in the order of the test images, labels, and masks, by hand."""
    from bench.features.backbone import Backbones
    from bench.run.runner import Runner

    registry = Registry([], Path.cwd())
    runner = Runner(registry, Backbones())
    task = registry.open_task(cell)[0]
    method = registry.methods["patches"].load()(how="array")
    method.fit(task.train.bind(runner.provider))
    found = method.score(task.test.bind(runner.provider)).maps
    return found.numpy(), task.test_labels, np.stack(list(task.masks))


def test_a_records_pixel_metrics_are_those_of_its_maps() -> None:
    record = only(run())
    maps, labels, masks = maps_of(record.cell)
    assert masks.any((1, 2)).tolist() == labels.astype(bool).tolist()
    full = np.stack([fitted(each, masks.shape[1:]) for each in maps]).astype(np.float16)
    expected = {
        "pixel_auroc": sklearn.roc_auc_score(masks.ravel(), full.ravel()),
        "pixel_ap": sklearn.average_precision_score(masks.ravel(), full.ravel()),
        "aupro": plain_pro(full, masks, 0.3),
        "aupro_per_image": np.mean([plain_pro(full[[i]], masks[[i]], 0.3) for i in np.flatnonzero(labels)]),
    }
    for name, value in expected.items():
        assert record.metrics[name] == pytest.approx(value, abs=2e-4), name
    assert expected["pixel_auroc"] > 0.8
    assert expected["aupro"] != pytest.approx(expected["aupro_per_image"], abs=1e-3)
    regions = sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks)
    assert record.counts["regions"] == regions
    assert (record.counts["map_height"], record.counts["map_width"]) == (5, 5)
    assert any("AUPIMO undefined" in flag for flag in record.flags)  # so few good pixels
    assert "aupimo" not in record.metrics


@pytest.mark.parametrize("executor", ["pool", "ray", "slurm"])
def test_every_executor_streams_the_same(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip({"ray": "ray", "slurm": "submitit"}.get(executor, "psutil"))
    if executor == "slurm":  # processes of this machine stand for Slurm's jobs
        monkeypatch.setattr(slurm, "Slurm", functools.partial(slurm.Slurm, cluster="local"))
    here, there = run(), run(executor=executor, results="elsewhere")
    assert only(here).metrics == only(there).metrics
    assert only(here).flags == only(there).flags
    assert "aupro" in only(there).metrics
    beside = [Archive(Path(at)).beside(only(each)) for at, each in (("results", here), ("elsewhere", there))]
    assert {name: values.tolist() for name, values in beside[0].items()} == {
        name: values.tolist() for name, values in beside[1].items()
    }
    assert len(beside[1]["aupro_resampled"]) == REPLICATES
    assert not list(Path("elsewhere/records").glob("maps*"))
    assert not list(Path("results/records").glob("maps*"))


def test_arrays_parts_and_float16_say_the_same_and_a_crop_something_else() -> None:
    results = run("patches[how=[streamed,array,half,crop,none]]")
    found = {dict(record.cell.params)["how"]: record for record in results.records.values()}
    assert found["streamed"].metrics == found["array"].metrics
    assert found["half"].metrics["aupro"] == pytest.approx(found["array"].metrics["aupro"], abs=1e-3)
    assert found["crop"].metrics["aupro"] < found["array"].metrics["aupro"]
    assert any("cover 25%" in flag for flag in found["crop"].flags)
    assert not {"aupro", "pixel_auroc"} & set(found["none"].metrics)
    assert "map_height" not in found["none"].counts


def test_maps_that_are_nan_fail_the_cell() -> None:
    record = only(run("patches[how=nan]"))
    assert record.status == "failed"
    assert "NaN" in record.error["reason"]
    assert not list(Path("results/records").glob("maps*"))


def test_a_worker_that_dies_with_half_its_maps_written_fails_alone() -> None:
    results = run("patches[how=dies]", "patches", executor="pool")
    status = {dict(record.cell.params)["how"]: record.status for record in results.records.values()}
    assert status == {"dies": "failed", "streamed": "ok"}
    assert not list(Path("results/records").glob("maps*"))


def test_a_killed_run_leaves_maps_that_the_next_sweeps(tmp_path: Path) -> None:
    there = tmp_path / "there"
    method = f"patches[how=waits,path={there}]"
    command = f"import bench; bench.run(datasets={DATA!r}, methods={method!r}, executor='pool')"
    driver = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not there.exists() and time.monotonic() < until:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    spool = Path("results/records/maps")
    assert [path.suffix for path in spool.glob("*/.*")] == [".tmp"]
    run()
    assert not spool.exists()


def test_arrays_beside_the_scores_come_back() -> None:
    from bench.metrics.pimo import LOWER

    results = run(datasets="textures[task=weave,size=96,train=12,good=12,per_defect=2]")
    record = only(results)
    good = record.counts["test"] - record.counts["test_anomalous"]
    assert good * 96 * 96 * LOWER >= 1
    beside = Archive(Path("results")).beside(record)
    curve = ("scores", "normal", "defective", "overlap")
    expected = {"aupimo", "maps", *(f"{name}_resampled" for name in PIXEL_METRICS)}
    assert set(beside) == expected | {f"pixels_{name}" for name in curve}
    assert beside["pixels_defective"][0] > 0
    assert beside["maps"].reshape(-1, 4)[:, 0].max() > beside["pixels_scores"][-1]
    spread = beside["aupro_resampled"]
    assert 0 < spread.std() < 0.2
    assert abs(spread.mean() - record.metrics["aupro"]) < spread.std()
    truth = Archive(Path("results")).truth(record)
    assert np.isnan(beside["aupimo"][truth.labels == 0]).all()
    assert np.nanmean(beside["aupimo"]) == pytest.approx(record.metrics["aupimo"])
    assert "AUPIMO rests on" in " ".join(record.flags)
    text = Path("results/adhoc.csv").read_text()
    assert "aupro_per_image" in text
    assert json.loads(Path("results/adhoc.json").read_text())


def test_pixel_thresholds_come_from_maps_of_normal_images() -> None:
    Path("trial.toml").write_text(
        f'datasets = ["{DATA}"]\n'
        'methods = ["patches", "patches[how=half]", "dn2[backbone=pixels[size=6],k=1]"]\n'
        "[thresholds]\nfolds = 3\nrate = 0.3\n"
    )
    results = bench.run("trial.toml", show=False, executor="inline", device="cpu")
    archive = Archive(Path("results"))
    streamed, half, without = results.records.values()
    beside = archive.beside(streamed)
    assert "calibration_maps" not in archive.beside(without)
    summaries = beside["calibration_maps"].reshape(-1, 4)
    assert len(summaries) == len(beside["calibration"]) == 12
    # A map's highest score is the image's, up to float16.
    np.testing.assert_allclose(summaries[:, 0], beside["calibration"], rtol=1e-3)
    np.testing.assert_allclose(beside["maps"].reshape(-1, 4)[:, 0], archive.scores(streamed), rtol=1e-3)
    assert len(archive.beside(half)["calibration_pixels"]) == 3
    page = Path("results/trial.md").read_text()
    table = page.partition("<summary>Pixel thresholds</summary>")[2].partition("</details>")[0]
    for words in ("any pixel", "area", "mean + 3 sd", "1.421 x 5 %", "at most 30"):
        assert words in table
    assert "dn2" not in table
    maps, labels, masks = maps_of(streamed.cell)
    rank = int(np.ceil(13 * 0.7 - 1e-9))
    value = np.sort(summaries[:, 0])[rank - 1]
    full = np.stack([fitted(each, masks.shape[1:]) for each in maps])
    line = [cell.strip() for cell in table.splitlines()[2:][2].split("|")][1:-1]
    assert line[1] == "any pixel"
    assert float(line[2].split("\u00a0")[0]) == pytest.approx(100 * (full[~masks] > value).mean(), abs=0.15)
    touched = 100 * (maps.max((1, 2))[labels == 0] > value).mean()
    assert float(line[3].split("\u00a0")[0]) == pytest.approx(touched, abs=0.1)
    assert float(line[7]) == pytest.approx(100 * (full[masks] > value).mean(), abs=1.0)


def test_a_folder_of_the_living_is_not_swept(tmp_path: Path) -> None:
    from bench.run.leavings import removed, sweep_left

    archive = Archive(tmp_path / "results")
    code = (
        "import sys; from pathlib import Path; from bench.run.claims import Claims;"
        f"claims = Claims(Path({str(archive.root / 'claims')!r})); print(claims.name, flush=True);"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    name = other.stdout.readline().strip()
    for each in (name, "ab" * 16, "odd"):
        (archive.root / "maps" / each).mkdir(parents=True)
    sweep_left(archive)
    assert os.listdir(archive.root / "maps") == [name]  # noqa: PTH208
    other.communicate("")
    with removed(archive.root / "maps" / name):
        pass
    assert not (archive.root / "maps").exists()


def test_maps_are_kept_on_request_and_cells_without_run_again() -> None:
    first = run("patches[how=[array,none]]")
    assert not Path("results/maps").exists()
    again = run("patches[how=[array,none]]", keep="maps")
    changed = [key for key, record in again.records.items() if record != first.records[key]]
    assert [dict(again.records[key].cell.params)["how"] for key in changed] == ["array"]
    (kept,) = Path("results/maps").glob("*.npy")
    found = np.load(kept)
    about = json.loads(kept.with_suffix(".json").read_text())
    maps, labels, _ = maps_of(again.records[changed[0]].cell)
    np.testing.assert_allclose(found.astype(np.float64) * 2.0 ** about["exponent"], maps, rtol=1e-3)
    assert about["covers"] == [0, 0, 1, 1]
    assert len(about["images"]) == len(labels)
    assert run("patches[how=[array,none]]", keep="maps").records == again.records
    with pytest.raises(bench.AnobenchError, match="expected maps"):
        run(keep="everything")


def test_examples_are_drawn_on_the_page_and_by_the_figure_command() -> None:
    results = run("patches[how=[array,none]]")
    (path,) = Path("results/examples").glob("*.npz")
    with np.load(path) as arrays:
        assert arrays["maps"].shape == (18, 30, 30)  # five defects and the good ones, at three places
        scores, kinds, places = arrays["scores"], arrays["kinds"], arrays["places"]
        assert arrays["masks"][kinds != "good"].any((1, 2)).all()
    for kind in set(kinds):
        best, median, worst = (
            scores[(kinds == kind) & (places == p)][0] for p in ("best", "median", "worst")
        )
        assert (best <= median <= worst) if kind == "good" else (best >= median >= worst)
    page = Path("results/adhoc.md").read_text()
    assert "Anomaly maps: " in page
    svg = Path("results/figures/adhoc-maps-1.svg").read_text()
    assert svg.count("<image") == 36 + 1  # and the scale
    before = Path("results/figures/adhoc-maps-1.svg").read_bytes()
    results.write()
    assert Path("results/figures/adhoc-maps-1.svg").read_bytes() == before
    done = subprocess.run(
        [sys.executable, "-m", "bench", "figure", "adhoc", "maps", "--out", "maps.png"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path("maps.png").stat().st_size > 10_000
    assert "Threshold" in done.stdout
