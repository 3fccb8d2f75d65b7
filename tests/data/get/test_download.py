"""Getting data sets: what is downloaded, what is refused, and that nothing half-done is left."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench import DataError, Hub, OneVsRest, Parquet
from bench.data.copies import MissingData
from bench.data.dataset import Download
from bench.data.get.download import download_method, expected_counts, obtain
from bench.data.inspection import InspectionSet
from tests.datasets.trees import picture, png, write_mvtec, write_parquet

URL = "https://example.org/parts.zip"


def packed(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, f"parts-1.0/{path.relative_to(folder).as_posix()}")
    return content.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    write_mvtec(tmp_path / "original" / "nut")
    return packed(tmp_path / "original")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", str(folder))
    return folder


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | Exception], list[str]]:
    """Return a function that makes the address give something, and a list of what was asked for."""

    def give(content: bytes | Exception) -> list[str]:
        asked: list[str] = []

        def opened(url: str) -> io.BytesIO:
            asked.append(url)
            if isinstance(content, Exception):
                raise content
            return io.BytesIO(content)

        monkeypatch.setattr("bench.data.get.download._open", opened)
        return asked

    return give


def parts(content: bytes = b"", *, conditions: bool = False, **more: Any) -> InspectionSet:
    class Parts(InspectionSet):
        title = "Parts"
        licence = "CC BY 4.0"
        home = "https://example.org"
        layout = "parts/<category>/{train, test, ground_truth}"
        folders = ("parts",)
        categories = ("nut", "bolt")
        expected: ClassVar = {"nut": (5, 3, 5), "bolt": (1_000, 1, 2)}
        download = Download(
            url=URL,
            sha256=hashlib.sha256(content).hexdigest(),
            folder="parts",
            **{"gigabytes": 1e-3, "conditions": conditions, **more},
        )

    return Parts()


def test_an_archive_is_downloaded_checked_and_unpacked_once(
    archive: bytes, data: Path, serve: Callable[..., list[str]]
) -> None:
    asked = serve(archive)
    dataset = parts(archive)
    assert download_method(dataset) == "archive"
    assert obtain(dataset) == data / "parts"
    assert [path.name for path in data.iterdir()] == ["parts"]
    assert parts(archive).tasks() == ["nut"]
    assert parts(archive).task("nut").test_labels.sum() == 5
    assert obtain(parts(archive)) == data / "parts"
    assert asked == [URL]


def test_conditions_must_be_accepted(archive: bytes, data: Path, serve: Callable[..., list[str]]) -> None:
    asked = serve(archive)
    with pytest.raises(DataError, match=r"licence CC BY 4\.0.*--accept-licence"):
        obtain(parts(archive, conditions=True))
    assert asked == []
    assert obtain(parts(archive, conditions=True), accept=True) == data / "parts"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"<html>moved</html>", "expected sha256 .*found .*nothing was unpacked"),
        (TimeoutError("timed out"), "does not give the archive .timed out."),
        (b"x" * 3_000_000, "more than 0.002 GB"),
    ],
)
def test_what_is_not_the_archive_is_refused(
    archive: bytes, data: Path, serve: Callable[..., list[str]], content: bytes | Exception, match: str
) -> None:
    serve(content)
    with pytest.raises(DataError, match=match):
        obtain(parts(archive))
    assert list(data.iterdir()) == []


def test_a_malicious_archive_leaves_nothing(data: Path, serve: Callable[..., list[str]]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("nut/0.png", b"x")
        archive.writestr("../../evil.png", b"x")
    serve(content.getvalue())
    with pytest.raises(DataError, match="leads out of the folder"):
        obtain(parts(content.getvalue()))
    assert list(data.iterdir()) == []
    assert not list(data.parent.parent.glob("evil*"))


@pytest.mark.usefixtures("data")
def test_a_full_disk_is_seen_before(archive: bytes, serve: Callable[..., list[str]]) -> None:
    asked = serve(archive)
    with pytest.raises(DataError, match="GB free, expected 3000000000"):
        obtain(parts(archive, gigabytes=1e9))
    assert asked == []


def test_a_folder_that_may_not_be_written_is_named(
    archive: bytes, data: Path, serve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(archive)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match=f"{data} cannot be written"):
        obtain(parts(archive))
    assert asked == []


def test_only_https_is_asked(archive: bytes, data: Path) -> None:
    dataset = parts(archive)
    type(dataset).download = Download(
        url="http://example.org/parts.zip", sha256="0", folder="parts", gigabytes=1e-3, conditions=False
    )
    with pytest.raises(DataError, match="expected an https address"):
        obtain(dataset)
    assert list(data.iterdir()) == []


def test_without_a_data_folder_it_says_so(
    archive: bytes, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., list[str]]
) -> None:
    monkeypatch.delenv("ANOBENCH_DATA", raising=False)
    asked = serve(archive)
    with pytest.raises(DataError, match="set ANOBENCH_DATA"):
        obtain(parts(archive))
    assert asked == []


@pytest.mark.usefixtures("data")
def test_a_set_that_may_not_be_downloaded_says_where_it_is() -> None:
    dataset = parts()
    type(dataset).download = None
    with pytest.raises(MissingData) as raised:
        obtain(dataset)
    for words in ("https://example.org", "parts/<category>", "1,005 train, 4 good and 7 anomalous", "CC BY"):
        assert words in str(raised.value)


def test_torchvisions_class_is_used(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    dataset = parts()
    type(dataset).download, type(dataset).torchvision = None, "Flowers102"
    asked: list[tuple[Path, bool]] = []

    def made(root: Path, *, download: bool) -> None:
        asked.append((root, download))
        write_mvtec(root / "parts" / "nut")

    monkeypatch.setattr(torchvision.datasets, "Flowers102", made)
    assert obtain(dataset) == data / "parts"
    assert asked == [(data, True)]

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets, "Flowers102", fails)
    monkeypatch.setenv("ANOBENCH_DATA", str(data.parent / "original"))
    (data.parent / "original").mkdir()
    with pytest.raises(DataError, match=r"torchvision does not give Parts.*corrupted.*https://example\.org"):
        obtain(type(dataset)())


def test_conditions_of_a_hub_set_must_be_accepted_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(repository: str, _: str | None) -> Path:
        asked.append(repository)
        for split in ("train", "test"):
            path = data / "theirs" / f"{split}-00000-of-00001.parquet"
            write_parquet(path, [png(picture(shade)) for shade in (1, 2)], [0, 1])
        return data / "theirs"

    class Signs(OneVsRest):
        title, licence, home = "Signs", "for non-commercial use", "https://example.org"
        classes = ("stop", "go")
        folder = "signs"
        layouts = (Parquet("signs"),)
        hub = Hub("someone/signs", conditions=True)

    monkeypatch.setattr("bench.data.hub.cached", lambda *_: None)
    monkeypatch.setattr("bench.data.hub.download", download)
    with pytest.raises(MissingData, match=r"sets conditions: if you accept them, .*--accept-licence"):
        Signs().task("stop")
    with pytest.raises(DataError, match=r"licence for non-commercial use.*--accept-licence"):
        obtain(Signs())
    assert asked == []
    assert obtain(Signs(), accept=True) == data / "theirs"
    Signs.hub = Hub("someone/signs")
    assert len(Signs().task("stop").train) == 1
    assert obtain(Signs()) == data / "theirs"
    assert asked == ["someone/signs"] * 3


def test_counts_read_well() -> None:
    class Plain(InspectionSet):
        expected: ClassVar = {"train": 50_000, "test": 10_000}

    assert expected_counts(Plain()) == "50,000 train images, 10,000 test images"
    Plain.expected = {}
    assert expected_counts(Plain()) == ""
