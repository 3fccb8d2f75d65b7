"""Functions, classes and constants that were exchanged: in the engine, torch, numpy, Python's library.

One pass over the values of modules and classes finds the first that is another object; only then is each name
looked at.
"""

from __future__ import annotations

import sys
from itertools import chain
from operator import is_, methodcaller
from types import ModuleType
from typing import Any

#: Besides all of ``bench``: the modules whose functions methods call, and the engine for them.
MODULES = (
    "builtins", "os", "posixpath", "time", "random", "math", "json", "json.encoder", "json.decoder", "pickle",
    "copy", "io", "pathlib", "tempfile", "hashlib", "zipfile", "struct", "threading", "logging", "warnings",
    "gc", "functools", "operator", "traceback", "contextlib", "multiprocessing.connection", "subprocess",
    "torch", "torch.nn.functional", "torch.linalg", "torch.random", "torch.autograd", "torch.cuda",
    "torch.nn.init", "torch.utils.data", "numpy", "numpy.linalg", "numpy.random", "scipy.linalg",
    "scipy.spatial.distance", "scipy.special", "scipy.stats", "sklearn.base", "sklearn.utils.validation",
    "PIL.Image",
)  # fmt: skip
#: Modules of libraries whose classes are looked at too; of ``bench`` they all are.
_WITH_CLASSES = ("torch.nn", "torch.optim", "sklearn.", "multiprocessing.connection", "json.")
_LIBRARIES = tuple(f"sklearn.{name}" for name in (
    "cluster", "covariance", "decomposition", "ensemble", "linear_model", "metrics", "mixture", "neighbors",
    "preprocessing", "svm",
))  # fmt: skip
#: What Python itself writes into a class or module, and what must stay changeable.
_OWN = frozenset({
    "__warningregistry__", "_abc_impl", "__doc__", "__annotations__", "__builtins__", "_",
    "__slotnames__",
})  # fmt: skip

_values = methodcaller("values")


class Replaced:
    """Looks for names that mean another object than when it was made, and gives them back their own."""

    def __init__(self) -> None:
        self._owners: list[Any] = []
        self._spaces: list[Any] = []
        self._before: list[dict[str, Any]] = []
        self._flat: tuple[Any, ...] = ()
        self._known: set[str] = set()
        self._loaded = 0
        self.take()

    def take(self) -> None:
        """Note what every name means now, in the modules that are loaded by now."""
        self._known = {name for name in sys.modules if _looked_at(name)}
        modules = [sys.modules[name] for name in sorted(self._known)]
        modules = [each for each in modules if isinstance(each, ModuleType)]
        self._owners = [*modules, *_classes(modules)]
        self._spaces = [vars(owner) for owner in self._owners]
        self._before = [dict(space) for space in self._spaces]
        self._flat = tuple(chain.from_iterable(map(_values, self._before)))

    def grown(self) -> bool:
        """Return whether modules were loaded since that should be looked at."""
        if len(sys.modules) == self._loaded:
            return False
        self._loaded = len(sys.modules)
        return any(_looked_at(name) for name in sys.modules.keys() - self._known)

    def restore(self) -> list[str]:
        """Give every name its object back; return the names, ``"bench.metrics.image.auroc"``."""
        names = [name for name in self._known if name not in sys.modules]
        total = sum(map(len, self._spaces))
        same = all(map(is_, chain.from_iterable(map(_values, self._spaces)), self._flat))
        if same and total == len(self._flat) and not names:
            return []
        for owner, space, before in zip(self._owners, self._spaces, self._before, strict=True):
            names += _mended(owner, space, before)
        for owner in self._owners:
            if isinstance(owner, ModuleType) and sys.modules.get(owner.__name__) is None:
                sys.modules[owner.__name__] = owner
        self.take()
        return names


def _looked_at(name: str) -> bool:
    return name == "bench" or name.startswith("bench.") or name in MODULES or name in _LIBRARIES


def _classes(modules: list[ModuleType]) -> list[type]:
    """Return the classes that these modules define, as far as they are looked at, and torch's tensor."""
    found: dict[type, None] = {}
    for module in modules:
        own = module.__name__.startswith("bench")
        if not own and not module.__name__.startswith(_WITH_CLASSES):
            continue
        for value in vars(module).values():
            if isinstance(value, type) and (
                value.__module__.startswith("bench.") if own else not _is_plain(value)
            ):
                found[value] = None
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= dict.fromkeys((torch.Tensor, torch.nn.Module, torch.nn.Linear, torch.nn.Conv2d))
        found |= dict.fromkeys((torch.optim.Optimizer, torch.optim.Adam, torch.optim.SGD))
    return list(found)


def _is_plain(value: type) -> bool:
    """Return whether a class cannot be changed: it is written in C."""
    return not value.__flags__ & (1 << 9)


def _mended(owner: Any, space: Any, before: dict[str, Any]) -> list[str]:
    """Give an owner's names their objects back; return those that had others."""
    own = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
    ours, names = own.startswith("bench"), []
    missing = object()
    for name, value in before.items():
        now = space.get(name, missing)
        if now is value or name in _OWN or not (ours or callable(value)):
            continue
        if not ours and now is not missing and _is_late(own, now):
            continue  # torch wraps an optimiser's step when it is first made
        if (
            ours
            and name.startswith("_")
            and not callable(value)
            and not isinstance(value, str | int | float | tuple)
        ):
            continue  # the engine's own state
        names.append(f"{own}.{name}")
        _set(owner, name, value)
    # A package with a `__getattr__` fills in names when they are first asked for.
    for name in [] if "__getattr__" in before else [name for name in space if name not in before]:
        value = space[name]
        if name in _OWN or isinstance(value, ModuleType) or not callable(value) or _is_late(own, value):
            continue
        names.append(f"{own}.{name}")
        _set(owner, name, missing, delete=True)
    return names


def _is_late(own: str, value: Any) -> bool:
    """Return whether the package itself made a value, as it is first used: wrappers tell by their code."""
    made_in = getattr(value, "__globals__", {}).get("__name__") or getattr(value, "__module__", "")
    return str(made_in or "").partition(".")[0] == own.partition(".")[0]


def _set(owner: Any, name: str, value: Any, *, delete: bool = False) -> None:
    try:
        delattr(owner, name) if delete else setattr(owner, name, value)
    except (AttributeError, TypeError):
        space = vars(owner)
        if isinstance(space, dict):
            space.pop(name, None) if delete else space.__setitem__(name, value)
