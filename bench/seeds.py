"""Seeds: derived from the names of what they should depend on, never drawn."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def derived_seed(*names: object) -> int:
    """Return a seed in [0, 2³¹) from the names of what it should depend on."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, for methods that use them."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:  # the same state of the same generator, without half a millisecond for the GPUs that are not there
        torch.default_generator.manual_seed(seed)
