from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import ArraySource, DataError, EncodedSource
from bench.data import source
from bench.data.folders import FileSource, neutral_order
from bench.data.source import decode, set_decoding_threads, to_rgb
from bench.data.walk import list_images


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


# --- the rule by which every image becomes RGB ----------------------------------------------------------


def test_grey_is_repeated() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    rgb = decode(encode(Image.fromarray(grey)), "x")
    assert rgb.dtype == np.uint8
    assert rgb.shape == (2, 3, 3)
    assert (rgb == grey[..., None]).all()


def test_sixteen_bit_grey_is_divided_by_257_and_rounded() -> None:
    grey = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    rgb = decode(encode(Image.fromarray(grey)), "x")
    assert rgb[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert (rgb == rgb[..., :1]).all()


def test_sixteen_bit_tiff_is_read_as_png_is() -> None:
    grey = np.array([[0, 257, 65535]], np.uint16)
    assert decode(encode(Image.fromarray(grey), "TIFF"), "x")[0, :, 0].tolist() == [0, 1, 255]


def png16(pixels: np.ndarray) -> bytes:
    """Encode (h, w, 3) or (h, w, 4) of 16 bits, which Pillow cannot."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize("channels", [3, 4])
def test_of_sixteen_bit_colour_the_high_byte_is_kept(channels: int) -> None:
    pixels = np.zeros((1, 3, channels), np.uint16)
    pixels[0, :, :3] = [[0, 255, 256], [0x12FF, 0x8000, 0xFFFF], [1, 2, 3]]
    assert decode(png16(pixels), "x").tolist() == [[[0, 0, 1], [0x12, 0x80, 0xFF], [0, 0, 0]]]


def test_a_palette_is_looked_up_and_black_and_white_uses_the_whole_range() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert decode(encode(image), "x").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert decode(encode(Image.fromarray(np.array([[False, True]]))), "x")[0, :, 0].tolist() == [0, 255]


def test_an_alpha_channel_is_dropped_without_compositing() -> None:
    rgba = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8)
    assert decode(encode(Image.fromarray(rgba)), "x").tolist() == rgba[..., :3].tolist()
    grey_alpha = Image.fromarray(np.array([[[7, 0]]], np.uint8), "LA")
    assert decode(encode(grey_alpha), "x").tolist() == [[[7, 7, 7]]]


def test_numbers_without_a_range_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point"):
        to_rgb(Image.fromarray(np.zeros((2, 2), np.float32)))
    with pytest.raises(DataError, match=r"0\.\.65535"):
        to_rgb(Image.fromarray(np.array([[-1]], np.int32)))


@pytest.mark.parametrize("content", [b"", b"no image", encode(Image.new("RGB", (40, 40)))[:60]])
def test_what_cannot_be_decoded_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"test/bad\.png: this image cannot be decoded"):
        decode(content, "test/bad.png")


# --- sources ----------------------------------------------------------------------------------------------


class Shelf:
    """Encoded images that count how often each is fetched."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.content = [encode(Image.fromarray(pixels)) for pixels in pictures]
        self.pictures, self.fetched = pictures, []

    def fetch(self, row: int) -> bytes:
        self.fetched.append(row)
        return self.content[row]

    def source(self) -> EncodedSource:
        return EncodedSource("shelf", "f", len(self.content), self.fetch, lambda row: f"row {row}")


def shelf(n: int = 20, sizes: tuple[int, ...] = (6,)) -> Shelf:
    rng = np.random.default_rng(0)
    return Shelf([rng.integers(0, 256, (sizes[i % len(sizes)], 5, 3), dtype=np.uint8) for i in range(n)])


def test_images_come_in_the_order_asked_for_and_are_decoded_once() -> None:
    shelved = shelf()
    rows = np.array([7, 3, 3, 19, 0, 11])
    opened = shelved.source()
    assert shelved.fetched == []
    for _ in range(2):
        pixels = opened.read(rows)
        assert isinstance(pixels, np.ndarray)
        assert all((pixels[i] == shelved.pictures[row]).all() for i, row in enumerate(rows))
    assert len(shelved.fetched) <= len(set(rows.tolist())) + 1  # the first image tells the size


def test_images_of_several_sizes_come_as_a_list() -> None:
    shelved = shelf(sizes=(6, 9))
    opened = shelved.source()
    same = opened.read(np.array([0, 2]))
    assert isinstance(same, np.ndarray)
    mixed = opened.read(np.arange(20))
    assert isinstance(mixed, list)
    assert all((a == b).all() for a, b in zip(mixed, shelved.pictures, strict=True))
    assert isinstance(opened.read(np.array([1, 3])), np.ndarray)


def test_large_images_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "KEEP_DECODED_BYTES", 100)
    shelved = shelf()
    opened = shelved.source()
    for _ in range(2):
        assert (opened.read(np.array([4]))[0] == shelved.pictures[4]).all()
    assert shelved.fetched.count(4) >= 2


