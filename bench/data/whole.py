"""Whether a file of an image is whole: what its own structure says, whatever follows its end.

Cameras and phones append things to an image (a film, a second picture, their own tables); that makes it
neither truncated nor damaged. Only a file that ends before its structure does is truncated.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_RESTARTS = frozenset([1, *range(0xD0, 0xD9)])
_PNM = re.compile(rb"P([56])(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})"
                  rb"(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})\s")  # fmt: skip


def truncated(content: bytes) -> str:
    """Return what is missing from an image file that ends too early, as "PNG image is truncated (…)".

    Empty for a whole file, for one that is damaged in another way, and for kinds that do not show it.
    """
    for start, kind, ends_early in _KINDS:
        if content.startswith(start):
            why = ends_early(content)
            # Some programs leave out what no decoder needs, or count wrongly.
            if why and (kind == "PNG" or not _decodes(content)):
                return f"{kind} image is truncated ({why})"
            return ""
    return ""


def _decodes(content: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # a damaged file can make a decoder fail in any way
        return False
    return True


def _png(content: bytes) -> str:
    at = 8
    while at + 8 <= len(content):
        kind = content[at + 4 : at + 8]
        if kind == b"IEND" or not kind.isalpha():
            return ""
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return "it has no IEND chunk"


def _jpeg(content: bytes) -> str:
    at = 2
    # In a scan's data 0xFF is followed by 0x00 or a restart marker; a thumbnail's end lies inside a segment.
    while found := _JPEG_MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker == 0xD9:
            return ""
        if marker not in _RESTARTS:
            at += max(2, int.from_bytes(content[at : at + 2], "big"))
    return "it has no end marker"


def _gif(content: bytes) -> str:
    at = 13 + _colours(content[10:11])
    while at < len(content):
        kind = content[at]
        if kind == 0x3B or kind not in (0x21, 0x2C):
            return ""
        at += 2 if kind == 0x21 else 11 + _colours(content[at + 9 : at + 10])
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
    return "it has no trailer"


def _colours(flags: bytes) -> int:
    """Return the size of a GIF's table of colours."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _webp(content: bytes) -> str:
    size = int.from_bytes(content[4:8], "little") + 8
    return _short(size, content)


def _bmp(content: bytes) -> str:
    def number(at: int, n: int = 4) -> int:
        return int.from_bytes(content[at : at + n], "little", signed=n == 4)

    old = number(14) == 12
    width, height, bits = (
        (number(18, 2), number(20, 2), number(24, 2)) if old else (number(18), abs(number(22)), number(28, 2))
    )
    if not old and number(30) not in (0, 3):
        return ""  # compressed
    return _short(number(10) + (width * bits + 31) // 32 * 4 * height, content)


def _tiff(content: bytes) -> str:
    order = "little" if content[:2] == b"II" else "big"

    def number(at: int, n: int) -> int:
        return int.from_bytes(content[at : at + n], order)  # type: ignore[arg-type]

    def values(entry: int) -> list[int]:
        kind, count = number(entry + 2, 2), number(entry + 4, 4)
        width = {3: 2, 4: 4}.get(kind, 0)
        at = entry + 8 if width * count <= 4 else number(entry + 8, 4)
        return [number(at + i * width, width) for i in range(count)] if width else []

    at = number(4, 4)
    if at + 2 > len(content):
        return _short(at + 2, content)
    entries = {number(e, 2): e for e in range(at + 2, at + 2 + 12 * number(at, 2), 12)}
    ends = [
        offset + count
        for offsets, counts in ((273, 279), (324, 325))
        if offsets in entries and counts in entries
        for offset, count in zip(values(entries[offsets]), values(entries[counts]), strict=False)
    ]
    return _short(max(ends, default=0), content)


def _pnm(content: bytes) -> str:
    head = _PNM.match(content)
    if head is None:
        return ""
    kind, width, height, most = (int(text) for text in head.groups())
    samples = width * height * (3 if kind == 6 else 1)
    return _short(head.end() + samples * (2 if most > 255 else 1), content)


def _short(expected: int, content: bytes) -> str:
    return f"{len(content):,} of {expected:,} bytes" if len(content) < expected else ""


_KINDS: tuple[tuple[bytes, str, Callable[[bytes], str]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"GIF8", "GIF", _gif),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"II*\0", "TIFF", _tiff),
    (b"MM\0*", "TIFF", _tiff),
    (b"P5", "PGM", _pnm),
    (b"P6", "PPM", _pnm),
)
