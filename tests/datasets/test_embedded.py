"""The data sets that need no download: digits and textures."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import DataError
from bench.suite.adapterfile import code_hash

# --- digits -------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns(adapter: Any) -> None:
    from sklearn.datasets import load_digits

    digits, truth = adapter("digits"), load_digits()
    labels = np.concatenate([digits.split("train").labels, digits.split("test").labels])
    assert (labels == truth.target).all()
    train, test = digits.split("train").source, digits.split("test").source
    pixels = np.concatenate([train.read(np.arange(1198)), test.read(np.arange(599))])
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1797, 8, 8, 3)
    assert (pixels == pixels[..., :1]).all()
    assert (np.rint(truth.images * 255 / 16) == pixels[..., 0]).all()
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_digits_have_ten_tasks_of_the_expected_counts(adapter: Any) -> None:
    digits = adapter("digits")
    assert digits.differences() == []
    assert digits.tasks() == list("0123456789")
    for name in digits.tasks():
        task = digits.task(name)
        assert 115 < len(task.train) < 125
        assert len(task.train) + len(task.anomaly_pool) == 1198
        assert len(task.test) == 599
        assert [kind != name for kind in task.test_types] == task.test_labels.tolist()
    assert len(adapter("digits", protocol="leave_one_out").task("3").train) > 1000
    with pytest.raises(DataError, match="has no task '10'"):
        digits.task("10")


def test_opening_digits_imports_neither_scikit_learn_nor_torch() -> None:
    code = (
        "import sys; from bench.suite.registry import Registry; d = Registry().datasets['digits'].load()();"
        "d.fingerprint(); [d.task(name) for name in d.tasks()];"
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'torch', 'PIL', 'datasets')))"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_missing_or_damaged_data_file_is_named(
    adapter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = adapter("digits")
    (tmp_path / "digits.csv.gz").write_bytes(b"damaged")
    digits.__dict__["_file"] = tmp_path / "digits.csv.gz"
    with pytest.raises(DataError, match=r"digits\.csv\.gz: damaged"):
        digits.task("1")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DataError, match="install scikit-learn again"):
        adapter("digits").fingerprint()


# --- textures -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> dict[str, int]:
    return {"size": 32, "train": 6, "good": 5, "per_defect": 3}


def pixels_of(task: Any, which: int) -> np.ndarray:
    return task.sources[which].read(np.arange(len(task.sources[which])))


SURFACES = ("weave", "wood", "tiles", "leather", "granite")


def test_textures_have_the_default_counts(adapter: Any) -> None:
    textures = adapter("textures")
    assert textures.synthetic
    assert not textures.has_anomaly_pool
    assert tuple(textures.tasks()) == SURFACES
    for name in SURFACES:
        task = textures.task(name)
        kinds = set(task.test_types) - {"good"}
        assert len(kinds) >= 4
        assert len(task.train) == 80
        assert task.test_types.count("good") == 30
        assert all(task.test_types.count(kind) == 10 for kind in kinds)
        assert task.anomaly_pool is None


@pytest.mark.parametrize("name", SURFACES)
def test_masks_are_exact(
    adapter: Any, small: dict[str, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside its mask a defective image is the same image without the defect; inside it differs."""
    textures = adapter("textures", **small)
    task = textures.task(name)
    defective = pixels_of(task, 1)
    masks = list(task.masks)
    module = sys.modules[type(textures).__module__]
    painters = {
        kind: (lambda _rng, picture: (picture, np.zeros(picture.shape[:2], bool))) for kind in module.PAINTERS
    }
    monkeypatch.setattr(module, "PAINTERS", painters)
    clean = pixels_of(textures.task(name), 1)
    for kind, mask, before, after in zip(task.test_types, masks, clean, defective, strict=True):
        changed = (before != after).any(-1)
        assert mask.dtype == np.bool_
        assert mask.shape == (32, 32)
        assert not (changed & ~mask).any()
        if kind == "good":
            assert not mask.any()
        else:
            assert 0.003 < mask.mean() < 0.3
            assert changed[mask].mean() > 0.7


