"""Mistakes in a method's row: exit status 2, or a failed record with a reason; never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import pictures
from tests.cli.conftest import Ended, Invoke

#: A tiny network, and one with a weight that is no number.
NETWORKS = """
[backbones.tiny]
timm = "test_resnet"
args = {{ num_classes = 7 }}
file = "{0}/tiny.safetensors"
resize = 32
crop = 32
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[backbones.broken]
preset = "tiny"
file = "{1}/broken.safetensors"
"""
Records = dict[str, dict[str, Any]]
Run = Callable[..., tuple[Ended, Records]]


@pytest.fixture
def run(anobench: Invoke, here: Path) -> Run:
    """Return a function that runs rows on one data set; gives how it ended and the records by method."""

    def ran(*methods: str, dataset: str = "digits[task=3]") -> tuple[Ended, Records]:
        weights = pictures.tiny().get("tiny").weights_file()
        assert weights is not None
        listed = ", ".join(f"'{method}'" for method in methods)
        text = f'datasets = ["{dataset}"]\nbackbone = "pixels[size=8]"\nmethods = [{listed}]\n'
        (here / "mine.toml").write_text(text + NETWORKS.format(weights.parent, here))
        ended = anobench("run", "mine.toml", "--executor", "inline")
        assert "Traceback" not in ended.out + ended.err
        found = [json.loads(path.read_text()) for path in here.glob("results/records/??/*.json")]
        return ended, {record["cell"]["method"]: record for record in found}

    return ran


@pytest.fixture
def thing(here: Path) -> Path:
    """Return a folder of 12 images to train on, 3 good and 3 stained ones to test."""
    for part, pixels in (
        ("train/good", pictures.surfaces(12, side=32)),
        ("test/good", pictures.surfaces(3, seed=5, side=32)),
        ("test/stain", pictures.stained(3, side=32)),
    ):
        save(here / "thing" / part, pixels)
    return here / "thing"


def save(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:02}.png")
    return folder


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ('sklearn[estimator="sklearn.svm:SVC"]', ["'sklearn.svm:SVC' is no outlier detector"]),
        ('sklearn[estimator="os:system"]', ["expected module:Class in scikit-learn, such as sklearn.svm"]),
        ('sklearn[estimator="sklearn.svm:Svm"]', ["'sklearn.svm:Svm' cannot be found"]),
        ("sklearn[colour=3]", ["no parameter 'colour'", "max_samples"]),
        ('sklearn[estimator="sklearn.svm:OneClassSVM",nu=7]', ["'nu' parameter", "(0.0, 1.0]", "Got 7"]),
        ("llbnad[subsets=500]", ["121 training images cannot be cut into 500 subsets"]),
        ("llbnad[keep=0.001]", ["keep=0.001 of 121 training images is none; keep more"]),
        (
            "llbnad[base=plume[epochs=1,lr=0.001],keep=0.01]",
            ["PLUME needs at least 2 training images", "inside LLBNAD", "on 1 images", "let it keep more"],
        ),
        (
            "trim[base=plume[epochs=1,lr=0.001],keep=0.01]",
            ["at least 2", "inside Trim", "keep more"],
        ),
        ("panda[backbone=pixels]", ["backbone pixels cannot be trained; choose a network"]),
        ("adl[backbone=tiny,size=48]", ["size=48 px; give a multiple of 32"]),
        ("plume[lr=1e6,epochs=4]", ["PLUME: the loss became NaN or infinite; lower the learning rate"]),
    ],
)
def test_a_cell_that_cannot_be_run_says_why(run: Run, method: str, words: list[str]) -> None:
    ended, records = run(method, "mean_distance")
    assert ended.code == 1
    failed = records.pop(method.partition("[")[0])
    assert failed["status"] == "failed"
    for word in words:
        assert word in failed["error"]["reason"]
        assert word in ended.err
    assert [record["status"] for record in records.values()] == ["ok"], "the others run"


@pytest.mark.parametrize("detector", ["Nothing", "knn"])
def test_a_detector_that_pyod_has_not(run: Run, detector: str) -> None:
    pytest.importorskip("pyod", reason="needs the extra pyod")
    ended, records = run(f"pyod[detector={detector}]")
    assert ended.code == 1
    assert f"PyOD has no detector '{detector}'; expected a class such as KNN" in ended.err
    assert records["pyod"]["status"] == "failed"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("panda_oe[backbone=tiny]", ["panda_oe needs the parameter 'outliers': panda_oe[outliers=...]"]),
        ("panda_oe[backbone=tiny,outliers=/nowhere]", ["parameter outliers", "'/nowhere' is neither"]),
        ("panda_oe[backbone=tiny,outliers=digit]", ["did you mean 'digits'"]),
        ("adl[backbone=tiny,textures=/nowhere/dtd]", ["parameter textures", "'/nowhere/dtd' is neither"]),
        ("trim[base=panda_oe[backbone=tiny,outliers=/nowhere]]", ["parameter outliers", "'/nowhere'"]),
        ("trim[keep=0]", ["parameter keep", "above 0, at most 1"]),
        ("cap[k=0]", ["parameter k: expected a whole number above 0 or none, got '0'"]),
        ("cap[weight=-1]", ["parameter weight: expected a number from 0 up or none, got '-1'"]),
        ("panda[variant=late]", ["parameter variant: expected 'early', 'ses' or 'ewc', got 'late'"]),
    ],
)
def test_what_planning_can_see_is_refused(run: Run, here: Path, method: str, words: list[str]) -> None:
    ended, records = run(method)
    assert ended.code == 2
    assert not records
    for word in ["mine.toml: methods[0]", *words]:
        assert word in ended.err
    assert not list(here.rglob("*.json"))


def test_outliers_among_the_test_pictures_are_refused_by_content(run: Run, thing: Path, here: Path) -> None:
    folder = save(here / "outliers", pictures.stained(2, seed=9, side=32))
    Image.open(thing / "test" / "stain" / "01.png").save(folder / "another name.bmp")
    row = f"panda_oe[backbone=tiny,steps=1,batch=2,outliers={folder}]"
    ended, records = run(row, dataset=f"folder[path={thing}]")
    assert ended.code == 1
    reason = records["panda_oe"]["error"]["reason"]
    assert "1 of the 6 test images of 'thing' are among these 3 images; take images from else" in reason


def test_features_that_are_no_numbers_fail_their_cells_alone(run: Run, thing: Path, here: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = pictures.tiny().get("tiny").weights_file()
    assert weights is not None
    state = load_file(weights)
    next(tensor for name, tensor in state.items() if name.endswith("conv1.weight")).fill_(float("nan"))
    save_file(state, here / "broken.safetensors")
    rows = ("dn2[backbone=broken]", "cap[backbone=broken]", "panda[backbone=broken,steps=1]", "mean_distance")
    ended, records = run(*rows, dataset=f"folder[path={thing}]")
    assert ended.code == 1
    for name in ("dn2", "cap"):
        assert "are NaN or infinite" in records[name]["error"]["reason"]
        assert "look for damaged weights" in records[name]["error"]["reason"]
    assert "damaged images or weights" in records["panda"]["error"]["reason"]
    assert records["mean_distance"]["status"] == "ok"


def test_a_collapse_and_a_k_beyond_the_bank_are_in_the_record(run: Run) -> None:
    free = "cap[backbone=pixels[size=4],weight=0,epochs=400,lr=0.02,decay=1.0,k=4]"
    ended, records = run(free, "dn2[k=5000]")
    assert ended.code == 0
    (flag,) = records["cap"]["flags"]
    assert flag.startswith("collapsed: the spread of the projected features' directions fell to 0.00")
    assert records["dn2"]["flags"] == ["k=5000 is more than the task's training images (121)"]


def test_without_textures_the_record_says_what_stood_in(run: Run, thing: Path) -> None:
    row = "adl[backbone=tiny,size=32,batch=2,epochs=1,steps_per_epoch=1]"
    ended, records = run(row, dataset=f"folder[path={thing}]")
    assert ended.code == 0
    assert "surrogate textures: procedural instead of DTD" in records["adl"]["flags"]


def headers(page: str) -> dict[str, set[str]]:
    """Return under which headers' first words each method has rows in the section of averages."""
    found: dict[str, set[str]] = {}
    table = ""
    for line in page.split("## Overall")[1].split("<details>")[0].splitlines():
        first = line.removeprefix("|").split("|")[0].strip()
        if not line.startswith("|"):
            table = ""
        elif not table:
            table = first
        elif not first.startswith(":-"):
            found.setdefault(first.replace("<wbr>", "").partition("[")[0], set()).add(table)
    return found


