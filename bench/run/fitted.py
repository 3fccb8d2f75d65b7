"""Fitted methods: ``bench.fit`` makes one, with a threshold, and ``bench.load_method`` reads a saved one.

::

    model/model.json             what it is, what it was made from, and the method as plain values
    model/tensors.safetensors    its tensors, by the attribute that holds them
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.determinism import CELL_THREADS, cores, derive_seed
from bench.core.errors import AnobenchError, DataError
from bench.core.files import working_directory
from bench.data.given import image_source
from bench.data.images import Images
from bench.data.source import Source
from bench.features.backbone import Backbones
from bench.features.device import deterministic, seed_everything, torch_threads
from bench.metrics.maps import WHOLE, fitted
from bench.metrics.threshold import RULES, threshold
from bench.run.calibrate import fold_of
from bench.run.environment import versions
from bench.run.evaluate import named
from bench.run.modelfolder import Recording, write
from bench.suite.auxiliary import auxiliary_images
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod
from bench.suite.suite import load_suite
from bench.train.method import Covers, Method, returned_scores

if TYPE_CHECKING:
    import pandas as pd

#: Of the threshold, as of a suite's [thresholds].
FOLDS, RATE, RULE = 5, 0.05, "conformal"


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What a fitted method says of images.

    Attributes
    ----------
    images : tuple of str
        Their files, or their numbers.
    scores : ndarray, shape (n,), float64
        Higher = more anomalous.
    threshold : float or None
        An image with a score above it is called anomalous.
    maps : tuple of ndarray or None
        An anomaly map (h, w) of each image, at the method's own resolution.
    covers : tuple of float
        The part of the image that a map shows: top, left, height, width, as fractions.

    Examples
    --------
    >>> found = bench.Verdicts(("a.png", "b.png"), np.array([0.2, 3.0]), threshold=1.0)
    >>> found.anomalous
    array([False,  True])
    >>> found.frame()
       image  score  anomalous
    0  a.png    0.2      False
    1  b.png    3.0       True
    """

    images: tuple[str, ...]
    scores: NDArray[np.float64]
    threshold: float | None = None
    maps: tuple[NDArray[Any], ...] | None = None
    covers: Covers = WHOLE

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def anomalous(self) -> NDArray[np.bool_] | None:
        """Whether each score is above the threshold, shape (n,); None without a threshold."""
        return None if self.threshold is None else self.scores > self.threshold

    def map_of(self, number: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return an image's anomaly map at the size (height, width) of the image, in pixels."""
        if self.maps is None:
            raise AnobenchError("the method gives no anomaly maps")
        return fitted(self.maps[number], shape, self.covers)

    def frame(self) -> pd.DataFrame:
        """Return a data frame: ``image``, ``score``, and ``anomalous`` where there is a threshold."""
        import pandas as pd

        columns: dict[str, Any] = {"image": list(self.images), "score": self.scores}
        return pd.DataFrame(columns if self.anomalous is None else columns | {"anomalous": self.anomalous})


@dataclass(slots=True, kw_only=True)
class FittedMethod:
    """A fitted method, its threshold, and what it was made from; ``bench.fit`` and ``bench.load_method``.

    Attributes
    ----------
    method : Method
    resolved : ResolvedMethod
    provider : Recording
    about : dict
        Plain values: method, data, seed, backbones, versions, threshold.
    """

    method: Method
    resolved: ResolvedMethod
    provider: Recording
    about: dict[str, Any]
    #: What must live as long as the method's own images.
    sources: Sequence[Source] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"<{self.about['method']['selector']}, fitted on {self.about['data']['images']} images>"

    @property
    def threshold(self) -> float | None:
        """Above it an image is called anomalous; None where no threshold was made."""
        found = self.about["threshold"]
        return None if found is None else float(found["value"])

    def score(self, images: Any) -> Verdicts:
        """Return scores, verdicts and maps of images.

        Parameters
        ----------
        images : sequence
            Paths, PIL images, or arrays, as for `bench.evaluate`.

        Raises
        ------
        DataError
            An image cannot be read; names the file.
        AnobenchError
            The method returns no scores.
        """
        source = image_source(images, "images")
        bound = Images.of(source).bind(self.provider)
        with steady():
            returned = returned_scores(self.method.score(bound))
            parts = list(returned.each_part(len(bound)))
        scores = np.concatenate([np.empty(0), *(each for each, _ in parts)])
        maps = tuple(each for _, some in parts if some is not None for each in some)
        names = tuple(source.where(row) for row in range(len(source)))
        whole = maps if len(maps) == len(scores) else None
        return Verdicts(names, scores, self.threshold, whole, returned.covers or WHOLE)

    def save(self, folder: str | Path) -> None:
        """Write it into a folder, as JSON and safetensors.

        Raises
        ------
        AnobenchError
            The method holds something that cannot be saved (says which attribute), or the folder holds
            something else.
        """
        write(self.method, self.resolved, self.provider, self.about, Path(folder))


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Compute as cells do, with equal bits on any machine of a kind: their threads and torch's settings."""
    import threadpoolctl

    deterministic()
    with threadpoolctl.threadpool_limits(CELL_THREADS), torch_threads(CELL_THREADS):
        yield


def fit(
    method: str,
    train: Any,
    *,
    backbone: str | None = None,
    backbones: str | Path | Backbones | None = None,
    device: str = "cpu",
    seed: int = 0,
    rule: str = RULE,
    rate: float = RATE,
    folds: int = FOLDS,
    labelled: Any = None,
    auxiliary: Mapping[str, Any] | None = None,
    folders: Sequence[str | Path] = (),
    data: str = "",
    fingerprint: str = "",
) -> FittedMethod:
    """Fit a method on normal images, and find a threshold for its scores.

    Parameters
    ----------
    method : str
        A selector, such as ``"dn2[k=5]"``, or a method's file.
    train : Images or sequence
        Normal images: paths, PIL images, or arrays, as for `bench.evaluate`.
    backbone : str, optional
        Where the selector names none; by default ``lite0``.
    backbones : str, Path or Backbones, optional
        A suite's file, whose ``[backbones]`` can then be named.
    device : str
    seed : int
    rule : str
        How the threshold comes from scores of normal images that the method was not fitted on: one of
        `bench.metrics.threshold.RULES`.
    rate : float
        Rate of false alarms that it aims at, in (0, 1).
    folds : int
        The images are cut into so many parts, each scored by a method fitted on the others: so many more
        fits. 0 makes no threshold.
    labelled : Images or sequence, optional
        Labelled anomalies, for a method that asks for some.
    auxiliary : mapping of str to images, optional
        Further images for a method's parameters that name some (``outliers``).
    folders : sequence of str or Path
        Bench folders of your own; the working directory is searched too.
    data, fingerprint : str
        What `train` is called, and its hash; by default that of its images.

    Raises
    ------
    AnobenchError
        A mistake in what was given. Errors of the method itself come as they are.

    Examples
    --------
    >>> import numpy as np, bench
    >>> rng = np.random.default_rng(0)
    >>> good = rng.integers(0, 100, (40, 8, 8, 3), dtype=np.uint8)
    >>> model = bench.fit("dn2", good[:30], backbone="pixels[size=8]")
    >>> found = model.score([*good[30:], np.full((8, 8, 3), 200, np.uint8)])
    >>> bool(found.anomalous[-1]), int(found.scores.argmax())
    (True, 10)
    """
    if rule not in RULES:
        raise AnobenchError(f"rule: {rule!r}; allowed: {', '.join(RULES)}")
    if not 0 < rate < 1 or folds < 0 or folds == 1 or seed < 0:
        raise AnobenchError("expected rate between 0 and 1, folds 0 or at least 2, and a seed from 0 on")
    registry = Registry([Path(folder) for folder in folders], working_directory())
    resolved = named(method, backbone, f"fit {method}", registry)
    if resolved.problem:
        raise AnobenchError(resolved.problem)
    provider = provider_for(backbones, device)
    given = Given(train, labelled, auxiliary or {}, provider)
    given.find(resolved, registry)
    digest = fingerprint or given.fingerprint
    with steady():
        found = None if not folds else _threshold(resolved, given, seed, rule, rate, folds)
        provider.given = ()
        fitted_method = given.fitted(resolved, given.train, seed)
    return FittedMethod(
        method=fitted_method,
        resolved=resolved,
        provider=provider,
        sources=given.sources,
        about={
            "method": _described(resolved),
            "data": {
                "name": data,
                "images": len(given.train),
                "fingerprint": digest,
            },
            "seed": seed,
            "device": provider.device.type,
            "threads": CELL_THREADS,
            "threshold": found,
            "backbones": {name: _backbone(provider, name) for name in _named(provider, resolved)},
            "versions": {"python": platform.python_version(), **versions()},
            "notes": list(fitted_method.notes),
        },
    )


class Given:
    """What a method is fitted on: normal images, and what else it asks for.

    Parameters
    ----------
    train, labelled : Images or sequence
    auxiliary : mapping of str to Images or sequence
    provider : Recording
    """

    def __init__(self, train: Any, labelled: Any, auxiliary: Mapping[str, Any], provider: Recording) -> None:
        self.sources: list[Source] = []
        self.provider = provider
        self.train = self._bound(train, "train")
        if not len(self.train):
            raise DataError("train: there is nothing to fit on")
        self.fingerprint = self.sources[0].fingerprint if self.sources else ""
        self.labelled = None if labelled is None else self._bound(labelled, "labelled")
        self.auxiliary = {name: self._bound(each, name) for name, each in auxiliary.items()}
        self.classes: Mapping[str, Sequence[str]] = {}

    def _bound(self, given: Any, what: str) -> Images:
        if not isinstance(given, Images):
            self.sources.append(image_source(given, what))
            given = Images.of(self.sources[-1])
        images: Images = given
        return images.bind(self.provider)

    def find(self, resolved: ResolvedMethod, registry: Registry) -> None:
        """Find the auxiliary images that a method's parameters name.

        Raises
        ------
        AnobenchError
            It asks for labelled anomalies, and there are none; or there are no such images.
        """
        inner = resolved.innermost
        if resolved.asks_for_labels and self.labelled is None:
            raise AnobenchError(
                f"{inner.adapter.name} asks for labelled anomalies: bench.fit(…, labelled=images), or a "
                "suite with [few_shot]"
            )
        wanted = {n: v for n, v in inner.params.items() if n not in self.auxiliary}
        found = auxiliary_images(inner.adapter, wanted, registry)
        self.auxiliary |= {name: each.images.bind(self.provider) for name, each in found.items()}
        self.classes = {name: each.classes for name, each in found.items()}
        self.sources += [source for each in found.values() for source in each.sources]

    def fitted(self, resolved: ResolvedMethod, images: Images, seed: int, *names: object) -> Method:
        """Return a new method, fitted on some of the images."""
        method = made(resolved, self.provider.device, seed, *names)
        method.labelled, method.auxiliary = self.labelled, self.auxiliary
        method.auxiliary_classes = self.classes
        method.fit(images)
        return method


def provider_for(backbones: str | Path | Backbones | None, device: str) -> Recording:
    import torch

    if isinstance(backbones, str | Path):
        suite = load_suite(Path(backbones))
        backbones = Backbones(suite.file.backbones, suite.folder)
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise AnobenchError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return Recording(backbones or Backbones({}, None), where, cache=None, threads=cores())


def made(resolved: ResolvedMethod, device: Any, seed: int, *names: object) -> Method:
    """Return an unfitted method with the seed of one of several fits."""
    derived = derive_seed("method", seed, *names, bits=31)
    seed_everything(derived)
    method = resolved.make()
    method.device, method.seed = device, derived
    return method


def _threshold(
    resolved: ResolvedMethod, given: Given, seed: int, rule: str, rate: float, folds: int
) -> dict[str, Any]:
    """Return the threshold of cross-fitted scores: each image's by a method that was not fitted on it."""
    images, n = given.train, len(given.train)
    if n < 2 * folds:
        raise AnobenchError(
            f"a threshold from {folds} folds needs {2 * folds} normal images, got {n}; give more images, "
            "fewer folds, or folds=0 for no threshold"
        )
    of, scores = fold_of("fit", n, folds), np.empty(n)
    for fold in range(folds):
        method = given.fitted(resolved, images[of != fold], seed, f"fold-{fold}")
        own = images[of == fold]
        scores[of == fold] = returned_scores(method.score(own)).checked(len(own))
    if not np.isfinite(scores).all():
        raise AnobenchError("no threshold: some scores of normal images are infinite; folds=0 makes none")
    found = threshold(rule, scores, rate)
    about = {"rule": found.fallback or rule, "asked": rule, "rate": rate, "folds": folds, "scores": found.n}
    return {"value": found.value, **about}


def _described(resolved: ResolvedMethod) -> dict[str, Any]:
    """Return what a saved method must say to be made again."""
    adapter = resolved.adapter
    found: dict[str, Any] = {"selector": resolved.selector, "name": adapter.name}
    found |= {"params": dict(resolved.params), "code": adapter.code, "file": adapter.path.name}
    if resolved.base is not None:
        found["base"] = _described(resolved.base)
    return found


def _named(provider: Recording, resolved: ResolvedMethod) -> list[str]:
    """Return the backbones that a method was fitted with: its own, and what else it asked for."""
    own = resolved.innermost.params.get("backbone")
    return sorted({*provider.asked, *([] if own is None else [str(own)])})


def _backbone(provider: Recording, name: str) -> dict[str, Any]:
    """Return what a backbone is: its hashes (of weights and preprocessing), and its settings."""
    known = provider.backbones.get(name)
    about = known.spec.model_dump(mode="json", exclude={"file", "preset"}, exclude_none=True)
    file = known.weights_file()
    return {
        "features": known.identity(),
        "maps": known.map_identity(),
        "weights": "" if file is None else file.name,
        "settings": about,
    }
