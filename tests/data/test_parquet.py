from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import DataError
from bench.data import parquet as hubtable
from bench.data.hub import download
from bench.data.parquet import ParquetTable
from tests.datasets.trees import picture, png, write_parquet


def shades(table: ParquetTable, rows: list[int]) -> list[int]:
    return [int(pixels[1, 1, 0]) for pixels in table.source().read(np.array(rows))]


@pytest.fixture
def table(tmp_path: Path) -> ParquetTable:
    """Return ten images in two shards, in row groups of two."""
    files = []
    for shard in range(2):
        numbers = list(range(shard * 5, shard * 5 + 5))
        files.append(
            write_parquet(
                tmp_path / f"train-{shard:05d}-of-00002.parquet",
                [png(picture(n)) for n in numbers],
                [n % 3 for n in numbers],
                row_group_size=2,
            )
        )
    return ParquetTable("t/train", files, image="image", label="label")


def test_rows_run_through_the_shards_in_order(table: ParquetTable) -> None:
    assert len(table) == 10
    assert table.labels().tolist() == [n % 3 for n in range(10)]
    assert shades(table, [9, 0, 4, 5, 5]) == [9, 0, 4, 5, 5]


def test_labels_are_read_without_the_images(table: ParquetTable, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    original = pq.ParquetFile.read

    def read(self: pq.ParquetFile, columns: list[str]) -> pa.Table:
        asked.append(columns)
        return original(self, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_, **__: pytest.fail("read images"))
    table.labels()
    table.source()
    assert asked == [["label"], ["label"]]


def test_row_groups_are_kept_within_bounds(table: ParquetTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubtable, "KEEP_ENCODED_BYTES", 1)
    for row in (0, 9, 3, 0):
        table.fetch(row)
        assert len(table._kept) == 1


def test_the_fingerprint_is_of_the_content(table: ParquetTable, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    copies = [(other / f"renamed-{i}.parquet") for i in range(2)]
    for source, copy in zip(table.files, copies, strict=True):
        copy.write_bytes(source.read_bytes())
    assert ParquetTable("x", copies, image="image", label="label").fingerprint() == table.fingerprint()
    assert ParquetTable("x", copies[::-1], image="image", label="label").fingerprint() != table.fingerprint()


def test_plain_bytes_are_images_too(tmp_path: Path) -> None:
    for kind in (pa.binary(), pa.large_binary()):
        images = pa.array([png(picture(n)) for n in range(3)], kind)
        pq.write_table(pa.table({"image": images, "label": [0, 1, 2]}), tmp_path / "x.parquet")
        assert shades(ParquetTable("x", [tmp_path / "x.parquet"], image="image", label="label"), [2, 0]) == [
            2,
            0,
        ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_labels_may_be_names(tmp_path: Path, kind: pa.DataType) -> None:
    labels = pa.array(["dog", "cat", "dog"], pa.string()).cast(kind)
    images = pa.array([png(picture(n)) for n in range(3)])
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "x.parquet")
    table = ParquetTable("x", [tmp_path / "x.parquet"], image="image", label="label")
    assert table.texts() == {"cat", "dog"}
    assert table.labels(("cat", "dog")).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="the label 'dog' is no class"):
        table.labels(("cat",))


def test_class_names_come_from_the_hubs_metadata(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [png(picture(1))], [0])
    assert ParquetTable("x", [path], image="image", label="label").class_names() is None
    metadata = {"huggingface": '{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'}
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    assert ParquetTable("x", [path], image="image", label="label").class_names() == ("cat", "dog")


def test_a_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    contents = [png(picture(0)), None, b"broken"]
    path = write_parquet(tmp_path / "x.parquet", contents, [0, 0, 0])
    source = ParquetTable("x", [path], image="image", label="label").source()
    with pytest.raises(DataError, match=r"x\.parquet, row 1: .* holds no image"):
        source.read(np.array([1]))
    with pytest.raises(DataError, match=r"x\.parquet, row 2: this image cannot be decoded"):
        source.read(np.array([2]))


def test_wrong_columns_are_named_with_the_nearest(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [png(picture(0))], [0])
    with pytest.raises(DataError, match=r"x\.parquet: there is no column 'images'; did you mean 'image'"):
        len(ParquetTable("x", [path], image="images", label="label"))
    with pytest.raises(DataError, match=r"the column 'label' holds int64; expected structs"):
        ParquetTable("x", [path], image="label", label="label").fetch(0)
    with pytest.raises(DataError, match="expected whole numbers or names in the column 'image'"):
        ParquetTable("x", [path], image="image", label="image").labels()


def test_missing_labels_and_truncated_files_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [png(picture(0))] * 2, [0, None])
    with pytest.raises(DataError, match="1 missing"):
        ParquetTable("x", [path], image="image", label="label").labels()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as parquet"):
        len(ParquetTable("x", [path], image="image", label="label"))


def test_a_folder_in_hub_layout_is_taken_as_the_hub_gives_it(tmp_path: Path, cache: Path) -> None:
    repository = tmp_path / "repository"
    for split in ("train", "test"):
        write_parquet(repository / "plain" / f"{split}-00000-of-00001.parquet", [png(picture(1))], [0])
    folder = download(str(repository))
    assert folder.is_relative_to(cache)
    assert sorted(path.name for path in folder.glob("*.parquet")) == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00001.parquet",
    ]
    assert download(str(repository)) == folder


def test_without_a_network_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def unreachable(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    for name in ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match=r"cannot be reached to get someone/something; .*ANOBENCH_DATA"):
        download("someone/something")


def test_a_hub_that_refuses_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")  # offline mode: nothing is sent
    with pytest.raises(DataError, match=r"the Hugging Face hub does not give someone/something \("):
        download("someone/something")
