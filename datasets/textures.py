"""Textures: an inspection set that is generated from a seed; synthetic, with exact masks, no download.

Five surfaces. ``weave``: warp and weft threads that pass over each other in turn. ``wood``: growth rings bent
by slow noise, with fine streaks along the grain. ``tiles``: a grid of tiles, each of its own shade, in light
grout. ``leather``: cells of a jittered Voronoi diagram, dark along the creases. ``granite``: grains of three
minerals, thresholds of noise at several scales. Each image has its own phase, angle, shade and light.

Defects: ``scratch``, a thin wandering line, lighter or darker; ``stain``, a soft darker or lighter blot;
``hole``, a dark, ragged ellipse; ``shift``, a patch that shows the surface of another place, turned;
``contamination``, a few specks of a foreign colour. A mask is the support of the defect: outside it the
image is, to the bit, the same image without the defect.

Every image has a random stream of its own, derived from (seed, surface, kind, index): images depend on
neither the counts nor the order in which they are made.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import ArraySource, Dataset, Images, LazyMasks, NonNegativeInt, PositiveInt, Task, code_hash

Field = NDArray[np.float64]
Rng = np.random.Generator

DEFECTS = {
    "weave": ("contamination", "hole", "scratch", "shift", "stain"),
    "wood": ("contamination", "hole", "scratch", "stain"),
    "tiles": ("contamination", "scratch", "shift", "stain"),
    "leather": ("contamination", "hole", "scratch", "stain"),
    "granite": ("contamination", "hole", "scratch", "stain"),
}


class Textures(Dataset):
    title = "Textures (synthetic)"
    licence = "Apache-2.0"
    citation = "anobench, generated from a seed"
    synthetic = True
    facts = (("all images are generated", "this repository", "the generator"),)
    has_anomaly_pool = False

    def __init__(
        self,
        size: PositiveInt = 64,
        seed: NonNegativeInt = 0,
        train: PositiveInt = 80,
        good: PositiveInt = 30,
        per_defect: PositiveInt = 10,
    ) -> None:
        self.size, self.seed = size, seed
        self.counts = {"train": train, "good": good, "defect": per_defect}

    def tasks(self) -> list[str]:
        return list(DEFECTS)

    def fingerprint(self) -> str:
        return self._fingerprint("all")

    @cached_property
    def _code(self) -> str:
        return code_hash(ast.parse(Path(__file__).read_text(encoding="utf-8")))

    def _fingerprint(self, part: str) -> str:
        made_from = (self._code, self.size, self.seed, sorted(self.counts.items()), part)
        return hashlib.sha256(f"textures/{made_from}".encode()).hexdigest()

    def task(self, name: str) -> Task:
        self._known(name, self.tasks())
        train = [("train", i) for i in range(self.counts["train"])]
        test = [("good", i) for i in range(self.counts["good"])]
        test += [(kind, i) for kind in DEFECTS[name] for i in range(self.counts["defect"])]
        # In an order that does not tell which are good.
        test.sort(key=lambda which: hashlib.sha256(repr(which).encode()).digest())
        sources = tuple(
            ArraySource(f"textures/{name}/{split}", self._fingerprint(f"{name}/{split}"), len(which), load)
            for split, which in (("train", train), ("test", test))
            for load in [partial(self._render_all, name, which)]
        )
        return Task(
            name=name,
            train=Images.of(sources[0]),
            test=Images.of(sources[1]),
            test_labels=np.array([kind != "good" for kind, _ in test], np.uint8),
            test_types=tuple(kind for kind, _ in test),
            masks=LazyMasks(lambda row: self.render(name, *test[row])[1], range(len(test))),
            sources=sources,
        )

    def render(self, surface: str, kind: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return one image, shape (size, size, 3), and its mask, shape (size, size).

        Parameters
        ----------
        surface : str
        kind : str
            ``"train"``, ``"good"``, or a defect.
        index : int
        """
        rng = _stream(self.seed, surface, kind, index)
        picture = SURFACES[surface](rng, self.size)
        light = 1 + _light(rng, self.size)[..., None]
        grain = rng.normal(0, 0.012, picture.shape)
        mask = np.zeros(picture.shape[:2], np.bool_)
        if kind in PAINTERS:
            picture, mask = PAINTERS[kind](rng, picture)
        return np.rint(np.clip(picture * light + grain, 0, 1) * 255).astype(np.uint8), mask

    def _render_all(self, surface: str, which: Sequence[tuple[str, int]]) -> NDArray[np.uint8]:
        return np.stack([self.render(surface, *one)[0] for one in which])


def _stream(seed: int, *names: object) -> Rng:
    digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], "<u4").tolist()])


# --- surfaces -------------------------------------------------------------------------------------------


