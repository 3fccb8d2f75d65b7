"""Method: the base of a method adapter, and Scores, its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import ScoreError, plain_text, said

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

    def checked(self, n: int) -> NDArray[np.float64]:
        """Return the image scores as (n,) float64 on the host.

        Raises
        ------
        ScoreError
            Wrong shape or number, not real numbers, NaN, or whole numbers beyond float64; says which.
        """
        return _checked(self.image, n)

    def checked_candidates(self, n: int) -> dict[str, NDArray[np.float64]]:
        """Return the candidates as `checked` does; empty if there are none."""
        return {plain_text(str(name), 200): _checked(v, n) for name, v in (self.candidates or {}).items()}

    def check_maps(self, n: int) -> None:
        """Check that there is one anomaly map for each of `n` images.

        Raises
        ------
        ScoreError
            Wrong shape or number, not real numbers, or NaN.
        """
        if self.maps is None:
            return
        maps = _on_host(self.maps, "anomaly maps")
        if maps.ndim != 3 or len(maps) != n or 0 in maps.shape[1:]:
            raise ScoreError(
                f"expected {n} anomaly maps of shape ({n}, h, w), got shape {maps.shape}; "
                "score() must return one map for each test image, or none"
            )
        if np.isnan(maps).any():
            raise ScoreError("anomaly maps are NaN somewhere; a value may be infinite but must be a number")


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


def _on_host(values: Any, what: str) -> NDArray[Any]:
    """Return real numbers as an array on the host, in the type that they have.

    Raises
    ------
    ScoreError
        They are something else: complex, text, dates, objects, or nothing like an array.
    """
    kind = type(values).__name__
    try:
        if hasattr(values, "detach"):
            values = values.detach()
            # NumPy has no bfloat16 and its kin.
            values = (values.double() if values.is_floating_point() else values).cpu().numpy()
        found: NDArray[Any] = np.asarray(values)
    except Exception as error:
        raise ScoreError(f"expected real numbers as {what}, got {kind} ({said(error)})") from None
    if found.dtype.kind not in "biuf":
        given = "complex numbers" if found.dtype.kind == "c" else f"{kind} of {found.dtype}"
        raise ScoreError(f"expected real numbers as {what}, got {given}; return an array of float")
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise ScoreError(
            f"{int(np.ma.getmaskarray(values).sum())} of the {what} are masked; each must be a number"
        )
    return found


def _checked(values: Any, n: int) -> NDArray[np.float64]:
    given = _on_host(values, "scores")
    if given.shape != (n,):
        raise ScoreError(
            f"expected {n} scores of shape ({n},), got shape {given.shape}; "
            "score() must return one number for each test image"
        )
    with np.errstate(all="ignore"):
        scores = given.astype(np.float64)
        exact = (
            given.dtype.itemsize <= 4 or given.dtype == np.float64 or (scores.astype(given.dtype) == given)
        )
    nans = np.isnan(scores)
    if nans.any():
        raise ScoreError(
            f"{int(nans.sum())} of {n} scores are NaN (the first at position {np.flatnonzero(nans)[0]}); "
            "a score may be infinite but must be a number"
        )
    if not np.all(exact):
        raise ScoreError(f"scores of type {given.dtype} have more digits than float64 keeps; return float64")
    return scores


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
    #: Whether its training asks `mix_losses`, which a wrapper may set, for the loss (h,) of a mini-batch: of
    #: each image's loss as a normal and as an anomalous one, both (h, b), and the number of the epoch from 0.
    steerable: ClassVar[bool] = False
    mix_losses: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor] | None = None

    @abstractmethod
    def fit(self, train: Images) -> None:
        """Learn from (mostly) normal images."""

    @abstractmethod
    def score(self, test: Images) -> Scores:
        """Return one score for each test image, in the order of `test`."""
