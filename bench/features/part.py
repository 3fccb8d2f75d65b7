"""One thing that is read of a backbone, on its way between store, network and memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.errors import BackboneError
from bench.features.rowcache import Matrix
from bench.features.store import KeyRows

Rows = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class FeatureRows:
    """One thing that is read of a backbone: its rows in the store, and the matrix they are put in."""

    digest: str
    kept: KeyRows
    matrix: Matrix
    limit: int

    def from_store(self, rows: Rows, wanted: Rows) -> None:
        if not len(rows):
            return
        self.kept.refresh()
        there = rows[self.kept.have(rows)]
        for at, values in self.kept.read(there):
            self.matrix.allocate(values.shape[1:], wanted, self.limit)
            self.matrix.put(there[at], torch.from_numpy(np.ascontiguousarray(values)))

    def computed(self, rows: Rows, values: torch.Tensor, seconds: float, wanted: Rows) -> None:
        # Rounded to the stored type at once: who computes and who reads later see the same numbers.
        rounded = values.to(getattr(torch, self.kept.key.dtype))
        if not bool(torch.isfinite(rounded).all()):
            self._refuse(rows, values)
        self.matrix.allocate(tuple(values.shape[1:]), wanted, self.limit)
        self.matrix.put(rows, rounded)
        self.kept.add(rows, rounded.cpu().numpy(), seconds)

    def _refuse(self, rows: Rows, values: torch.Tensor) -> None:
        """Raise for features that no method can use; nothing of this batch is kept."""
        key = self.kept.key
        if torch.isfinite(values).all():
            raise BackboneError(f"backbone {key.backbone}: features leave the range of float16; keep float32")
        bad = ~torch.isfinite(values.flatten(1)).all(1)
        first = rows[int(bad.nonzero()[0, 0])]
        raise BackboneError(
            f"backbone {key.backbone}: the features of {int(bad.sum())} of {len(rows)} images of "
            f"{key.source} are NaN or infinite (the first: image {first}); expected finite numbers: look "
            "for damaged weights, or give the backbone precision float32"
        )