def _grid(size: int) -> tuple[Field, Field]:
    """Coordinates (x, y) of the pixels' centres, from 0 to 1."""
    axis = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    return x, y


def _noise(rng: Rng, size: int, scale: float, stretch: float = 1.0) -> Field:
    """Smooth noise of mean 0 and deviation 1; `scale` is its grain as a share of the width."""
    frequency = np.fft.fftfreq(size) * size
    fx, fy = np.meshgrid(frequency[: size // 2 + 1], frequency)
    keep = np.exp(-2 * (np.pi * scale) ** 2 * (fx**2 + (fy * stretch) ** 2) / 4)
    keep[0, 0] = 0
    smooth: Field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * keep, s=(size, size))
    return smooth / max(float(smooth.std()), 1e-9)


def _light(rng: Rng, size: int) -> Field:
    x, y = _grid(size)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.06)
    slope: Field = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    return strength * slope + rng.normal(0, 0.01)


def _turned(rng: Rng, size: int, degrees: float) -> tuple[Field, Field]:
    x, y = _grid(size)
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def _blend(amount: Field, low: Sequence[float], high: Sequence[float]) -> Field:
    part = np.clip(amount, 0, 1)[..., None]
    return np.asarray(low) * (1 - part) + np.asarray(high) * part


def _weave(rng: Rng, size: int) -> Field:
    x, y = _turned(rng, size, 3)
    u, v = x * 8 + rng.uniform(0, 1.2), y * 8 + rng.uniform(0, 1.2)
    column, row = np.floor(u), np.floor(v)
    shades = rng.normal(0, 0.05, (2, 64))
    warp = np.sin(np.pi * (u - column)) + shades[0, column.astype(int) % 64]
    weft = np.sin(np.pi * (v - row)) + shades[1, row.astype(int) % 64]
    warp_on_top = (column + row) % 2 == 0
    over, under = np.where(warp_on_top, warp, weft), np.where(warp_on_top, weft, warp)
    height = np.where(over > 0.45, over, 0.55 * under)
    tone = np.where(warp_on_top & (over > 0.45), 0.12, 0.0)
    return _blend(0.85 * height + tone, (0.10, 0.13, 0.22), (0.62, 0.70, 0.82))


def _wood(rng: Rng, size: int) -> Field:
    x, y = _turned(rng, size, 4)
    bend = 0.05 * _noise(rng, size, 0.35, 2.0)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (5 * (x + bend) + 0.5 * np.sin(2 * y) + rng.uniform()))
    streaks = 0.09 * _noise(rng, size, 0.02, 9.0)
    return _blend(0.75 * rings**1.6 + 0.18 + streaks, (0.76, 0.57, 0.36), (0.45, 0.27, 0.13))


def _tiles(rng: Rng, size: int) -> Field:
    x, y = _turned(rng, size, 2)
    u, v = x * 4 + rng.uniform(0, 0.8), y * 4 + rng.uniform(0, 0.8)
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    shades = rng.normal(0, 0.06, (16, 16))
    to_edge = np.minimum.reduce([u - column, column + 1 - u, v - row, row + 1 - v])
    glaze = 0.45 + shades[column % 16, row % 16] + 0.05 * _noise(rng, size, 0.08)
    tiles = _blend(glaze, (0.20, 0.38, 0.42), (0.55, 0.74, 0.72))
    grout = np.clip((0.09 - to_edge) / 0.04, 0, 1)[..., None]
    picture: Field = tiles * (1 - grout) + grout * np.array([0.82, 0.80, 0.75])
    return picture


def _leather(rng: Rng, size: int) -> Field:
    x, y = _grid(size)
    cells = 9
    # A ring of cells outside; each pixel looks at the 3 x 3 cells around its own.
    points = np.stack(np.meshgrid(np.arange(-1, cells + 1), np.arange(-1, cells + 1)), -1) + rng.uniform(
        0.1, 0.9, (cells + 2, cells + 2, 2)
    )
    column, row = (x * cells).astype(int), (y * cells).astype(int)
    around = np.stack([points[row + i, column + j] for i in range(3) for j in range(3)], 2)
    squared = (x[..., None] * cells - around[..., 0]) ** 2 + (y[..., None] * cells - around[..., 1]) ** 2
    nearest = np.sqrt(np.partition(squared, 1, axis=-1)[..., :2])
    ridge = np.clip((nearest[..., 1] - nearest[..., 0]) / 0.45, 0, 1)
    pores = 0.10 * _noise(rng, size, 0.015) + 0.08 * _noise(rng, size, 0.25)
    return _blend(0.25 + 0.5 * np.sqrt(ridge) + pores, (0.14, 0.07, 0.05), (0.56, 0.33, 0.22))


