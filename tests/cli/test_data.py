"""``anobench data``: exit statuses and what the user reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.datasets.trees import picture, write_mask, write_mvtec, write_picture


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", str(folder))
    monkeypatch.setenv("COLUMNS", "300")
    return folder


def test_ls_says_what_is_here_and_how_to_get_the_rest(
    anobench: Invoke, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.data.hub.download", lambda *_: pytest.fail("a download"))
    write_mvtec(data / "mvtec" / "bottle")
    (data / "visa").mkdir()
    (data / "cifar10").mkdir()
    ended = anobench("data", "ls")
    assert ended.code == 0, ended.err
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line.split()}
    assert "1 of 15" in lines["mvtec"]
    assert str(data / "mvtec") in lines["mvtec"]
    assert "CC BY-NC-SA 4.0" in lines["mvtec"]
    assert "embedded (synthetic)" in lines["textures"]
    assert "embedded" in lines["digits"]
    assert "absent; anobench data get mnist" in lines["mnist"]
    assert "absent; get it from https://www.kaggle.com" in lines["cats_vs_dogs"]
    assert "folder[path=...]" in lines["folder"]
    assert "damaged" in lines["cifar10"]
    assert "absent" in lines["visa"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mvtec", ["Bergmann", "3,629 train, 467 good", "1 of 15: bottle", "5.27 GB", "by its sha256"]),
        ("mvtec", ["CC BY-NC-SA 4.0", "--accept-licence", "ground_truth/<defect>"]),
        ("cifar10", ["one_vs_rest; 10: airplane", "absent", "MD5 that torchvision publishes (CIFAR10)"]),
        ("svhn", ["anobench data get svhn --accept-licence"]),
        ("fashion_mnist", ["by itself when a suite needs it", "whole splits by their content"]),
        ("spark", ["90,000 train images", "by hand, from https://cvi2.uni.lu", "R_min"]),
        ("birds200[first=3]", ["birds200[first=3]", "one_vs_rest"]),
        ("real_iad[split=fuiad]", ["official noisy splits: 0.1, 0.2, 0.4", "30: audiojack", "NG"]),
        ("digits", ["embedded", "labelled anomalies (holdout)"]),
        ("textures", ["5: weave", "from the test set, which they leave"]),
        ("hub[name=someone/signs]", ["data get hub[name=someone/signs]", "huggingface.co/datasets/someone"]),
        ("mnist", ["damaged", "10: 0, 1, 2", "is empty"]),
        ("wbc", ["absent", "4: neutrophil", "WBC: 300 microscope images"]),
    ],
)
def test_ls_of_one_says_all_that_is_known(
    anobench: Invoke, data: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    monkeypatch.setattr("bench.data.hub.download", lambda *_: pytest.fail("a download"))
    write_mvtec(data / "mvtec" / "bottle")
    (data / "mnist").mkdir()
    ended = anobench("data", "ls", name)
    assert ended.code == 0, ended.err
    for word in (*words, "checked", "contamination"):
        assert word in ended.out


def test_check_of_what_is_whole(anobench: Invoke, data: Path) -> None:
    write_mvtec(data / "mine")
    ended = anobench("data", "check", f"folder[path={data / 'mine'}]")
    assert ended.code == 0, ended.err
    assert ended.out.endswith("1 task, complete as far as is known, nothing differs\n")
    assert ended.out.count("no official fingerprint is known for this copy; its fingerprint is") == 2
    assert ended.out.count("no official counts are known either") == 2


def test_check_of_what_is_known_to_be_official(anobench: Invoke) -> None:
    ended = anobench("data", "check", "digits")
    assert ended.code == 0, ended.err
    assert "digits/train: its fingerprint is fc83cb52" in ended.out
    assert ended.out.endswith("digits: 10 tasks, complete, nothing differs\n")


def test_check_says_what_differs(anobench: Invoke, data: Path) -> None:
    root = write_mvtec(data / "mvtec" / "bottle", train=5, good=3, hole=2)
    write_picture(root / "test" / "good" / "002.png", picture(3))
    write_mask(root / "ground_truth" / "hole" / "001_mask.png", size=(9, 9))
    truncated = write_mvtec(data / "mvtec" / "cable") / "train" / "good" / "001.png"
    truncated.write_bytes(truncated.read_bytes()[:-8])
    unmasked = write_mvtec(data / "mvtec" / "tile") / "ground_truth" / "hole" / "001_mask.png"
    unmasked.rename(unmasked.with_name("007_mask.png"))
    ended = anobench("data", "check", "mvtec")
    assert ended.code == 1, ended.err
    for words in (
        "cable/train/good/001.png: this PNG image is truncated",
        "are the same image",
        "this mask has 9 x 9 pixels",
        "007_mask.png: this mask belongs to no image",
        "bottle has 5 train, 3 good and 2 anomalous",
        "mvtec: 3 tasks, 6 things to note",
    ):
        assert words in ended.out
    assert "Traceback" not in ended.err


def test_a_differing_count_is_said(anobench: Invoke, data: Path) -> None:
    write_mvtec(data / "mvtec" / "bottle")
    ended = anobench("data", "check", "mvtec")
    assert ended.code == 1
    assert "bottle has 5 train, 3 good and 5 anomalous test images, officially 209, 20 and 63" in ended.out
    assert "lacks 14 of 15" in ended.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("svhn", ["its licence sets conditions", "--accept-licence"]),
        ("mvtecc", ["unknown data set 'mvtecc'", "did you mean 'mvtec'"]),
        ("visa", ["visa/{split_csv/1cls.csv", "get it from https://github.com/amazon-science"]),
        ("mnist", ["hf download"]),
        ("folder[path=nowhere]", ["nowhere", "does not exist"]),
        ("folder", ["needs the parameter 'path'"]),
        ("mvtec[size=3]", ["no parameter 'size'"]),
        ("mv*", ["not a pattern"]),
    ],
)
@pytest.mark.usefixtures("data")
def test_missing_data_and_mistakes_have_status_2(anobench: Invoke, name: str, words: list[str]) -> None:
    ended = anobench("data", "check", name)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


def test_get_of_what_is_here_or_embedded(anobench: Invoke, data: Path) -> None:
    assert "embedded" in anobench("data", "get", "digits").out
    write_mvtec(data / "mvtec" / "bottle")
    ended = anobench("data", "get", "mvtec")
    assert ended.code == 0
    assert f"in {data / 'mvtec'} (licence: CC BY-NC-SA 4.0)" in ended.out
    assert "lacks 14 of 15" in ended.out


@pytest.mark.usefixtures("data")
def test_get_of_what_may_not_be_downloaded(anobench: Invoke) -> None:
    ended = anobench("data", "get", "cats_vs_dogs")
    assert ended.code == 2
    for words in ("is not downloaded by anobench", "https://www.kaggle.com", "20,000 train images"):
        assert words in ended.err


@pytest.mark.parametrize(("name", "shown"), [("folder", "test/<defect>"), ("hub", "parquet")])
def test_what_needs_a_parameter_shows_its_layout_without_it(anobench: Invoke, name: str, shown: str) -> None:
    ended = anobench("data", "ls", name)
    assert ended.code == 0, ended.err
    assert f"{name}[" in ended.out
    assert shown in ended.out


def test_facts_are_listed_with_their_sources(anobench: Invoke) -> None:
    ended = anobench("data", "facts")
    assert ended.code == 0, ended.err
    assert "unconfirmed" in ended.out
    assert "btad" in ended.out
