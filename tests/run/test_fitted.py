"""``bench.fit``, ``save`` and ``bench.load_method``: loaded methods score as fitted ones, to the bit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import bench
from bench import AnobenchError, DataError
from bench.features.backbone import Backbones, NetworkTable
from bench.run.fitted import FittedMethod
from bench.run.modelfolder import JSON, TENSORS, checksum, refuse_other
from bench.suite.registry import Registry
from tests.methods.test_contract import NAMES, OPTIONAL, SMALL
from tests.pictures import ON_PIXELS, stained, surfaces, tiny

GOOD, TEST = surfaces(24), np.concatenate([surfaces(4, seed=5), stained(4)])
#: On few small images: fewer steps than the tests of what they learn.
QUICK = {"adl": {"epochs": 2}, "reverse_distillation": {"epochs": 1}, "sla2p": {"epochs": 2}}
QUICK |= {
    "multicue": {"epochs": 2},
    "hscl": {"epochs": 2},
    "joint_optimization": {"auxiliary_set": "digits", "steps": 2},
}
FILE = """
from bench import Images, Method, Scores

class Mine(Method):
    def __init__(self, backbone: str = "default", power: float = 1.0) -> None:
        self.backbone, self.power = backbone, power

    def fit(self, train: Images) -> None:
        self.mean = train.features(self.backbone).mean(0)
        power = self.power
        self.raised = lambda values: values**power

    def score(self, test: Images) -> Scores:
        return Scores(self.raised((test.features(self.backbone) - self.mean).norm(dim=1)))
