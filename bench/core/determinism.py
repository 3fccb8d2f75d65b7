"""Determinism: texts to hash, seeds from the names of what they depend on, and the threads of a cell.

The last bits of decompositions (Cholesky, eigenvalues, singular values), k-means and convolutions' gradients
depend on the number of threads, which must therefore not depend on the machine's cores or on how many workers
share them. The bits of forward passes of frozen networks do not.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

#: Threads of a cell.
CELL_THREADS = 1


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the same text on every machine: what keys are hashes of."""
    return _CANONICAL.encode(value)


def derive_seed(*names: object, bits: int = 63) -> int:
    """Return a seed in [0, 2**bits), of at most 63 bits, from the names of what it depends on.

    Examples
    --------
    >>> bench.derive_seed("noise", 0) == bench.derive_seed("noise", 0)
    True
    >>> bench.derive_seed("noise", 0) == bench.derive_seed("noise", 1)
    False
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
