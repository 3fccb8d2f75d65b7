"""What lies beside a suite's file is found from anywhere, and what a run would miss is found before it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bench import AnobenchError
from bench.core.archive import Archive
from bench.core.errors import BackboneError, DataError
from bench.features import weights
from bench.features.backbone import Backbones
from bench.features.spec import NetworkTable, weights_in
from bench.run.launch import launch
from bench.run.prepare import prepare
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite

from ..datasets.trees import picture, write_mvtec, write_picture

METHOD = (
    '"""Trial."""\nimport torch\nfrom bench import Method, Scores\n{more}\nclass Trial(Method):\n'
    "    def fit(self, train): ...\n    def score(self, test): return Scores(torch.zeros(len(test)))\n"
)


def suite(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("where", [".", "suites"])
@pytest.mark.parametrize("path", ["images", "./images", "../images"])
def test_images_and_methods_beside_the_suite_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, path: str
) -> None:
    bench, elsewhere = tmp_path / "bench", tmp_path / "elsewhere"
    write_mvtec((bench / where / path).resolve())
    (bench / "methods").mkdir(parents=True)
    (bench / "methods" / "trial.py").write_text(METHOD.format(more=""))
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = suite(bench / where, f'datasets = ["folder[path={path}]"]\nmethods = ["trial"]\n')
    prepared = prepare(file, Registry([], Path.cwd()), Archive(tmp_path / "results"))
    assert [entry.cell.dataset for entry in prepared.plan.entries] == [f"folder[path={path}]"]
    assert launch(prepared) == ""
    assert [record.status for record in prepared.records.values()] == ["ok"]


@pytest.mark.parametrize("given", ["bench/suites/mine.toml", "mine"])
def test_loaded_results_find_what_lies_beside_their_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    import bench as package

    write_mvtec(tmp_path / "bench" / "suites" / "images")
    (tmp_path / "bench" / "methods").mkdir()
    (tmp_path / "bench" / "methods" / "trial.py").write_text(METHOD.format(more=""))
    text = 'datasets = ["folder[path=images]"]\nmethods = ["trial"]\n'
    file = suite(tmp_path / "bench" / "suites", text)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    package.run(file, results=tmp_path / "results", show=False)
    monkeypatch.chdir(tmp_path / "bench" if given == "mine" else tmp_path)
    found = package.load(tmp_path / "results", given)
    assert "trial" in found.registry.methods
    assert found.scores(found.cells[0])["image"].str.endswith(".png").all()


def test_a_suites_folder_comes_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mvtec(tmp_path / "a" / "images", train=4)
    write_mvtec(tmp_path / "b" / "images", train=7)
    monkeypatch.chdir(tmp_path / "b")
    text = 'datasets = ["folder[path=images]"]\nmethods = ["random"]\n'
    found = []
    for folder in (tmp_path / "a", tmp_path / "c"):  # the second has no images: then those here
        registry = Registry([], Path.cwd())
        make_plan(load_suite(suite(folder, text)), registry)
        found.append(len(registry.open_dataset("folder[path=images]").task("images").train))
    assert found == [4, 7]


@pytest.mark.parametrize("kind", ["link", "copy", "hard link", "two labels"])
def test_an_image_in_train_and_in_test_is_refused_at_planning(tmp_path: Path, kind: str) -> None:
    root = write_mvtec(tmp_path / "images")
    test, train = root / "test" / "good", root / "train" / "good"
    if kind == "link":
        for file in test.iterdir():
            file.unlink()
        test.rmdir()
        test.symlink_to("../train/good")
    elif kind == "copy":
        (test / "x.png").write_bytes((train / "003.png").read_bytes())
    elif kind == "hard link":
        os.link(train / "003.png", test / "x.png")
    else:
        (test / "x.png").write_bytes((root / "test" / "hole" / "001.png").read_bytes())
    file = suite(tmp_path, 'datasets = ["folder[path=images]"]\nmethods = ["random"]\n')
    with pytest.raises(
        DataError, match=r"\((train|good|hole)\) and .* \((test|hole|good)\) are the same image"
    ):
        make_plan(load_suite(file), Registry())


def test_published_sets_with_such_images_are_flagged_and_copies_within_a_split_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path))
    root = write_mvtec(tmp_path / "mvtec" / "bottle")
    write_picture(root / "test" / "good" / "x.png", picture(1))
    write_mvtec(tmp_path / "images")
    write_picture(tmp_path / "images" / "train" / "good" / "again.png", picture(1))
    (tmp_path / "images" / "train" / "good" / "@eaDir").mkdir()
    file = suite(tmp_path, 'datasets = ["mvtec", "folder[path=images]"]\nmethods = ["random"]\n')
    notes = "\n".join(make_plan(load_suite(file), Registry()).notes)
    assert (
        "mvtec: mvtec/bottle/train/good/001.png (train) and mvtec/bottle/test/good/x.png (test) are" in notes
    )
    assert "1 of 6 images are copies of others" in notes
    assert "passed over images/train/good/@eaDir" in notes


# --- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        {"checkpoint_path": "x"},
        {"pretrained_cfg_overlay": {"file": "mine"}},
        {"pretrained_cfg_overlay": {"url": "https://x.y/z"}},
        {"pretrained_cfg": {"hf_hub_id": "me/mine"}},
        {"a": [{"b": ["weights.pth"]}]},
        {"a": {"b": {"c": "~/mine"}}},
        {"a": "file:mine"},
        {"a": "hf-hub:me/mine"},
        {"a": "s3://bucket/mine"},
        {"a": "C:\\mine"},
        {"a": ["x.safetensors"]},
        {"weights": "IMAGENET1K_V1"},
        {"pretrained": True},
    ],
)
@pytest.mark.parametrize("table", ["timm", "torchvision", "preset"])
def test_weights_named_through_args_are_refused(args: dict[str, object], table: str) -> None:
    with pytest.raises(ValueError, match=r"args names weights .*name them by the key file"):
        NetworkTable.model_validate({table: "resnet18", "args": args})


@pytest.mark.parametrize(
    "args",
    [
        {"num_classes": 1001},
        {"pad_type": "same", "act_layer": "torch.nn.GELU"},
        {"features_only": True, "out_indices": [1, 2]},
        {"pretrained_cfg": "tv_in1k"},
        {"pretrained_cfg_overlay": {"input_size": [3, 64, 64], "crop_pct": 0.9}},
        {"pretrained": False, "drop_path_rate": 0.1, "global_pool": ""},
    ],
)
def test_other_args_pass(args: dict[str, object]) -> None:
    assert weights_in(args) == ""
    assert NetworkTable(timm="resnet18", args=args).args == args


def test_weights_in_brackets_are_refused_too() -> None:
    with pytest.raises(BackboneError, match="args names weights"):
        Backbones().get('resnet18[args={"checkpoint_path": "x.pth"}]')


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Refuse all connections, and count the attempts."""
    asked: list[object] = []

    def refuse(address: object, *_: object) -> None:
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("bench.features.weights._in_hub_cache", lambda _name: False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    weights._host_unreachable.cache_clear()
    return asked


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resnet18.tv_in1k", "huggingface.co cannot be reached"),
        ("torchvision:resnet18/IMAGENET1K_V1", "download.pytorch.org cannot be reached"),
        ("panda", "download.pytorch.org cannot be reached"),
        ("resnet18.no_such_tag", "unknown weights 'resnet18.no_such_tag'"),
        ("torchvision:resnet18/NO_SUCH", "unknown weights 'NO_SUCH'"),
    ],
)
@pytest.mark.usefixtures("no_network")
def test_weights_that_cannot_be_had_say_why(name: str, why: str) -> None:
    backbone = Backbones().get(name)
    assert why in weights.why_not_had(backbone)
    assert not weights.is_here(backbone)


