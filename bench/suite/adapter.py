"""Adapter: one file in ``methods/`` or ``datasets/``, as its source text describes it.

Everything that a listing or a plan needs (summary, parameters with kinds and defaults, class attributes, hash
of the code) comes from the syntax tree (`bench.suite.adapterfile`); the file is only imported when one of its
cells runs or its data is opened.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bench.core import checks
from bench.core.cell import Value
from bench.core.errors import AdapterError, SuiteError, did_you_mean, from_outside, kind_of, said
from bench.core.params import in_words

Kind = Literal["method", "dataset"]


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an adapter, as its source text declares it.

    `kind` is None if the annotation cannot be checked: any plain value is allowed.
    """

    name: str
    annotation: str
    kind: Any
    default: Any

    def check(self, value: object) -> Value:
        """Return `value` as this parameter's kind: text from a selector is parsed, typed values are checked.

        Raises
        ------
        ValueError
            It is of another kind or out of range; the message says what is expected.
        """
        import pydantic

        expected = in_words(self.annotation)
        optional = "None" in self.annotation
        if value is None or (isinstance(value, str) and value.lower() == "none" and optional):
            if optional:
                return None
            raise ValueError(f"expected {expected}, got none")
        if self.kind is None:
            return _scalar(value)
        adapter = pydantic.TypeAdapter(self.kind)
        try:
            if isinstance(value, str):
                checked = adapter.validate_strings(value)
            else:
                checked = adapter.validate_python(value, strict=True)
        except pydantic.ValidationError as error:
            why = error.errors()[0]["msg"]
            raise ValueError(f"expected {expected}, got {checks.short(value)} ({why})") from None
        if not isinstance(checked, str | int | float | bool):
            raise ValueError(f"expected {expected}, got {checks.short(value)}")
        try:
            checks.parameter(checked, "value")
        except (ValueError, TypeError):
            raise ValueError(f"expected {expected} that is finite, got {checks.short(value)}") from None
        return checked


