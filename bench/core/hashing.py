"""What keys are made of: data as one text, the same on every machine."""

from __future__ import annotations

import json
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Serialise with sorted keys and no spaces: the same text on every machine."""
    return _CANONICAL.encode(value)