def test_weights_that_are_here_need_no_network(no_network: list[object], tmp_path: Path) -> None:
    place = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    place.parent.mkdir(parents=True)
    place.touch()
    assert weights.why_not_had(Backbones().get("torchvision:resnet18/IMAGENET1K_V1")) == ""
    assert weights.why_not_had(Backbones().get("hog")) == ""
    assert no_network == []


def test_a_run_tells_once_what_is_missing_and_runs_the_rest(no_network: list[object], tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "trial.py").write_text(METHOD.format(more="import nowhere_to_be_found"))
    text = 'datasets = ["digits[task=3|5]"]\nmethods = [{methods}]\n'
    rows = ['"random"', '"trial"', '"dn2[backbone=resnet18.tv_in1k]"', '"lof[backbone=resnet18.tv_in1k]"']
    file = suite(tmp_path, text.format(methods=", ".join(rows)))
    prepared = prepare(file, Registry(), Archive(tmp_path / "results"))
    said: list[str] = []
    assert launch(prepared, say=said.append) == ""
    told = [line for line in said if "left out" in line]
    assert len(told) == 2
    assert "2 cells are left out: the method trial needs nowhere_to_be_found" in "".join(told)
    assert "4 cells are left out: backbone resnet18.tv_in1k" in "".join(told)
    assert len(no_network) == 1
    assert {record.cell.method for record in prepared.records.values()} == {"random"}
    assert all(record.status == "ok" for record in prepared.records.values())
    nothing = prepare(
        suite(tmp_path, text.format(methods=rows[1])), Registry(), Archive(tmp_path / "results")
    )
    with pytest.raises(AnobenchError, match="the method trial needs nowhere_to_be_found"):
        launch(nothing)