def _granite(rng: Rng, size: int) -> Field:
    base = _blend(0.5 + 0.18 * _noise(rng, size, 0.03), (0.55, 0.51, 0.50), (0.80, 0.77, 0.74))
    for scale, limit, colour in ((0.035, 1.1, (0.72, 0.54, 0.49)), (0.02, 1.45, (0.24, 0.24, 0.26))):
        grains = np.clip((_noise(rng, size, scale) - limit) / 0.25, 0, 1)[..., None]
        base = base * (1 - grains) + grains * np.asarray(colour)
    return base + 0.04 * _noise(rng, size, 0.008)[..., None]


# --- defects: each returns the image with the defect, and the defect's support ---------------------------

Painted = tuple[Field, NDArray[np.bool_]]


def _mixed(picture: Field, alpha: Field, paint: Field | Sequence[float]) -> Painted:
    alpha = np.where(alpha < 0.15, 0, np.clip(alpha, 0, 1))
    return picture * (1 - alpha[..., None]) + alpha[..., None] * np.asarray(paint), alpha > 0


def _blob(rng: Rng, size: int, radius: tuple[float, float], ragged: float) -> Field:
    """Return 1 - distance / radius of a ragged, turned ellipse: positive inside."""
    x, y = _turned(rng, size, 90)
    at = rng.integers(int(0.2 * size), max(int(0.8 * size), int(0.2 * size) + 1), 2)
    rx, ry = rng.uniform(*radius, 2)
    distance: Field = np.hypot((x - x[at[0], at[1]]) / rx, (y - y[at[0], at[1]]) / ry)
    inside: Field = 1 - distance * (1 + ragged * _noise(rng, size, 0.06))
    return inside


def _scratch(rng: Rng, picture: Field) -> Painted:
    size = len(picture)
    x, y = _grid(size)
    steps = 64
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.07, steps))
    step = rng.uniform(0.3, 0.7) / steps
    path = rng.uniform(0.3, 0.7, 2) + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], -1) * step, 0)
    path -= path.mean(0) - rng.uniform(0.3, 0.7, 2)
    distance = np.sqrt(((x[..., None] - path[:, 0]) ** 2 + (y[..., None] - path[:, 1]) ** 2).min(-1))
    alpha = np.clip(1.5 - distance / rng.uniform(0.009, 0.018), 0, 1)
    shade = rng.choice([-1, 1]) * rng.uniform(0.22, 0.42)
    return _mixed(picture, alpha, np.clip(picture + shade, 0, 1))


def _stain(rng: Rng, picture: Field) -> Painted:
    inside = _blob(rng, len(picture), (0.09, 0.20), 0.12)
    tint = (
        np.array([1.0, 0.95, 0.85]) * rng.uniform(0.65, 0.88) if rng.random() < 0.7 else rng.uniform(1.1, 1.3)
    )
    return _mixed(picture, np.clip(inside / 0.35, 0, 1), np.clip(picture * tint, 0, 1))


def _hole(rng: Rng, picture: Field) -> Painted:
    inside = _blob(rng, len(picture), (0.035, 0.085), 0.15)
    return _mixed(picture, np.clip(inside / 0.2, 0, 1), 0.25 * picture + 0.02)


def _shift(rng: Rng, picture: Field) -> Painted:
    size = len(picture)
    height, width = (rng.uniform(0.2, 0.38, 2) * size).astype(int) + 1
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    elsewhere = np.rot90(np.roll(picture, rng.integers(1, size, 2), (0, 1)), int(rng.integers(1, 4)))
    alpha = np.zeros((size, size))
    alpha[top : top + height, left : left + width] = 1
    return _mixed(picture, alpha, elsewhere)


def _contamination(rng: Rng, picture: Field) -> Painted:
    colour = np.array([(0.75, 0.20, 0.15), (0.20, 0.55, 0.20), (0.85, 0.75, 0.20)])[rng.integers(3)]
    alpha = np.zeros(picture.shape[:2])
    for _ in range(rng.integers(3, 7)):
        alpha = np.maximum(alpha, np.clip(_blob(rng, len(picture), (0.025, 0.06), 0.1) / 0.3, 0, 1))
    return _mixed(picture, alpha * rng.uniform(0.5, 0.9), np.broadcast_to(colour, picture.shape))


SURFACES: dict[str, Callable[[Rng, int], Field]] = {
    "weave": _weave, "wood": _wood, "tiles": _tiles, "leather": _leather, "granite": _granite,
}  # fmt: skip
PAINTERS: dict[str, Callable[[Rng, Field], Painted]] = {
    "contamination": _contamination, "hole": _hole, "scratch": _scratch, "shift": _shift, "stain": _stain,
}  # fmt: skip