"""


def selector(name: str) -> str:
    given = {**SMALL.get(name, {}), **ON_PIXELS.get(name, {}), **QUICK.get(name, {})}
    words = [f'{k}="{v}"' if "," in str(v) else f"{k}={str(v).lower()}" for k, v in given.items()]
    words = [f"{k}={v}" if k == "model" else word for word, (k, v) in zip(words, given.items(), strict=True)]
    return f"{name}[{','.join(words)}]" if words else name


def fitted(name: str, folds: int = 0) -> FittedMethod:
    """Fit a stock method, with what it asks for."""
    takes = name not in ON_PIXELS and "random" not in name
    return bench.fit(
        name if "[" in name else selector(name),
        GOOD,
        backbone="pixels[size=4]" if takes else None,
        backbones=tiny(),
        folds=folds,
        labelled=stained(4, seed=7) if name in ("devnet", "deep_sad", "hscl", "multicue") else None,
        auxiliary={"outliers": stained(24, seed=7)} if name == "panda_oe" else None,
    )


def same(one: bench.Verdicts, other: bench.Verdicts) -> bool:
    maps = zip(one.maps or (), other.maps or (), strict=True)
    return one.scores.tobytes() == other.scores.tobytes() and all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in maps
    )


@pytest.mark.parametrize(
    "name",
    [*sorted({*NAMES, *ON_PIXELS}), "llbnad[base=dn2]", "trim[base=isolation_forest]", "mahalanobis"],
)
def test_a_loaded_method_scores_as_the_fitted_one(name: str, tmp_path: Path) -> None:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{name} needs an optional extra")
    made = fitted(name)
    before = made.score(TEST)
    made.save(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {JSON, TENSORS}
    loaded = bench.load_method(tmp_path / "model", backbones=tiny())
    assert same(loaded.score(TEST), before)
    assert same(made.score(TEST), before), "saving changes nothing"
    assert same(loaded.score(TEST), before), "nor does scoring"
    if name != "random":  # which draws its scores in the order of the images
        assert loaded.score(TEST[[6]]).scores == pytest.approx(before.scores[[6]], rel=1e-4)
    loaded.save(tmp_path / "again")
    assert same(bench.load_method(tmp_path / "again", backbones=tiny()).score(TEST), before)


def test_all_stock_methods_are_among_these() -> None:
    assert {*NAMES, *ON_PIXELS} == {n for n, a in Registry().methods.items() if not a.problem}


def test_maps_are_of_the_image() -> None:
    found = fitted("padim").score(TEST)
    assert found.maps is not None
    assert found.map_of(0, (32, 48)).shape == (32, 48)
    with pytest.raises(AnobenchError, match="no anomaly maps"):
        fitted("dn2").score(TEST).map_of(0, (32, 48))


def test_the_threshold_is_the_rule_s() -> None:
    """With the folds by hand: the conformal rule takes the k-th lowest of n, k = ceil((n + 1)(1 - a))."""
    made = bench.fit("dn2", GOOD, backbone="pixels[size=4]", folds=4, rate=0.2)
    pixels = bench.fit("dn2", GOOD, backbone="pixels[size=4]", folds=0)
    from bench.run.calibrate import fold_of

    of, scores = fold_of("fit", 24, 4), np.empty(24)
    for fold in range(4):
        some = bench.fit("dn2", GOOD[of != fold], backbone="pixels[size=4]", folds=0)
        scores[of == fold] = some.score(GOOD[of == fold]).scores
    assert made.threshold == np.sort(scores)[19]
    assert made.about["threshold"] == {
        **{"value": made.threshold, "rule": "conformal", "asked": "conformal"},
        **{"rate": 0.2, "folds": 4, "scores": 24},
    }
    found = made.score(TEST)
    assert found.anomalous is not None
    assert found.anomalous.tolist() == (found.scores > made.threshold).tolist() == [False] * 4 + [True] * 4
    assert list(found.frame().columns) == ["image", "score", "anomalous"]
    assert pixels.threshold is None
    assert pixels.score(TEST).anomalous is None
    assert list(pixels.score(TEST).frame().columns) == ["image", "score"]
    assert made.score(TEST).scores.tobytes() == pixels.score(TEST).scores.tobytes()


def test_a_method_of_one_s_own_needs_its_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    made = bench.fit(str(file), GOOD, backbone="pixels[size=4]", folds=0)
    made.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / JSON).read_text())["method"]["file"] == "mine.py"
    loaded = bench.load_method(tmp_path / "model", files=file)
    assert same(loaded.score(TEST), made.score(TEST))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(FILE)
    for given, said in (
        ((), r"files='mine\.py'"),  # what lies in a folder is not run by itself
        (tmp_path / "none.py", "no such file"),
        (tmp_path / "model" / JSON, "there is no method in it"),
    ):
        with pytest.raises(AnobenchError, match=said):
            bench.load_method(tmp_path / "model", files=given)
    file.write_text(FILE.replace("norm(dim=1)", "norm(dim=1, p=1)"))
    with pytest.raises(AnobenchError, match=r"with other code .*give the file"):
        bench.load_method(tmp_path / "model", files=file)
    file.write_text(FILE + "# a remark\n")
    bench.load_method(tmp_path / "model", files=file)


def test_a_wrapper_around_a_method_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    made = bench.fit("trim[base=mine]", GOOD, backbone="pixels[size=4]", folds=0)
    made.save("model")
    with pytest.raises(AnobenchError, match="mine"):
        bench.load_method("model")
    assert same(bench.load_method("model", files="methods/mine.py").score(TEST), made.score(TEST))


def test_a_detector_of_a_library(tmp_path: Path) -> None:
    file = tmp_path / "forest.py"
    file.write_text(
        "from sklearn.ensemble import IsolationForest\n\n\nclass Forest(IsolationForest):\n"
        "    def __init__(self, n_estimators: int = 7, random_state=None):\n"
        "        super().__init__(n_estimators=n_estimators, random_state=random_state)\n\n"
        "    def fit(self, X, y=None):\n        return super().fit(X)\n\n"
        "    def decision_function(self, X):\n        return super().decision_function(X)\n"
    )
    made = bench.fit(str(file), GOOD, backbone="pixels[size=4]", folds=0)
    made.save(tmp_path / "model")
    assert same(bench.load_method(tmp_path / "model", files=file).score(TEST), made.score(TEST))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("self.held = open(__file__)", "attribute held is a TextIOWrapper"),
        ("self.held = {'a': [1, object()]}", r"attribute held\['a'\]\[1\] is a object"),
        ("self.held = print", "attribute held"),
        ("self.held = __import__('os').system", "attribute held"),
        ("self.held = __import__('shutil').rmtree", "attribute held is the function rmtree of shutil"),
        ("self.held = type(self)", "attribute held is the class Mine"),
        ("self.held = []\n        self.held.append(self.held)", "holds itself"),
        ("self.held = __import__('numpy').array([object()])", "attribute held is an array of object"),
        ("self.held = train.features(self.backbone).to_sparse()", "attribute held is a Tensor"),
    ],
)
def test_what_cannot_be_saved_says_which_attribute(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        FILE.replace("        power = self.power\n", f"        power = self.power\n        {line}\n")
    )
    made = bench.fit(str(file), GOOD, backbone="pixels[size=4]", folds=0)
    with pytest.raises(AnobenchError, match=rf"mine\[power=1\.0\] cannot be saved: .*{said}") as error:
        made.save(tmp_path / "model")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


def test_every_kind_of_plain_value_comes_back(tmp_path: Path) -> None:
    import functools

    lines = [
        "import collections, numpy, torch",
        "self.a = (1, -0.0, float('inf'), float('nan'), 'ä', None, True, 2**80, [1, {2: {3}, 'x': ()}])",
        "self.b = numpy.array([[1, 2], [3, 4]], numpy.int16).T",
        "self.c = [numpy.float32(0.1), numpy.int64(3), numpy.array(['a', 'bc']), numpy.dtype('f4')]",
        "self.d = torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1)",
        "self.e = [self.d, torch.float16, torch.device('cpu'), frozenset({1}), numpy.float64]",
        "self.f = collections.OrderedDict(b=1, a=torch.zeros(0, 3))",
        "self.g = __import__('functools').partial(torch.nn.functional.normalize, dim=0)",
        "self.h = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).eval()",
        "self.i = self.score",
    ]
    file = tmp_path / "mine.py"
    inside = "".join(f"        {line}\n" for line in lines)
    file.write_text(FILE.replace("        power = self.power\n", f"        power = self.power\n{inside}"))
    made = bench.fit(str(file), GOOD, backbone="pixels[size=4]", folds=0)
    made.save(tmp_path / "model")
    old: Any = made.method
    new: Any = bench.load_method(tmp_path / "model", files=file).method
    assert repr(new.a) == repr(old.a)
    assert (new.b == old.b).all()
    assert (new.b.dtype, new.b.flags.f_contiguous) == (old.b.dtype, True)
    assert repr(new.c) == repr(old.c)
    assert torch.equal(new.d, old.d)
    assert new.d.stride() == old.d.stride()
    assert new.e[0] is new.d
    assert new.e[1:] == old.e[1:]
    assert type(new.f) is type(old.f)
    assert repr(new.f) == repr(old.f)
    assert isinstance(new.g, functools.partial)
    assert new.g.func is torch.nn.functional.normalize
    given = torch.ones(3, 2)
    assert torch.equal(new.h(given), old.h(given))
    assert not new.h[1].training
    assert new.i.__self__ is new


Change = Callable[[dict[str, Any]], None]


def edited(folder: Path, change: Change, *, whole: bool = True) -> None:
    """Change model.json; its checksum, too, as whoever means harm would."""
    about = json.loads((folder / JSON).read_text())
    change(about)
    about["sha256"] = checksum(about) if whole else about["sha256"]
    (folder / JSON).write_text(json.dumps(about))


def set_in(*path: str | int, value: Any) -> Change:
    def change(about: Any) -> None:
        for step in path[:-1]:
            about = about[step]
        about[path[-1]] = value

    return change


CODE = {"defaults": None, "number": 0, "holds": {}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            set_in("state", "mean", "shape", value=[5]),
            r"mean is float64 of .*\[48\], and should be .*\[5\]",
        ),
        (set_in("state", "mean", "dtype", value="float32"), "mean is float64"),
        (set_in("state", "mean", "tensor", value="other"), "no tensor 'other'"),
        (set_in("state", "mean", "stride", value=[10**9]), "has the strides"),
        (set_in("state", "__class__", value=1), "an attribute is called"),
        (set_in("state", "x", value={"object": "os:_wrap_close", "state": {}}), "names the class"),
        (set_in("state", "x", value={"object": "subprocess:Popen", "state": {}}), "names the class"),
        (
            set_in("state", "x", value={"object": "bench.core.cell:Cell", "state": {}}),
            "names the class",
        ),
        (set_in("state", "x", value={"object": "sklearn.tests.test_base:X", "state": {}}), "names the class"),
        (set_in("state", "x", value={"object": "torch.nn:init", "state": {}}), "names the class"),
        (set_in("state", "x", value={"object": "method:torch", "state": {}}), "names the class"),
        (set_in("state", "x", value={"object": "method:MeanDistance", "state": {}}), "may not hold"),
        (set_in("state", "x", value={"function": "os:system", **CODE}), "names the function"),
        (set_in("state", "x", value={"function": "shutil:rmtree", **CODE}), "names the function"),
        (set_in("state", "x", value={"function": "torch.nn.functional:warnings", **CODE}), "the function"),
        (set_in("state", "x", value={"function": "method:nearest", **CODE}), "names the function"),
        (set_in("state", "x", value={"bound": "__reduce__", "of": 1}), "has no function"),
        (set_in("state", "x", value={"scalar": "object", "value": 1}), "no type of numbers"),
        (set_in("state", "x", value={"mystery": 1}), "marked 'mystery'"),
        (set_in("state", "x", value={"ref": 99}), "damaged or edited"),
        (set_in("state", value=[]), "attributes are no table"),
        (set_in("method", "name", value="nothing"), "which must be given again"),
        (set_in("method", "name", value="dn2"), "with other code"),
        (set_in("method", "params", "backbone", value="lite1"), "names the backbone 'lite1'"),
        (set_in("schema", value=99), "has schema 99"),
        (set_in("networks", value=[{"backbone": "pixels"}]), "cannot be trained|damaged"),
    ],
)
def test_an_edited_model_is_one_clear_line(change: Change, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    bench.fit("mean_distance", GOOD, backbone="pixels[size=4]", folds=0).save(folder)
    edited(folder, change)
    with pytest.raises(AnobenchError, match=said) as error:
        bench.load_method(folder).score(TEST)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_torn_and_other_files(tmp_path: Path) -> None:
    folder, other = tmp_path / "model", tmp_path / "other"
    for seed, each in enumerate((folder, other)):
        bench.fit("mean_distance", surfaces(20, seed=seed), backbone="pixels[size=4]", folds=0).save(each)
    whole = (folder / TENSORS).read_bytes()
    for content in (whole[:-9], b"", (other / TENSORS).read_bytes()):
        (folder / TENSORS).write_bytes(content)
        with pytest.raises(AnobenchError, match="torn or of another method"):
            bench.load_method(folder)
        if content != (other / TENSORS).read_bytes():
            digest = hashlib.sha256(content).hexdigest()
            edited(folder, set_in("tensors", "sha256", value=digest))
            with pytest.raises(AnobenchError, match="is damaged"):
                bench.load_method(folder)
            edited(folder, set_in("tensors", "sha256", value=hashlib.sha256(whole).hexdigest()))
    (folder / TENSORS).unlink()
    with pytest.raises(AnobenchError, match="cannot be read"):
        bench.load_method(folder)
    (folder / TENSORS).write_bytes(whole)
    bench.load_method(folder)
    edited(folder, set_in("seed", value=5), whole=False)
    with pytest.raises(AnobenchError, match="was edited or damaged: its checksum"):
        bench.load_method(folder)
    for text in ("", "[]", "{", '{"schema": 1}', "[" * 100_000):
        (folder / JSON).write_text(text)
        with pytest.raises(AnobenchError, match="is not a saved method"):
            bench.load_method(folder)
    with pytest.raises(AnobenchError, match="holds no saved method"):
        bench.load_method(tmp_path / "none")
    with pytest.raises(AnobenchError, match="is no saved method; give another folder"):
        bench.fit("mean_distance", GOOD, backbone="pixels[size=4]", folds=0).save(tmp_path)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the time that fitting takes, and where only writing shows it."""
    made = bench.fit("mean_distance", GOOD, backbone="pixels[size=4]", folds=0)
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, _: path != tmp_path)
        with pytest.raises(AnobenchError, match=f"no permission in {re.escape(str(tmp_path))}; give"):
            refuse_other(tmp_path / "locked" / "model")
    refuse_other(tmp_path / "model")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(AnobenchError, match=r"cannot be written \(Permission denied\); give another folder"):
        made.save(tmp_path / "model")