def test_several_threads_may_read() -> None:
    shelved = shelf(200)
    opened, wrong = shelved.source(), []

    def work(seed: int) -> None:
        rows = np.random.default_rng(seed).integers(0, 200, 100)
        if not all(
            (a == shelved.pictures[row]).all() for a, row in zip(opened.read(rows), rows, strict=True)
        ):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_damaged_row_is_named_and_the_others_stay_readable() -> None:
    shelved = shelf()
    shelved.content[5] = shelved.content[5][:50]
    opened = shelved.source()
    with pytest.raises(DataError, match="row 5"):
        opened.read(np.arange(20))
    assert (opened.read(np.array([6]))[0] == shelved.pictures[6]).all()


def test_an_array_source_loads_once_and_checks_what_it_gets() -> None:
    calls = []
    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    opened = ArraySource("a", "f", 3, lambda: calls.append(1) or pixels)
    assert not calls
    opened.read(np.array([0]))
    assert opened.read(np.array([2, 1])).shape == (2, 4, 4, 3)
    assert calls == [1]
    for wrong in (pixels[:2], pixels.astype(np.float32), pixels[..., 0]):
        with pytest.raises(DataError, match=r"expected uint8 pixels of shape \(3, h, w, 3\)"):
            ArraySource("a", "f", 3, lambda wrong=wrong: wrong).read(np.array([0]))


# --- folders of images ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("b/2.png", "a/1.PNG", "a/3.jpg")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / name, "PNG")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.png").write_bytes(b"")
    (tmp_path / "a" / "._1.png").write_bytes(b"")
    return tmp_path


def test_images_are_listed_sorted_without_hidden_and_other_files(folder: Path) -> None:
    assert list_images(folder, folder) == ["a/1.PNG", "a/3.jpg", "b/2.png"]
    assert list_images(folder / "a", folder) == ["a/1.PNG", "a/3.jpg"]


def test_the_neutral_order_depends_on_names_alone() -> None:
    names = [f"{kind}/{i:03d}.png" for kind in ("bad", "good") for i in range(50)]
    ordered = neutral_order(names)
    assert neutral_order(names[::-1]) == ordered
    assert sorted(ordered) == sorted(names)
    good_places = [i for i, name in enumerate(ordered) if name.startswith("good")]
    assert 35 < np.mean(good_places) < 65
    assert ordered[:2] == ["bad/047.png", "bad/038.png"]


def test_a_file_source_reads_its_files_and_tells_orders_apart(folder: Path) -> None:
    files = list_images(folder, folder)
    opened = FileSource("s", folder, files)
    assert opened.read(np.arange(3))[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert FileSource("s", folder, files).fingerprint == opened.fingerprint
    assert FileSource("s", folder, files[::-1]).fingerprint != opened.fingerprint


def test_a_file_that_vanished_is_named(folder: Path) -> None:
    opened = FileSource("s", folder, list_images(folder, folder))
    (folder / "b" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: cannot be read"):
        opened.read(np.array([2]))


def test_images_are_decoded_by_as_many_threads_as_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers that share the cores are told so; eight threads each, whatever their number, were too many."""
    asked: list[int] = []

    class Counted(source.ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            asked.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(source, "ThreadPoolExecutor", Counted)
    monkeypatch.setattr(source, "cores", lambda: 12)
    files = [encode(Image.new("RGB", (4 + n, 4), (n, 0, 0))) for n in range(20)]
    given = EncodedSource("files", "files", 20, files.__getitem__, str)
    expected = [np.asarray(Image.new("RGB", (4 + n, 4), (n, 0, 0))) for n in range(20)]
    given.read(np.arange(2))  # images of several sizes are not kept, which it knows from here on
    asked.clear()
    try:
        for threads in (None, 5, 1):
            set_decoding_threads(threads)
            for found, each in zip(given.read(np.arange(20)), expected, strict=True):
                np.testing.assert_array_equal(found, each)
    finally:
        set_decoding_threads(None)
    assert asked == [12, 5], "one thread needs no pool"
