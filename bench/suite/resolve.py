"""Resolving a method, once: its adapter, its parameters, and the method inside a wrapper.

A wrapper's parameter of kind ``BaseMethod`` is a method's selector. A cell has it in canonical form, with all
parameters named, so that two ways to write it are one cell and a changed default makes another. The base's
backbone is the cell's. Nothing here imports an adapter before `ResolvedMethod.make`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.cell import Cell, Value
from bench.core.errors import AdapterError, AnobenchError, SelectorError, SuiteError
from bench.core.selector import Selector, format_selector, parse
from bench.suite.adapter import Adapter
from bench.suite.adapterfile import read_adapter
from bench.suite.registry import Registry
from bench.train.method import Method

#: The annotation of a wrapper's parameter that names the base.
ANNOTATION = "BaseMethod"


@dataclass(frozen=True, slots=True)
class ResolvedMethod:
    """A method with all that its cells, its row and its records say about it.

    Attributes
    ----------
    adapter : Adapter
    params : mapping
        All parameters, checked, as for ``__init__``; including the backbone, if it has one.
    base : ResolvedMethod or None
        The method inside a wrapper.
    """

    adapter: Adapter
    params: Mapping[str, Value]
    base: ResolvedMethod | None = None

    @property
    def innermost(self) -> ResolvedMethod:
        """The method that gets the images: the one inside a wrapper, or this one."""
        return self.base or self

    @property
    def selector(self) -> str:
        """The canonical selector, without the backbone, which is part of the cell."""
        named = {name: value for name, value in sorted(self.params.items()) if name != "backbone"}
        return format_selector(self.adapter.name, named)

    @property
    def problem(self) -> str:
        """Why it cannot be used; empty if no reason is known."""
        return self.adapter.problem or (self.base.adapter.problem if self.base else "")

    @property
    def setting(self) -> str:
        """Its supervision; a wrapper has that of its base."""
        own = str(self.adapter.attributes.get("setting", "one-class"))
        return self.base.setting if self.base and own == "one-class" else own

    @property
    def selection(self) -> str:
        """How its result is chosen; a wrapped oracle is still an oracle."""
        own = self.adapter.selection(self.params)
        inner = self.base.selection if self.base else own
        return "oracle" if "oracle" in (own, inner) else inner if own == "last" else own

    @property
    def stochastic(self) -> bool:
        """Whether a seed has an effect, on this method or on its base."""
        return self.adapter.stochastic(self.params) or (self.base is not None and self.base.stochastic)

    @property
    def asks_for_features(self) -> bool:
        """Whether it asks for pooled features of its backbone, which can be extracted beforehand."""
        return self.innermost.adapter.needs(self.innermost.params) == "features"

    @property
    def computes_on_cpu(self) -> bool:
        """Whether it leaves a GPU idle for most of its time."""
        return self.innermost.adapter.attributes.get("computes_on") == "cpu"

    @property
    def only_reads_features(self) -> bool:
        """Whether pooled features are all it works on, and it trains no heads on them, nor anything else."""
        return self.asks_for_features and "fit_together" not in self.innermost.adapter.offers

    @property
    def asks_for_labels(self) -> bool:
        """Whether it, or the method inside it, asks for labelled anomalies."""
        return bool(self.innermost.adapter.attributes.get("few_shot", False))

    @property
    def needs_labels(self) -> bool:
        """Whether it cannot be trained without labelled anomalies."""
        return self.innermost.adapter.attributes.get("few_shot") == "needed"

    def make(self) -> Method:
        """Import the adapter and return an unfitted method.

        Raises
        ------
        AdapterError
            The import fails, or the class contradicts its parameters or attributes.
        """
        from bench.train.wrapper import Wrapper

        method_class = self.adapter.load()
        if self.base is not None and not issubclass(method_class, Wrapper):
            raise AdapterError(
                f"{method_class.__name__} has a parameter of kind {ANNOTATION} and must derive from "
                "bench.Wrapper"
            )
        if getattr(method_class, "only_clean", False) and self.selection != "oracle":
            raise AdapterError(
                f"{method_class.__name__} has only_clean, so that the truth chooses its training images: "
                f'its class must say selection = "oracle", not {self.selection!r}'
            )
        method = self._new()
        if self.base is not None and isinstance(method, Wrapper):
            self.base.adapter.load()  # one that cannot be imported fails here
            method.make_base = self.base._new
        return method

    def _new(self) -> Method:
        made: Method = self.adapter.load()(**self.params)
        return made


class Resolver:
    """Resolves the methods of cells, each once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[object, ...], ResolvedMethod] = {}

    def of(self, cell: Cell) -> ResolvedMethod:
        """Return the method of a cell.

        Raises
        ------
        AnobenchError
            The method no longer exists, or its base cannot be resolved.
        """
        known = (cell.method, cell.params, cell.backbone)
        if known not in self._known:
            self._known[known] = self._resolve(cell)
        return self._known[known]

    def _resolve(self, cell: Cell) -> ResolvedMethod:
        (adapter,) = self.registry.match("method", Selector(cell.method), cell.task_name)
        self._refuse_changed(cell, adapter)
        params = dict(cell.params)
        base = _base(adapter, params, self.registry, cell.task_name)
        backbone = {"backbone": cell.backbone} if cell.backbone else {}
        if base is not None:
            return ResolvedMethod(adapter, params, replace(base, params={**base.params, **backbone}))
        return ResolvedMethod(adapter, params | backbone)

    def _refuse_changed(self, cell: Cell, method: Adapter) -> None:
        """Refuse a cell that was planned with other code than this process has read: its key is of that."""
        dataset = self.registry.datasets.get(cell.dataset.partition("[")[0])
        planned = dict(cell.code)
        for kind, adapter in (("method", method), ("dataset", dataset)):
            if adapter is not None and planned.get(kind, adapter.code) != adapter.code:
                raise AdapterError(
                    f"{adapter.path} has changed since this run was planned; run the same command again"
                )

    def find(self, cell: Cell) -> ResolvedMethod | None:
        """Return what `of` does, or None if that fails: running the cell shows why."""
        try:
            return self.of(cell)
        except AnobenchError:
            return None


