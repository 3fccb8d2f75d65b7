"""Data sets as Croissant metadata: valid, with checksums where they are known, and nothing made up."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core.selector import parse
from bench.data.get.croissant import CONFORMS, croissant
from bench.suite.registry import Registry


def metadata(name: str) -> dict[str, Any]:
    selector = parse(name)
    (adapter,) = Registry().match("dataset", selector, name)
    found = croissant(adapter.load()(**adapter.check(selector.params, name)), name)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder of one's own images."""
    rng = np.random.default_rng(0)
    for name in ("train/good/0", "train/good/1", "test/good/2", "test/crack/3"):
        path = tmp_path / "tiles" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "tiles"


def test_an_embedded_set_has_its_tasks() -> None:
    found = metadata("digits")
    assert (found["conformsTo"], found["@type"], found["name"]) == (CONFORMS, "sc:Dataset", "digits")
    assert found["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert found["citeAs"].startswith("E. Alpaydin")
    assert "distribution" not in found
    (tasks,) = found["recordSet"]
    assert [each["tasks/task"] for each in tasks["data"]] == [str(digit) for digit in range(10)]
    first = tasks["data"][0]
    assert first["tasks/test_normal"] + first["tasks/test_anomalous"] == 599
    assert {field["@id"] for field in tasks["field"]} == set(first)


def test_an_official_archive_has_its_checksum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path))
    found = metadata("mvtec")
    archive, images = found["distribution"]
    assert archive["sha256"] == "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"
    assert archive["contentUrl"].endswith("mvtec_anomaly_detection.tar.xz")
    assert images["containedIn"] == {"@id": archive["@id"]}
    assert "recordSet" not in found  # the images are not here: nothing is counted


def test_own_images_are_named_each_with_its_checksum(own: Path) -> None:
    found = metadata(f"folder[path={own}]")
    files = {each["name"]: each for each in found["distribution"]}
    assert set(files) == {"train/good/0.png", "train/good/1.png", "test/good/2.png", "test/crack/3.png"}
    for name, each in files.items():
        assert each["sha256"] == hashlib.sha256((own / name).read_bytes()).hexdigest()
        assert each["contentUrl"] == name
    tasks, images = found["recordSet"]
    assert tasks["data"][0]["tasks/test_anomalous"] == 1
    labels = {each["images/file"]: (each["images/split"], each["images/label"]) for each in images["data"]}
    assert labels["test/crack/3.png"] == ("test", "crack")
    assert labels["train/good/0.png"] == ("train", "good")
    assert "license" not in found  # nobody said which


@pytest.mark.parametrize("name", ["digits", "textures", "own"])
def test_mlcroissant_finds_no_error_and_reads_the_records(
    name: str, own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    croissants = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(metadata(f"folder[path={own}]" if name == "own" else name)))
    with caplog.at_level(logging.WARNING):
        dataset = croissants.Dataset(jsonld=path)
    assert not dataset.metadata.ctx.issues.errors
    assert "not standard" not in caplog.text
    records = list(dataset.records("tasks"))
    assert len(records) == {"digits": 10, "textures": 5, "own": 1}[name]
    assert records[0]["tasks/test_anomalous"] > 0