def test_trees_and_machines_of_an_edited_file_are_checked(tmp_path: Path) -> None:
    """Compiled code reads their indices without looking."""
    for name, key, index in (
        ("isolation_forest[trees=2]", ".left_child", 10**6),
        ("isolation_forest[trees=2]", ".feature", 10**6),
        ("oc_svm", "._n_support", 10**6),
    ):
        folder = tmp_path / key.strip(".")
        bench.fit(name, GOOD, backbone="pixels[size=4]", folds=0).save(folder)
        tensors = load_file(folder / TENSORS)
        wanted = next(each for each in tensors if each.replace("node ", "").endswith(key))
        tensors[wanted][0] = index
        save_file(tensors, folder / TENSORS)
        digest = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
        edited(folder, set_in("tensors", "sha256", value=digest))
        with pytest.raises(AnobenchError, match=r"lead nowhere|support vectors"):
            bench.load_method(folder)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    bench.fit("patch_knn[layers=layer2]", GOOD, backbone="tiny", backbones=tiny(), folds=0).save(
        tmp_path / "model"
    )
    with pytest.raises(AnobenchError, match=r"backbone tiny has other weights or settings here \(.*sha256"):
        bench.load_method(tmp_path / "model", backbones=tiny(1))
    with pytest.raises(AnobenchError, match="its backbone cannot be had"):
        bench.load_method(tmp_path / "model")
    table = NetworkTable(timm="test_resnet", args={"num_classes": 7}, file="gone.safetensors")
    with pytest.raises(AnobenchError, match=r"cannot be had: .*gone\.safetensors"):
        bench.load_method(tmp_path / "model", backbones=Backbones({"tiny": table}, tmp_path))


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    made = bench.fit("mean_distance", GOOD, backbone="pixels[size=4]", folds=0)
    Image.fromarray(GOOD[0]).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:200])
    assert len(made.score([tmp_path / "good.png"])) == 1
    with pytest.raises(DataError, match=r"torn\.png"):
        made.score([tmp_path / "good.png", tmp_path / "torn.png"])
    with pytest.raises(DataError, match=r"gone\.png"):
        made.score([tmp_path / "gone.png"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "guess"}, "rule: 'guess'; allowed: max, conformal"),
        ({"rate": 0}, "rate between 0 and 1"),
        ({"folds": 1}, "folds 0 or at least 2"),
        ({"folds": 13}, "needs 26 normal images, got 24"),
        ({"method": "dn3"}, "did you mean 'dn2'"),
        ({"method": "dn2*"}, "not the pattern"),
        ({"method": "dn2[q=1]"}, "no parameter 'q'"),
        ({"method": "none.py"}, "there is no such file"),
        ({"method": "devnet", "backbone": "lite0"}, r"devnet asks for labelled anomalies: .*labelled=images"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"train": []}, "train: nothing"),
        ({"backbone": "lite9"}, "lite9"),
    ],
)
def test_mistakes(given: dict[str, Any], said: str) -> None:
    whole = {"method": "dn2", "train": GOOD, "backbone": "pixels[size=4]"} | given
    with pytest.raises(AnobenchError, match=said):
        bench.fit(**whole)
