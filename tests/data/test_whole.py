"""Whole files pass whatever follows them, and only truncated ones are called so."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import DataError
from bench.data.fingerprint import files_fingerprint
from bench.data.source import decode
from bench.data.whole import truncated

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(content, kind, **options)
    return content.getvalue()


def frames(kind: str) -> bytes:
    content = io.BytesIO()
    pages = [Image.fromarray(np.roll(PIXELS, i, 0)) for i in range(3)]
    pages[0].save(content, kind, save_all=True, append_images=pages[1:])
    return content.getvalue()


WHOLE: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded("PNG"),
    "animated PNG": lambda: frames("PNG"),
    "JPEG": lambda: encoded("JPEG"),
    "progressive JPEG": lambda: encoded("JPEG", progressive=True),
    "grey JPEG with restarts": lambda: encoded("JPEG", "L", restart_marker_blocks=2),
    "JPEG of several": lambda: frames("MPO"),
    "GIF": lambda: encoded("GIF"),
    "animated GIF": lambda: frames("GIF"),
    "WebP": lambda: encoded("WebP", lossless=True),
    "animated WebP": lambda: frames("WebP"),
    "BMP": lambda: encoded("BMP"),
    "BMP with a palette": lambda: encoded("BMP", "P"),
    "TIFF": lambda: encoded("TIFF"),
    "compressed TIFF": lambda: encoded("TIFF", compression="tiff_lzw"),
    "TIFF of several pages": lambda: frames("TIFF"),
    "PPM": lambda: encoded("PPM"),
    "PGM": lambda: encoded("PPM", "L"),
}
TRAILERS = {
    "nothing": b"",
    "zeros": b"\0" * 512,
    "a vendor's table": b"VENDOR\x00\x01\xff\xda\x00\x02trailer",
    "another JPEG": encoded("JPEG"),
    "half a JPEG": encoded("JPEG")[:300],
    "half a PNG": encoded("PNG")[:300],
    "a film": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8,
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_image_passes_whatever_follows_it(tmp_path: Path, kind: str, trailer: str) -> None:
    content = WHOLE[kind]() + TRAILERS[trailer]
    assert truncated(content) == ""
    assert decode(content, "x").shape == (40, 50, 3)
    (tmp_path / "x.img").write_bytes(content)
    files_fingerprint(tmp_path, ["x.img"])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", [kind for kind in WHOLE if "several" not in kind and "animated" not in kind])
def test_a_truncated_image_is_called_so(tmp_path: Path, kind: str, share: float) -> None:
    content = WHOLE[kind]()
    content = content[: int(len(content) * share)]
    with pytest.raises(DataError, match=r"x: this image cannot be decoded: .* is truncated \(.*; fetch"):
        decode(content, "x")
    (tmp_path / "x.img").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.img: this .* image is truncated"):
        files_fingerprint(tmp_path, ["x.img"])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WebP", "GIF"])
def test_a_damaged_image_is_not_called_truncated(kind: str) -> None:
    content = bytearray(WHOLE[kind]())
    content[12 : len(content) - 30] = b"\xaa" * (len(content) - 42)
    with pytest.raises(DataError) as error:
        decode(bytes(content), "here.img")
    message = str(error.value)
    assert message.startswith("here.img: this image cannot be decoded (")
    assert "truncated" not in message
    assert "BytesIO" not in message


@pytest.mark.parametrize(
    "content", [b"no image at all", b"<html></html>", b"\0" * 100, b"P5", b"BM", b"II*\0"]
)
def test_what_is_no_image_says_so_without_innards(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^here\.img: this image cannot be decoded") as error:
        decode(content, "here.img")
    assert "BytesIO" not in str(error.value)


def test_an_image_that_is_too_large_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(
        DataError, match=r"too large to be read: .* megapixels.*; scale it down, or cut it"
    ) as error:
        decode(WHOLE["PNG"](), "x")
    assert "truncated" not in str(error.value)


def test_a_large_image_below_the_limit_is_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(WHOLE["PNG"]())
    # In a process of its own: here pytest has filters of its own.
    program = (
        "import warnings; from bench.data.source import decode; from PIL import Image\n"
        "Image.MAX_IMAGE_PIXELS = 1500\n"
        "before = list(warnings.filters)\n"
        "print(decode(open('x.png', 'rb').read(), 'x').shape, warnings.filters == before)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "(40, 50, 3) True\n", ended.stderr


def test_no_image_is_decoded_to_see_that_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [make() for make in WHOLE.values()]
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("decoded an image"))
    assert [truncated(content) for content in contents] == [""] * len(contents)


def test_numbers_of_thousands_of_digits_say_nothing_of_a_size() -> None:
    assert truncated(b"P6 " + b"9" * 5000 + b" 1 255 ") == ""
    assert truncated(b"P6 2 2 255 ") != ""
