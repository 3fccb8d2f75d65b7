"""Hostile versions of good input: bytes torn and repeated, JSON with what no reader expects."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

#: What a field may be instead of what it should; texts in `PIECES` go into raw input too.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 10**20, 10**400, -(10**400), 2**63, "", "x", "../../x",
    "/etc/passwd", "\x00", "\x1b[31m", "\ud800", "a" * 5000, "1" * 5000, [], {}, [[]], [1, "x", None],
    {"": 0}, {"a": {"b": []}}, "published", "README", "nan", "inf", "=1+1", "<script>", "a/b", "\n", "é", "𝒜",
    [0] * 300, {"x" * 300: 1},
]  # fmt: skip
PIECES = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"\xff\xfe", b"\x00" * 16, b"[" * 5000,
    b"{" * 5000, b'"', b"'", b"]", b"}", b",", b"=", b"\n", b"\r\n", b"null", b"true", b"[[", b"]]",
    b"\\ud800", b"a" * 200_000, b"1.5", b"-", b"+", b"#", b"\xef\xbb\xbf", b"0x10", b"1_000",
    b"1979-05-27", b'"""', b"*", b"?", b"+".join([b"1"] * 3000),
]  # fmt: skip


def torn(content: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few changes anywhere."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(found) + 1)
        to = min(len(found), at + chance.choice((0, 1, 1, 2, 8, 64, 1024)))
        match chance.randrange(6):
            case 0:
                del found[at:to]
            case 1:
                found[at:to] = chance.choice(PIECES)
            case 2:
                found[at:to] = bytes(chance.randrange(256) for _ in range(to - at))
            case 3:
                found[at:at] = found[at:to] * chance.choice((1, 2, 50))
            case 4:
                del found[at:]
            case _:
                found[at:to] = bytes(reversed(found[at:to]))
    return bytes(found)


def hostile(text: str, chance: random.Random) -> bytes:
    """Return JSON with some fields exchanged, removed, renamed or nested."""
    data = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = _changed(data, chance, depth=0)
    return json.dumps(data).encode()


def _changed(node: Any, chance: random.Random, depth: int) -> Any:
    keys: list[Any] = []
    if isinstance(node, dict | list):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys or (depth and chance.random() < 0.25):
        return _instead(node, chance)
    key = chance.choice(keys)
    match chance.randrange(12):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[str(chance.choice(VALUES))[:300]] = node.pop(key)
        case 2 if isinstance(node, list):
            node.extend(node[: chance.choice((1, 2, 40))])
        case _:
            node[key] = _changed(node[key], chance, depth + 1)
    return node


def _instead(node: Any, chance: random.Random) -> Any:
    match chance.randrange(8):
        case 0:
            return [node]
        case 1:
            return {"x": node}
        case 2 if isinstance(node, str):
            return node + str(chance.choice(VALUES))[:300]
        case 3 if type(node) is float or (type(node) is int and abs(node) < 2**63):
            return node * chance.choice((-1, 0.5, 10**18, 10**300))
        case 4:
            deep: Any = node
            for _ in range(chance.choice((5, 30, 900))):
                deep = [deep]
            return deep
        case _:
            return copy.deepcopy(chance.choice(VALUES))
