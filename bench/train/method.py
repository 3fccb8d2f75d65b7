"""Method: the base of a method adapter, and Scores, its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import ScoreError

if TYPE_CHECKING:
    import torch

    from bench.data.images import Images
    from bench.train.checkpoint import Checkpoints


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Anomaly scores: one number an image, higher = more anomalous, any real range.

    Parameters
    ----------
    image : tensor, array or sequence, shape (n,)
        Infinities are allowed; NaN makes the cell fail.
    maps : array or tensor, shape (n, h, w), optional
        Anomaly maps at any resolution.
    candidates : mapping of str to scores, optional
        Other choices (an epoch, a hyper-parameter), for methods whose `selection` is ``"oracle"``: the runner
        keeps the one with the best AUROC on the test set, as some papers do, and the row never ranks.
    """

    image: torch.Tensor | NDArray[Any] | Sequence[float]
    maps: torch.Tensor | NDArray[Any] | None = None
    candidates: Mapping[str, torch.Tensor | NDArray[Any] | Sequence[float]] | None = None

    def checked(self, n: int) -> NDArray[np.float32]:
        """Return the image scores as (n,) float32 on the host, the precision of the archive.

        Raises
        ------
        ScoreError
            Wrong shape or number, not numbers, or NaN; says which.
        """
        return _checked(self.image, n)

    def checked_candidates(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Return the candidates as `checked` does; empty if there are none."""
        return {name: _checked(values, n) for name, values in (self.candidates or {}).items()}


def returned_scores(returned: object) -> Scores:
    """Return what a method's ``score`` returned.

    Raises
    ------
    ScoreError
        It is something else, such as a bare tensor; says what, and what to return.
    """
    if isinstance(returned, Scores):
        return returned
    shape, kind = getattr(returned, "shape", None), type(returned).__name__.replace("ndarray", "array")
    what = (
        f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}" if returned is not None else "nothing (None)"
    )
    what += f" of shape {tuple(shape)}" if isinstance(shape, tuple) else ""
    raise ScoreError(
        f"score() returned {what}; return Scores(...) of bench, one number for each test image: "
        "return Scores(distances)"
    )


def _checked(values: Any, n: int) -> NDArray[np.float32]:
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    try:
        scores = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScoreError(f"expected {n} numbers as scores, got {type(values).__name__}") from None
    if scores.shape != (n,):
        raise ScoreError(
            f"expected {n} scores of shape ({n},), got shape {scores.shape}; "
            "score() must return one number for each test image"
        )
    if np.isnan(scores).any():
        first = int(np.flatnonzero(np.isnan(scores))[0])
        raise ScoreError(
            f"{int(np.isnan(scores).sum())} of {n} scores are NaN (the first at position {first}); "
            "a score may be infinite but must be a number"
        )
    with np.errstate(over="ignore"):
        return scores.astype(np.float32)


class Method(ABC):
    """A method adapter: ``fit(train)``, then ``score(test)``; higher = more anomalous.

    The parameters of ``__init__`` are the method's parameters (``dn2[k=5]``); they are read from the source
    text, so their defaults must be literals. A parameter called ``backbone`` names a frozen network, for
    ``Images.features``. The runner sets `device` and `seed` before it calls `fit`.
    """

    #: The method's supervision: different settings never rank together. ``control`` is never ranked.
    setting: ClassVar[str] = "one-class"
    #: A deterministic method has one cell for all seeds and shows no spread.
    stochastic: ClassVar[bool] = False
    #: Parameter values any of which makes a stochastic method deterministic: ``{"adapt": False}``.
    deterministic_with: ClassVar[Mapping[str, Any]] = {}
    #: How the result is chosen: ``last``, ``validation``, or ``oracle`` (never ranked). A method that offers
    #: several has a parameter of this name instead.
    selection: ClassVar[str] = "last"

    #: What it asks of its images: ``"features"`` of its backbone, which the scheduler then extracts
    #: beforehand, or the ``"network"`` to train it. With the parameter that `layers_in` names set it asks for
    #: the maps of these layers instead.
    needs: ClassVar[Literal["features", "network"]] = "features"
    layers_in: ClassVar[str] = ""

    #: Parameters that name auxiliary images (`bench.suite.auxiliary`), each with the words that its value may
    #: be instead, and the images that a word stands for where they are present ("" for none).
    auxiliary_images: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    device: torch.device
    seed: int = 0
    #: The auxiliary images, by parameter; set by the runner.
    auxiliary: Mapping[str, Images] = MappingProxyType({})
    #: Remarks on the fit for readers of the record ("collapsed: …").
    notes: tuple[str, ...] = ()
    #: Where a long training saves its state, and a callback for progress (what, done, total); set by the
    #: runner, used by `bench.Training`.
    checkpoints: Checkpoints | None = None
    progress: Callable[[str, int, int], None] | None = None

    @abstractmethod
    def fit(self, train: Images) -> None:
        """Learn from (mostly) normal images."""

    @abstractmethod
    def score(self, test: Images) -> Scores:
        """Return one score for each test image, in the order of `test`."""