def test_oracles_and_outlier_exposure_never_rank(run: Run, thing: Path, here: Path) -> None:
    folder = save(here / "outliers", pictures.stained(4, seed=9, side=32))
    quick = "backbone=tiny,steps=1,batch=2"
    ended, records = run(
        *("dn2", "mean_distance", "oc_svm_oracle", "oracle_clean[base=dn2]"),
        "plume[epochs=1,lr=0.001,selection=oracle]",
        f"panda_oe[{quick},outliers={folder}]",
        f"panda[{quick},selection=oracle]",
        dataset=f"folder[path={thing}]",
    )
    assert ended.code == 0
    settings = {name: (record["setting"], record["selection"]) for name, record in records.items()}
    oracles = dict.fromkeys(("oc_svm_oracle", "oracle_clean", "plume", "panda"), ("one-class", "oracle"))
    plain = dict.fromkeys(("dn2", "mean_distance"), ("one-class", "last"))
    assert settings == {**plain, **oracles, "panda_oe": ("outlier_exposure", "last")}
    assert headers((here / "results" / "mine.md").read_text()) == {
        **{key: {"Method"} for key in plain},
        **{key: {"Not ranked: oracle selection"} for key in oracles},
        "panda_oe": {"Not ranked: outlier_exposure"},
    }
