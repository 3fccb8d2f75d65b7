"""Which classes and functions a saved method may name: none is imported because a file says so.

A name is ``<place>:<qualified name>``. A place is ``method`` or ``base``, the files of the method's own
adapters, whose code is known by its hash; one of the modules in `BENCH`; ``torch.nn`` or
``torch.nn.functional``; or a module of `LIBRARIES` for classes that derive from the library's own base.
"""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

#: Modules of anobench whose classes and functions compute, and do nothing else.
BENCH = frozenset(
    f"bench.{name}"
    for name in (
        "data.resize",
        "features.nearest",
        "features.patches",
        "train.anomalymaps",
        "train.geometric",
        "train.heads",
        "train.lenet",
        "train.losses",
        "train.pyramid",
        "train.wrapper",
    )
)
#: Libraries, and the class from which those of theirs derive that may be named.
LIBRARIES = {
    "timm": "torch.nn:Module",
    "torchvision": "torch.nn:Module",
    "sklearn": "sklearn.base:BaseEstimator",
    "pyod": "pyod.models.base:BaseDetector",
}
_MODULE = re.compile(r"(timm|torchvision|sklearn|pyod)(\.[a-z_][a-z0-9_]*)+")
_NOT = {"tests", "conftest", "externals"}

Adapters = Mapping[str, types.ModuleType]


def class_name(of: type[Any], adapters: Adapters) -> str:
    """Return the name of a class; empty if a saved method may not name it."""
    path = str(of.__qualname__)
    if "<" in path:
        return ""
    for alias, module in adapters.items():
        if of.__module__ == module.__name__ and _inside(module, path) is of:
            return f"{alias}:{path}"
    if of.__module__ in BENCH:
        return f"{of.__module__}:{path}"
    if issubclass(of, nn.Module) and getattr(torch.nn, path, None) is of:
        return f"torch.nn:{path}"
    if _MODULE.fullmatch(of.__module__):
        name = f"{of.__module__}:{path}"
        try:
            return name if class_of(name, adapters) is of else ""
        except ValueError:
            return ""
    return ""


def class_of(name: Any, adapters: Adapters) -> type[Any]:
    """Return the class of a name.

    Raises
    ------
    ValueError
        There is none, or it may not be named.
    """
    place, _, path = str(name).partition(":")
    found = None
    if place in adapters or place in BENCH:
        module = adapters.get(place) or importlib.import_module(place)
        found = _inside(module, path)
        found = found if getattr(found, "__module__", "") == module.__name__ else None
    elif place == "torch.nn":
        found = getattr(torch.nn, path, None)
        found = found if isinstance(found, type) and issubclass(found, nn.Module) else None
    elif _MODULE.fullmatch(place) and not _NOT.intersection(place.split(".")):
        found = _of_library(place, path)
    if not isinstance(found, type):
        raise ValueError(f"it names the class {str(name)[:100]!r}, which a saved method may not hold")
    return found


def _of_library(place: str, path: str) -> object:
    library, _, base = LIBRARIES[place.partition(".")[0]].partition(":")
    try:
        found = _inside(importlib.import_module(place), path)
        wanted = getattr(importlib.import_module(library), base)
    except Exception:  # it is not installed, or an optional part of it fails
        return None
    return found if isinstance(found, type) and issubclass(found, wanted) else None


def function_name(of: types.FunctionType, adapters: Adapters) -> tuple[str, int] | None:
    """Return a function's name, and which of its name it is in its module; None if it may not be named.

    Functions inside of functions have names, too: theirs is that of the code that makes them.
    """
    name = of.__qualname__
    if getattr(torch.nn.functional, name, None) is of:
        return f"torch.nn.functional:{name}", 0
    for place, module in _modules(adapters):
        if of.__module__ == module.__name__:
            for number, code in enumerate(_codes(module, name)):
                if code is of.__code__:
                    return f"{place}:{name}", number
    return None


def function_of(
    name: Any, number: Any, adapters: Adapters, defaults: tuple[Any, ...] | None, holds: Mapping[str, Any]
) -> Any:
    """Return the function of a name, with the values that it holds.

    Raises
    ------
    ValueError
        There is none, it may not be named, or it holds other values.
    """
    place, _, path = str(name).partition(":")
    if place == "torch.nn.functional" and isinstance(
        found := getattr(torch.nn.functional, path, None), types.FunctionType | types.BuiltinFunctionType
    ):
        return found
    module = dict(_modules(adapters)).get(place)
    codes = [] if module is None else list(_codes(module, path))
    if module is None or not isinstance(number, int) or not 0 <= number < len(codes):
        raise ValueError(f"it names the function {str(name)[:100]!r}, which a saved method may not hold")
    code = codes[number]
    if set(code.co_freevars) != set(holds):
        raise ValueError(f"{name} holds {', '.join(code.co_freevars) or 'nothing'}, and it gives others")
    cells = tuple(types.CellType(holds[each]) for each in code.co_freevars)
    made = types.FunctionType(code, module.__dict__, code.co_name, defaults, cells)
    made.__qualname__ = path
    return made


def _modules(adapters: Adapters) -> Iterator[tuple[str, types.ModuleType]]:
    yield from adapters.items()
    for name in sorted(BENCH):
        yield name, importlib.import_module(name)


def _codes(module: types.ModuleType, path: str) -> Iterator[types.CodeType]:
    """Yield the code of all functions of a qualified name in a module, in the order of its text."""
    seen: dict[types.CodeType, None] = {}
    todo: list[object] = [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
    while todo:
        each = todo.pop(0)
        if isinstance(each, property | classmethod | staticmethod):
            each = each.fget if isinstance(each, property) else each.__func__
        each = getattr(each, "__wrapped__", each)
        if isinstance(each, type):
            todo += [v for v in vars(each).values() if getattr(v, "__module__", "") == module.__name__]
        if isinstance(each, types.FunctionType) and each.__module__ == module.__name__:
            each = each.__code__
        if isinstance(each, types.CodeType) and each not in seen:
            seen[each] = None
            todo += [value for value in each.co_consts if isinstance(value, types.CodeType)]
    found = [code for code in seen if code.co_qualname == path]
    yield from sorted(found, key=lambda code: [[at or 0 for at in each] for each in code.co_positions()])


def _inside(module: types.ModuleType, path: str) -> object:
    """Return what a qualified name leads to, class by class."""
    found: object = module
    for part in path.split("."):
        if found is not module and not isinstance(found, type):
            return None
        found = vars(found).get(part)
    return found