@dataclass(frozen=True)
class Adapter:
    """One adapter file.

    Attributes
    ----------
    kind, name : str
        The name is the file's stem.
    path : Path
    summary : str
        First line of the module's docstring.
    class_name : str
    parameters : dict of str to Parameter
    open_ended : bool
        ``__init__`` takes ``**options``.
    attributes : dict
        Literal class attributes (``stochastic``, ``setting``, ``synthetic``, …).
    offers : frozenset of str
        The methods that its class defines; ``fit_together`` fits cells in the same steps.
    code : str
        Hash of the syntax tree without comments and docstrings.
    problem : str
        Why it cannot be used (file, line, reason); empty if it can.
    """

    kind: Kind
    name: str
    path: Path
    summary: str = ""
    class_name: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    open_ended: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    offers: frozenset[str] = frozenset()
    code: str = ""
    problem: str = ""
    #: The text that was read: what runs is what was hashed, even if the file is changed meanwhile.
    source: str = ""
    #: Libraries that it imports.
    imports: frozenset[str] = frozenset()
    #: Its class is a detector such as scikit-learn's, which runs inside `bench.train.detector.Detector`.
    detector: bool = False

    def selection(self, params: Mapping[str, object]) -> str:
        """Return how results are chosen with these parameters (see `bench.train.method.Method`)."""
        return str(params.get("selection") or self.attributes.get("selection", "last"))

    def stochastic(self, params: Mapping[str, object]) -> bool:
        """Return whether a seed has an effect with these parameters (see `bench.train.method.Method`)."""
        without = dict(self.attributes.get("deterministic_with", {}))
        return bool(self.attributes.get("stochastic", False)) and not any(
            params.get(name) == value for name, value in without.items()
        )

    def uses_backbone(self, params: Mapping[str, object]) -> bool:
        """Return whether it has a backbone with these parameters (see `bench.train.method.Method`)."""
        without = dict(self.attributes.get("no_backbone_with", {}))
        return "backbone" in self.parameters and not any(
            params.get(name) == value for name, value in without.items()
        )

    def needs(self, params: Mapping[str, object]) -> str:
        """Return what a method asks of its images with these parameters (see `bench.train.method.Method`)."""
        if not self.uses_backbone(params):
            return "nothing of a backbone"
        if params.get(str(self.attributes.get("layers_in", ""))):
            return "feature maps"
        return str(self.attributes.get("needs", "features"))

    def missing(self, given: Mapping[str, object] = MappingProxyType({})) -> list[str]:
        """Return the parameters without default that are not given."""
        return [name for name, p in self.parameters.items() if p.default is REQUIRED and name not in given]

    def check(
        self, given: Mapping[str, object], where: str, *, ignore_unknown: bool = False
    ) -> dict[str, Value]:
        """Return all parameters, defaults included, after checking those given.

        Parameters
        ----------
        where : str
            For error messages: suite file and key.
        ignore_unknown : bool
            Drop parameters that this adapter does not have (for globs).

        Raises
        ------
        SuiteError
            Unknown parameter, wrong kind, or a required one missing.
        """
        values = {name: p.default for name, p in self.parameters.items() if p.default is not REQUIRED}
        for name, value in given.items():
            if name in self.parameters:
                try:
                    values[name] = self.parameters[name].check(value)
                except ValueError as error:
                    raise SuiteError(f"{where}: {self.name}, parameter {name}: {error}") from None
            elif self.open_ended:
                values[name] = _scalar(value)
            elif not ignore_unknown:
                raise SuiteError(
                    f"{where}: {self.name} has no parameter {name!r}{did_you_mean(name, self.parameters)}"
                )
        for name in self.missing(values):
            raise SuiteError(f"{where}: {self.name} needs the parameter {name!r}: {self.name}[{name}=...]")
        return values

    @property
    def module_name(self) -> str:
        """Under which it is imported: with its code, as a changed file is another module."""
        which = hashlib.sha256(f"{self.path}\0{self.code}".encode()).hexdigest()[:8]
        return f"_anobench_{self.kind}_{self.name}_{which}"

    def load(self) -> type[Any]:
        """Import the adapter's file and return its class.

        Raises
        ------
        AdapterError
            The import fails; the message names file, line and reason.
        """
        if self.problem:
            raise AdapterError(self.problem)
        module_name = self.module_name
        if module_name in sys.modules:
            return self._class_of(sys.modules[module_name])
        spec = importlib.util.spec_from_file_location(module_name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            # Not through the loader: Python's cache of compiled files trusts time and size.
            exec(compile(self.source, str(self.path), "exec"), module.__dict__)
        except BaseException as error:
            sys.modules.pop(module_name, None)
            if from_outside(error):
                raise
            frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.path]
            line = frames[-1].lineno if frames else getattr(error, "lineno", 0)
            raise AdapterError(
                f"{self.path}, line {line}: {self.kind} {self.name!r} cannot be imported: "
                f"{kind_of(error)}: {said(error)}"
            ) from error
        return self._class_of(module)

    def _class_of(self, module: Any) -> type[Any]:
        from bench.data.dataset import Dataset
        from bench.train.detector import detector_class
        from bench.train.method import Method

        found = getattr(module, self.class_name)
        if self.detector:
            return detector_class(found)
        base = Method if self.kind == "method" else Dataset
        if not (isinstance(found, type) and issubclass(found, base)):
            raise AdapterError(f"{self.path}: {self.class_name} does not derive from bench.{base.__name__}")
        if abstract := sorted(getattr(found, "__abstractmethods__", ())):
            raise AdapterError(f"{self.path}: {self.class_name} must define {', '.join(abstract)}()")
        return found


def _finite(value: Value) -> Value:
    """Return a number that a cell's key can hold.

    Raises
    ------
    SuiteError
        It is infinite, or has very many digits.
    """
    try:
        checks.parameter(value, "value")
    except (ValueError, TypeError):
        raise SuiteError(f"a parameter must be a finite number, got {checks.short(value)}") from None
    return value


def _scalar(value: object) -> Value:
    """Return a value of unknown kind; text is parsed."""
    if not isinstance(value, str):
        if isinstance(value, int | float | bool) or value is None:
            return _finite(value)
        raise SuiteError(f"a parameter must be a number, text or true/false, got {checks.short(value)}")
    try:
        read = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value.lower(), value))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value
    read = _finite(read) if isinstance(read, int | float) else read
    return read if isinstance(read, int | float | bool | str) or read is None else value
