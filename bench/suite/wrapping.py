"""Wrapping, as planning and running see it: which method stands inside a cell's wrapper.

A wrapper's parameter of kind ``BaseMethod`` holds a method's selector. In a cell it stands in its canonical
form, all parameters named, so that two ways to write it are one cell and a changed default makes another. The
base's backbone is the cell's. Nothing here imports an adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from bench.core.cell import Cell, Value
from bench.core.errors import AdapterError, AnobenchError, SelectorError, SuiteError
from bench.core.selector import format_selector, parse
from bench.suite.adapter import Adapter
from bench.suite.registry import Registry
from bench.train.method import Method
from bench.train.wrapper import Wrapper

#: The annotation that marks the parameter.
ANNOTATION = "BaseMethod"


@dataclass(frozen=True, slots=True)
class Base:
    """The method inside a wrapper: its adapter and its parameters, checked, the backbone among them.

    Attributes
    ----------
    parameter : str
        The wrapper's parameter that names it.
    """

    parameter: str
    adapter: Adapter
    params: Mapping[str, Value]

    @property
    def selector(self) -> str:
        """Return the canonical selector, without the backbone, which the cell holds."""
        named = {name: value for name, value in sorted(self.params.items()) if name != "backbone"}
        return format_selector(self.adapter.name, named)


def base_of(
    adapter: Adapter,
    params: Mapping[str, object],
    registry: Registry,
    where: str,
    *,
    backbone: object = None,
) -> Base | None:
    """Return the method that a wrapper's parameters name; None for a method that wraps none.

    Parameters
    ----------
    where : str
        What an error should name: suite file and key.
    backbone : str, optional
        Given to the wrapper and meant for its base (``llbnad[base=dn2,backbone=hog]``); left alone where the
        base takes none.

    Raises
    ------
    SelectorError
        There is no such method; the nearest is named.
    SuiteError
        It has no such parameter or value, or it is itself a wrapper.
    """
    parameter = _parameter(adapter)
    if parameter is None:
        return None
    where = f"{where}: {adapter.name}, parameter {parameter}"
    try:
        selector = parse(str(params[parameter]))
    except SelectorError as error:
        raise SelectorError(f"{where}: {error}") from None
    if selector.is_glob:
        raise SelectorError(f"{where}: expected one method such as dn2[k=2], not the pattern {selector}")
    (base,) = registry.match("method", selector, where)
    if is_wrapper(base):
        raise SuiteError(
            f"{where}: {base.name} wraps a method itself, and a wrapper of a wrapper is not offered; "
            f"wrap the inner method: {adapter.name}[{parameter}=...]"
        )
    if "backbone" in adapter.parameters:
        raise SuiteError(
            f"{where}: a wrapper takes its base's backbone and must have no parameter of this name"
        )
    given: dict[str, object] = dict(selector.params)
    if backbone is not None and (base.problem or "backbone" in base.parameters):
        if "backbone" in given:
            raise SuiteError(f"{where}: the backbone is given twice, to {adapter.name} and to {base.name}")
        given["backbone"] = backbone
    if base.problem:
        return Base(parameter, base, {name: str(value) for name, value in given.items()})
    return Base(parameter, base, base.check(given, where))


def base_in(cell: Cell, adapter: Adapter, registry: Registry) -> Base | None:
    """Return the method inside a cell's wrapper, with the cell's backbone."""
    base = base_of(adapter, dict(cell.params), registry, cell.task_name)
    if base is None or not cell.backbone:
        return base
    return Base(base.parameter, base.adapter, {**base.params, "backbone": cell.backbone})


def only_clean(method: Method, how: str) -> bool:
    """Return whether a method gets the clean training images only, which an oracle alone may.

    Raises
    ------
    AdapterError
        It asks for them and does not say that it is an oracle.
    """
    asked = isinstance(method, Wrapper) and type(method).only_clean
    if asked and how != "oracle":
        raise AdapterError(
            f"{type(method).__name__} has only_clean, so that the truth chooses its training images: "
            f'its class must say selection = "oracle", not {how!r}'
        )
    return asked


def give_base(method: Method, base: Base) -> None:
    """Let a wrapper make its base.

    Raises
    ------
    AdapterError
        The method is no `bench.Wrapper`, or the base cannot be imported.
    """
    if not isinstance(method, Wrapper):
        raise AdapterError(
            f"{type(method).__name__} has a parameter of kind {ANNOTATION} and must derive from bench.Wrapper"
        )
    base_class: type[Method] = base.adapter.load()
    method.make_base = partial(base_class, **base.params)


def setting(adapter: Adapter, base: Base | None) -> str:
    """Return a method's setting: what supervision a base gets, its wrapper gets too."""
    own = str(adapter.attributes.get("setting", "one-class"))
    inner = str(base.adapter.attributes.get("setting", "one-class")) if base else own
    return own if own != "one-class" else inner


def selection(adapter: Adapter, params: Mapping[str, object], base: Base | None) -> str:
    """Return how results are chosen; an oracle stays one inside a wrapper."""
    own = adapter.selection(params)
    inner = base.adapter.selection(base.params) if base else own
    return "oracle" if "oracle" in (own, inner) else inner if own == "last" else own


def stochastic(adapter: Adapter, params: Mapping[str, object], base: Base | None) -> bool:
    """Return whether a seed has an effect, on the method or on the one inside it."""
    return adapter.stochastic(params) or (base is not None and base.adapter.stochastic(base.params))


def safe_base_in(cell: Cell, adapter: Adapter | None, registry: Registry) -> Base | None:
    """Return what `base_in` does, or None where that fails: making the method will say why."""
    try:
        return base_in(cell, adapter, registry) if adapter else None
    except AnobenchError:
        return None


def is_wrapper(adapter: Adapter) -> bool:
    """Return whether a method takes another one as a parameter."""
    return _parameter(adapter) is not None


def _parameter(adapter: Adapter) -> str | None:
    names = [name for name, p in adapter.parameters.items() if p.annotation == ANNOTATION]
    return names[0] if names else None