def test_labels_types_and_masks_agree(adapter: Any, small: dict[str, int]) -> None:
    task = adapter("textures", **small).task("wood")
    assert [kind != "good" for kind in task.test_types] == task.test_labels.tolist()
    assert [bool(mask.any()) for mask in task.masks] == task.test_labels.astype(bool).tolist()


def test_images_depend_on_neither_counts_nor_order(adapter: Any, small: dict[str, int]) -> None:
    few, many = adapter("textures", **small), adapter("textures", **{**small, "train": 9, "per_defect": 7})
    assert (pixels_of(few.task("tiles"), 0) == pixels_of(many.task("tiles"), 0)[:6]).all()
    a, b = few.task("tiles"), many.task("tiles")
    by_kind = [
        sorted(p.tobytes() for p, k in zip(pixels_of(t, 1), t.test_types, strict=True) if k == "stain")
        for t in (a, b)
    ]
    assert set(by_kind[0]) < set(by_kind[1])
    assert (few.render("leather", "stain", 2)[0] == many.render("leather", "stain", 2)[0]).all()


def test_images_depend_on_seed_surface_and_index(adapter: Any, small: dict[str, int]) -> None:
    textures, other = adapter("textures", **small), adapter("textures", **small, seed=1)
    seen = {
        one.render(name, kind, index)[0].tobytes()
        for one in (textures, other)
        for name in SURFACES
        for kind in ("train", "good", "stain")
        for index in range(2)
    }
    assert len(seen) == 2 * 5 * 3 * 2


def test_the_fingerprint_is_of_parameters_and_code(adapter: Any, small: dict[str, int]) -> None:
    first = adapter("textures", **small).fingerprint()
    assert adapter("textures", **small).fingerprint() == first
    for change in ({"seed": 1}, {"size": 33}, {"train": 7}, {"good": 6}, {"per_defect": 4}):
        assert adapter("textures", **{**small, **change}).fingerprint() != first
    textures = adapter("textures", **small)
    textures.__dict__["_code"] = code_hash(ast.parse("other = 1"))
    assert textures.fingerprint() != first
    sources = [source for name in SURFACES for source in textures.task(name).sources]
    assert len({source.fingerprint for source in sources}) == 10


def test_opening_generates_nothing(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    textures = adapter("textures")
    monkeypatch.setattr(type(textures), "render", lambda *_: pytest.fail("made an image"))
    for name in textures.tasks():
        textures.task(name)


def test_good_images_do_not_stand_together(adapter: Any) -> None:
    labels = adapter("textures").task("weave").test_labels
    assert np.abs(np.diff(labels.astype(int))).sum() > 20


def test_tasks_are_neither_trivial_nor_hopeless(adapter: Any) -> None:
    """Mahalanobis distance on 16 × 16 grey pixels."""
    from sklearn.metrics import roc_auc_score

    aurocs = []
    for name in SURFACES:
        task = adapter("textures").task(name)
        train, test = (
            pixels_of(task, i).reshape(-1, 16, 4, 16, 12).mean((2, 4)).reshape(-1, 256) for i in (0, 1)
        )
        centred = (train - train.mean(0)) / 255
        precision = np.linalg.inv(centred.T @ centred / len(train) + 1e-4 * np.eye(256))
        off = (test - train.mean(0)) / 255
        aurocs.append(
            roc_auc_score(task.test_labels, np.einsum("ni,ij,nj->n", off, precision, off, optimize=True))
        )
    assert all(0.6 < auroc < 0.995 for auroc in aurocs), aurocs
    assert max(aurocs) - min(aurocs) > 0.03


def test_an_unknown_surface_is_named_with_the_nearest(adapter: Any) -> None:
    with pytest.raises(DataError, match="has no task 'wod'; did you mean 'wood'"):
        adapter("textures").task("wod")
