"""Trial: a method on a few dozen small generated images, and which line of its file says what."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.given import PixelSource
from bench.data.images import Images
from bench.features.backbone import Backbones
from bench.features.device import seed_everything
from bench.features.network import CPU_BATCH
from bench.features.provider import FeatureProvider
from bench.run.failure import place_of, returning
from bench.suite.resolve import ResolvedMethod
from bench.train.method import Method, returned_scores

Floats = NDArray[np.float64]
#: What a check yields: what is wrong, and where.
Found = Iterator[tuple[str, str]]

#: Numbers of images, and their height and width.
TRAIN, TEST, SIDE = 40, 24, 32
#: Of labelled anomalies, and of either kind of auxiliary images, for methods that ask for them.
LABELLED, OTHERS = 4, 12


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check found: its name, what is wrong and how to mend it, and the line it comes from."""

    check: str
    said: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.said}" + (f"\n    {self.where}" if self.where else "")


@dataclass(slots=True)
class Trial:
    """A method on small images.

    Attributes
    ----------
    method : ResolvedMethod
    backbones : Backbones
    backbone : str
        Empty if it takes none.
    seconds : dict of str to float
        Of ``fit`` and ``score``, once.
    changes : tuple of str
        What the first fit changed of the process, in words.
    fitted : Method, optional
        As the first fit left it, with seed 0.
    reference : ndarray, shape (TEST,)
        The scores that it then gave to `to_be_scored`.
    """

    method: ResolvedMethod
    backbones: Backbones = field(default_factory=Backbones)
    backbone: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    fitted: Method | None = None
    reference: Floats = field(default_factory=lambda: np.empty(0))
    sources: list[PixelSource] = field(default_factory=list)

    @property
    def file(self) -> str:
        return str(self.method.adapter.path)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files of the method and of its base."""
        adapters = [each.adapter for each in (self.method, self.method.base) if each is not None]
        return tuple(str(each.path) for each in adapters)

    def images(self, pixels: NDArray[np.uint8], provider: FeatureProvider | None = None) -> Images:
        source = PixelSource("trial", list(pixels))
        self.sources.append(source)  # images hold no source
        return Images.of(source).bind(provider or self.provider())

    def provider(self, device: str = "cpu") -> FeatureProvider:
        # The same batches on any device: a training can make much of a feature's last bits.
        return FeatureProvider(self.backbones, device, cache=None, batch_size=CPU_BATCH)

    def made(self, seed: int = 0, device: str = "cpu") -> Method:
        seed_everything(seed)
        resolved = self.method
        if self.backbone:
            inner = resolved.innermost
            inner = replace(inner, params={**inner.params, "backbone": self.backbone})
            resolved = inner if resolved.base is None else replace(resolved, base=inner)
        method = resolved.make()
        method.device, method.seed = torch.device(device), seed
        self._give(method, resolved, device)
        return method

    def _give(self, method: Method, resolved: ResolvedMethod, device: str) -> None:
        """Give labelled anomalies and auxiliary images to a method that asks for them, generated ones too."""
        if resolved.asks_for_labels:
            method.labelled = self.images(spoilt(good(LABELLED, seed=3)), self.provider(device))
        declared = resolved.innermost.adapter.attributes.get("auxiliary_images", {})
        for name, words in declared.items():
            text = str(resolved.innermost.params.get(name) or "")
            if text and text not in words:  # a word means images "if present", or none
                pixels, classes = others()
                method.auxiliary = {**method.auxiliary, name: self.images(pixels, self.provider(device))}
                method.auxiliary_classes = {**method.auxiliary_classes, name: classes}

    def scores(
        self, test: NDArray[np.uint8], train: NDArray[np.uint8] | None = None, seed: int = 0
    ) -> Floats:
        """Return the scores of a freshly fitted method."""
        method = self.made(seed)
        method.fit(self.images(good(TRAIN) if train is None else train))
        return self.scored(method, test)

    def scored(self, method: Method, test: NDArray[np.uint8]) -> Floats:
        return returned_scores(method.score(self.images(test))).checked(len(test))

    def place(self, error: BaseException) -> str:
        adapters = [each.adapter for each in (self.method, self.method.base) if each is not None]
        return place_of(error, adapters, None) or self.line_of("score")

    def line_of(self, function: str) -> str:
        """Return where a function of the adapter's class stands; of `score` its return."""
        code = getattr(getattr(self.method.adapter.load(), function, None), "__code__", None)
        if code is None or code.co_filename != self.file:
            return self.file
        line = returning(code) if function == "score" else code.co_firstlineno
        return self.at(self.file, line)

    @staticmethod
    def at(file: str, line: int) -> str:
        return f"{file}, line {line}: {linecache.getline(file, line).strip()}"

    def first(self, wanted: Callable[[ast.AST], bool]) -> str:
        """Return the first line of the adapter whose syntax is as wanted; empty if none is."""
        tree = ast.parse(self.method.adapter.path.read_text(encoding="utf-8"))
        lines = [getattr(node, "lineno", 0) for node in ast.walk(tree) if wanted(node)]
        return self.at(self.file, min(lines)) if lines else ""


def good(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth grey-blue images with noise, shape (n, 32, 32, 3)."""
    rng = np.random.default_rng([1, seed])
    base = 100 + 30 * np.sin(np.arange(SIDE) / 4)[:, None, None] + np.array([0, 0, 25])
    noise = rng.normal(0, 6, (n, SIDE, SIDE, 3)) + rng.normal(0, 4, (n, 1, 1, 1))
    images: NDArray[np.uint8] = np.clip(base + noise, 0, 255).astype(np.uint8)
    return images


def to_be_scored() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images of which every second has a bright square, and their labels."""
    images, labels = good(TEST, seed=1), np.arange(TEST) % 2
    images[labels == 1] = spoilt(images[labels == 1])
    return images, labels.astype(np.uint8)


def spoilt(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images with a bright square each."""
    images = images.copy()
    for at, image in enumerate(images):
        row, column = (int(each) for each in np.random.default_rng(2 * at + 1).integers(2, 16, 2))
        image[row : row + 14, column : column + 14] = 245
    return images


def others() -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return images of two other kinds, noise and negatives, and their classes."""
    noise = np.random.default_rng(4).integers(0, 256, (OTHERS, SIDE, SIDE, 3), dtype=np.uint8)
    classes = ("noise",) * OTHERS + ("negative",) * OTHERS
    return np.concatenate([noise, 255 - good(OTHERS, seed=4)]), classes