def resolve(
    adapter: Adapter,
    given: Mapping[str, object],
    registry: Registry,
    where: str,
    *,
    ignore_unknown: bool = False,
) -> ResolvedMethod:
    """Check a method's parameters and resolve the base that they name.

    Parameters
    ----------
    given : mapping
        As a suite gives them. A wrapper's ``backbone`` is for its base (``llbnad[base=dn2,backbone=hog]``).
    where : str
        For error messages: suite file and key.
    ignore_unknown : bool
        Drop parameters that this adapter does not have (for patterns).

    Raises
    ------
    SelectorError
        There is no such base; the message names the nearest.
    SuiteError
        There is no such parameter or value, or the base is itself a wrapper.
    """
    if adapter.problem:
        return ResolvedMethod(adapter, {name: str(value) for name, value in given.items()})
    parameter = base_parameter(adapter)
    if parameter is None:
        return ResolvedMethod(adapter, adapter.check(given, where, ignore_unknown=ignore_unknown))
    own = {name: value for name, value in given.items() if name != "backbone"}
    params = adapter.check(own, where, ignore_unknown=ignore_unknown)
    base = _base(adapter, params, registry, where, backbone=given.get("backbone"))
    assert base is not None
    return ResolvedMethod(adapter, params | {parameter: base.selector}, base)


def resolve_given(
    given: str,
    registry: Registry,
    where: str,
    params: Callable[[Adapter, dict[str, object]], Mapping[str, object]] | None = None,
) -> ResolvedMethod:
    """Return the method that a user names: by a selector such as ``dn2[k=5]``, or by its file.

    Parameters
    ----------
    where : str
        For error messages.
    params : callable, optional
        Takes the adapter and the parameters that the selector gives, and returns those to use.

    Raises
    ------
    AnobenchError
        There is no such method, file or parameter.
    """
    own: dict[str, object] = {}
    if given.endswith(".py"):
        path = Path(given).absolute()
        if not path.is_file():
            raise AdapterError(f"{given}: there is no such file")
        adapter = read_adapter("method", path)
        if adapter is None:
            raise AdapterError(
                f"{given}: no class in it derives from bench.Method or bench.Wrapper, and none is a detector"
            )
    else:
        selector = parse(given)
        if selector.is_glob:
            raise SelectorError(f"{where}: expected one method such as dn2[k=2], not the pattern {given}")
        (adapter,) = registry.match("method", selector, where)
        own = dict(selector.params)
    return resolve(adapter, own if params is None else params(adapter, own), registry, where)


def base_parameter(adapter: Adapter) -> str | None:
    """Return a wrapper's parameter for its base; None for any other method."""
    names = [name for name, p in adapter.parameters.items() if p.annotation == ANNOTATION]
    return names[0] if names else None


def _base(
    adapter: Adapter,
    params: Mapping[str, object],
    registry: Registry,
    where: str,
    *,
    backbone: object = None,
) -> ResolvedMethod | None:
    parameter = base_parameter(adapter)
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
    if base_parameter(base) is not None:
        raise SuiteError(
            f"{where}: {base.name} is a wrapper itself, and wrappers cannot be nested; "
            f"wrap the inner method: {adapter.name}[{parameter}=...]"
        )
    if "backbone" in adapter.parameters:
        raise SuiteError(
            f"{where}: a wrapper uses its base's backbone and must not have a parameter of that name"
        )
    given: dict[str, object] = dict(selector.params)
    if backbone is not None and (base.problem or "backbone" in base.parameters):
        if "backbone" in given:
            raise SuiteError(f"{where}: the backbone is given twice, to {adapter.name} and to {base.name}")
        given["backbone"] = backbone
    return resolve(base, given, registry, where)
