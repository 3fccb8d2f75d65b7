"""Method: the base of a method adapter, and Scores, its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    from bench.train.firststeps import FirstSteps


#: Which part of an image its map covers: top, left, height, width, as fractions of the image's.
Covers = tuple[float, float, float, float]

#: An array's maps are handed on in parts of about so many values.
PART_VALUES = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Anomaly scores: one number an image, higher = more anomalous, any real range.

    A method with many maps hands them over in parts (`streamed`), so that they never lie in memory together.

    Parameters
    ----------
    image : tensor, array or sequence, shape (n,)
        Infinities are allowed; NaN makes the cell fail.
    maps : array or tensor, shape (n, h, w), optional
        Anomaly maps at any resolution, any real range.
    candidates : mapping of str to scores, optional
        Other choices (an epoch, a hyper-parameter), for methods whose `selection` is ``"oracle"``: the runner
        keeps the one with the best AUROC on the test set, as some papers do, and the row never ranks.
    covers : tuple of float, optional
        Which part of the image the maps cover: (top, left, height, width) as fractions of its height and
        width; None is the whole image. Pixels outside take the score of the nearest pixel inside.
    parts : iterable, optional
        See `streamed`, which is the way to set it.
    """

    image: torch.Tensor | NDArray[Any] | Sequence[float]
    maps: torch.Tensor | NDArray[Any] | None = None
    candidates: Mapping[str, torch.Tensor | NDArray[Any] | Sequence[float]] | None = None
    covers: Covers | None = None
    parts: Iterable[tuple[Any, Any]] | None = None

    @classmethod
    def streamed(cls, parts: Iterable[tuple[Any, Any]], covers: Covers | None = None) -> Scores:
        """Return scores whose maps come in parts.

        Parameters
        ----------
        parts : iterable of (scores, maps)
            In the order of the test images: image scores, shape (b,), and maps, shape (b, h, w) of real
            numbers, h and w the same in all parts. A generator is read once, while the method's time runs.
        covers : tuple of float, optional
            As in the class.

        Examples
        --------
        >>> def parts():
        ...     for start in (0, 2):
        ...         maps = torch.ones(2, 4, 4) * (start + 1)
        ...         yield maps.amax((1, 2)), maps
        >>> bench.Scores.streamed(parts()).checked(4)
        array([1., 1., 3., 3.])
        """
        return cls((), covers=covers, parts=parts)

    def checked(self, n: int) -> NDArray[np.float64]:
        """Return the image scores as (n,) float64 on the host; parts are read, and their maps dropped.

        Raises
        ------
        ScoreError
            Wrong shape or number, not real numbers, NaN, or whole numbers beyond float64; says which.

        Examples
        --------
        >>> bench.Scores([0.1, 0.9]).checked(2)
        array([0.1, 0.9])
        """
        if self.parts is not None:
            return np.concatenate([np.empty(0), *(scores for scores, _ in self.each_part(n))])
        return _checked(self.image, n)

    def checked_candidates(self, n: int) -> dict[str, NDArray[np.float64]]:
        """Return the candidates as `checked` does; empty if there are none."""
        return {plain_text(str(name), 200): _checked(v, n) for name, v in (self.candidates or {}).items()}

    def each_part(self, n: int) -> Iterator[tuple[NDArray[np.float64], NDArray[Any] | None]]:
        """Yield image scores (b,) float64 and maps (b, h, w) on the host, checked, in the images' order.

        Raises
        ------
        ScoreError
            As for `checked`; maps of a wrong shape or number, or NaN; `covers` is no part of an image.
        """
        _check_covers(self.covers)
        if self.parts is None:
            scores = _checked(self.image, n)
            if self.maps is None:
                yield scores, None
                return
            maps = _maps_on_host(self.maps, n)
            step = max(1, PART_VALUES // max(1, maps[0].size)) if n else 1
            for start in range(0, n, step):
                yield scores[start : start + step], _without_nan(maps[start : start + step])
            return
        done, shape = 0, None
        for part in _pairs(self.parts):
            maps = _maps_on_host(part[1], None)
            if shape not in (None, maps.shape[1:]) or done + len(maps) > n:
                raise ScoreError(
                    f"parts of maps must make {n} maps of one shape; after {done} of shape {shape} came "
                    f"{maps.shape}"
                )
            done, shape = done + len(maps), maps.shape[1:]
            yield _checked(part[0], len(maps)), _without_nan(maps)
        if done != n:
            raise ScoreError(f"expected scores and maps of {n} images in all parts together, got {done}")


def _pairs(parts: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for part in parts:
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise ScoreError(f"each part must be a pair (image scores, maps), got {type(part).__name__}")
        yield part[0], part[1]


def _maps_on_host(given: Any, n: int | None) -> NDArray[Any]:
    maps = _on_host(given, "anomaly maps")
    if maps.ndim != 3 or len(maps) != (len(maps) if n is None else n) or 0 in maps.shape[1:]:
        many = "b" if n is None else str(n)
        raise ScoreError(
            f"expected {many} anomaly maps of shape ({many}, h, w), got shape {maps.shape}; "
            "score() must return one map for each test image, or none"
        )
    return maps


def _without_nan(maps: NDArray[Any]) -> NDArray[Any]:
    if maps.dtype.kind == "f" and np.isnan(maps).any():
        raise ScoreError("anomaly maps are NaN somewhere; a value may be infinite but must be a number")
    return maps


def _check_covers(covers: object) -> None:
    if covers is None:
        return
    try:
        top, left, height, width = (float(each) for each in covers)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        top = left = height = width = -1.0
    good = min(top, left) >= 0 and min(height, width) > 0 and max(top + height, left + width) <= 1 + 1e-9
    if not good:
        raise ScoreError(
            f"covers must be (top, left, height, width) as fractions of the image, got {covers!r}; "
            "a centre crop of 224 of 256 pixels is (0.0625, 0.0625, 0.875, 0.875)"
        )


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
            # As they are to the host, whose memory is larger; NumPy has no bfloat16 and its kin.
            values = values.detach().cpu()
            values = (values.double() if values.is_floating_point() else values).numpy()
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

    Examples
    --------
    >>> class Brightness(bench.Method):
    ...     def fit(self, train):
    ...         self.mean = train.features("pixels[size=4]").mean()
    ...
    ...     def score(self, test):
    ...         return bench.Scores((test.features("pixels[size=4]").mean(1) - self.mean).abs())
    >>> good = np.full((6, 8, 8), 100, np.uint8)
    >>> test = np.concatenate([good, good + 50])
    >>> bench.evaluate(Brightness(), good, test, [0] * 6 + [1] * 6).metrics["auroc"]
    1.0
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
    #: Where most of its work is done: on the cell's ``"device"``, or on the ``"cpu"`` whatever the device is,
    #: as scikit-learn's is. The second kind gets workers beside those that keep a GPU busy.
    computes_on: ClassVar[Literal["device", "cpu"]] = "device"
    #: Parameter values any of which leaves its backbone unused: ``{"source": "random"}``.
    no_backbone_with: ClassVar[Mapping[str, Any]] = {}

    #: Parameters that name auxiliary images (`bench.suite.auxiliary`), each with the words that its value may
    #: be instead, and the images that a word stands for where they are present ("" for none).
    auxiliary_images: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    #: Whether it asks for labelled anomalies, of which ``[few_shot]`` in a suite says how many; ``"needed"``
    #: if it cannot be trained without any.
    few_shot: ClassVar[bool | Literal["needed"]] = False

    #: Attributes that only `fit` needs, such as its images at another size: they are not saved.
    training_only: ClassVar[tuple[str, ...]] = ()

    device: torch.device
    seed: int = 0
    #: The auxiliary images, by parameter; set by the runner.
    auxiliary: Mapping[str, Images] = MappingProxyType({})
    #: The class of each of these, by parameter: the data set's task or the subfolder; "" for none.
    auxiliary_classes: Mapping[str, Sequence[str]] = MappingProxyType({})
    #: The labelled anomalies; set by the runner where the method asks for them and the suite has some.
    labelled: Images | None = None
    #: Remarks on the fit for readers of the record ("collapsed: …").
    notes: tuple[str, ...] = ()
    #: The course of each training's loss, by its name; filled by `bench.Training`.
    curves: Mapping[str, Sequence[float]] = MappingProxyType({})
    #: Where a long training saves its state, and a callback for progress (what, done, total); set by the
    #: runner, used by `bench.Training`.
    checkpoints: Checkpoints | None = None
    progress: Callable[[str, int, int], None] | None = None
    #: Set where only the costs of its trainings are asked: they end after a few steps.
    first_steps: FirstSteps | None = None
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
