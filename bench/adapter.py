"""Adapter: one file in ``methods/`` or ``datasets/``, read from its syntax tree without importing it.

Everything that a listing or a plan needs (summary, parameters with their kinds and defaults, class
attributes, hash of the code) comes from the source text; the file is imported only when one of its cells
runs or its data is opened.
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
from typing import Any, Literal

from bench.cell import Value
from bench.errors import AdapterError, SuiteError, did_you_mean
from bench.params import VOCABULARY, WORDS

Kind = Literal["method", "dataset"]
FOLDERS: dict[Kind, str] = {"method": "methods", "dataset": "datasets"}
#: A class is an adapter if it derives directly from one of these names.
BASES: dict[Kind, frozenset[str]] = {
    "method": frozenset({"Method"}),
    "dataset": frozenset({"Dataset", "OneVsRest", "InspectionSet"}),
}


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an adapter as its source text declares it.

    `kind` is None where the annotation says nothing that can be checked: any plain value is taken.
    """

    name: str
    annotation: str
    kind: Any
    default: Any

    def check(self, value: object) -> Value:
        """Return `value` as this parameter's kind: text (from a selector) is read, typed values are checked.

        Raises
        ------
        ValueError
            It is of another kind or out of range; the message says what is expected.
        """
        import pydantic

        expected = WORDS.get(self.annotation, self.annotation)
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
            raise ValueError(f"expected {expected}, got {value!r} ({error.errors()[0]['msg']})") from None
        if not isinstance(checked, str | int | float | bool):
            raise ValueError(f"expected {expected}, got {value!r}")
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
    code : str
        Hash of the syntax tree without comments and docstrings.
    problem : str
        Why it cannot be used (file, line, reason); empty if it can be read.
    """

    kind: Kind
    name: str
    path: Path
    summary: str = ""
    class_name: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    open_ended: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    problem: str = ""

    def selection(self, params: Mapping[str, object]) -> str:
        """Return how results are chosen with these parameters (see `bench.method.Method`)."""
        return str(params.get("selection") or self.attributes.get("selection", "last"))

    def check(
        self, given: Mapping[str, object], where: str, *, ignore_unknown: bool = False
    ) -> dict[str, Value]:
        """Return all parameters, defaults included, after checking those given.

        Parameters
        ----------
        where : str
            What an error should name: suite file and key.
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
        missing = [name for name in self.parameters if name not in values]
        if missing:
            raise SuiteError(
                f"{where}: {self.name} needs the parameter {missing[0]!r}: {self.name}[{missing[0]}=...]"
            )
        return values

    def load(self) -> type[Any]:
        """Import the adapter's file and return its class.

        Raises
        ------
        AdapterError
            The import fails; the message names file, line and reason.
        """
        if self.problem:
            raise AdapterError(self.problem)
        module_name = (
            f"_anobench_{self.kind}_{self.name}_{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}"
        )
        if module_name in sys.modules:
            return self._class_of(sys.modules[module_name])
        spec = importlib.util.spec_from_file_location(module_name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.path]
            line = frames[-1].lineno if frames else getattr(error, "lineno", 0)
            raise AdapterError(
                f"{self.path}, line {line}: {self.kind} {self.name!r} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        return self._class_of(module)

    def _class_of(self, module: Any) -> type[Any]:
        from bench.dataset import Dataset
        from bench.method import Method

        found = getattr(module, self.class_name)
        base = Method if self.kind == "method" else Dataset
        if not (isinstance(found, type) and issubclass(found, base)):
            raise AdapterError(f"{self.path}: {self.class_name} does not derive from bench.{base.__name__}")
        if abstract := sorted(getattr(found, "__abstractmethods__", ())):
            raise AdapterError(f"{self.path}: {self.class_name} lacks {', '.join(abstract)}()")
        return found


def _scalar(value: object) -> Value:
    """Read a value of unknown kind."""
    if not isinstance(value, str):
        if isinstance(value, int | float | bool) or value is None:
            return value
        raise SuiteError(f"a parameter must be a number, text or true/false, got {value!r}")
    try:
        read = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value.lower(), value))
    except (ValueError, SyntaxError):
        return value
    return read if isinstance(read, int | float | bool | str) or read is None else value


def read_adapter(kind: Kind, path: Path) -> Adapter | None:
    """Read one adapter file without importing it; None if the file holds no adapter."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Adapter(kind, path.stem, path, problem=f"{path}: cannot be read ({error})", code="unreadable")
    content_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        if "bench" not in text:
            return None
        problem = (
            f"{path}, line {error.lineno}: {kind} {path.stem!r} cannot be imported: SyntaxError: {error.msg}"
        )
        return Adapter(kind, path.stem, path, problem=problem, code=content_hash)
    found = [
        n for n in tree.body if isinstance(n, ast.ClassDef) and BASES[kind] & {_last_name(b) for b in n.bases}
    ]
    if not found:
        return None
    summary = (ast.get_docstring(tree) or "").split("\n")[0]
    try:
        parameters, open_ended = _parameters(found[-1])
    except ValueError as error:
        return Adapter(kind, path.stem, path, summary, problem=f"{path}: {error}", code=content_hash)
    return Adapter(
        kind,
        path.stem,
        path,
        summary,
        found[-1].name,
        parameters,
        open_ended,
        _literal_attributes(found[-1]),
        code_hash(tree),
    )


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _parameters(cls: ast.ClassDef) -> tuple[dict[str, Parameter], bool]:
    init = next((n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is None:
        return {}, False
    args = init.args
    positional = [*args.posonlyargs, *args.args][1:]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    parameters = {}
    for arg, default in zip([*positional, *args.kwonlyargs], [*defaults, *args.kw_defaults], strict=True):
        try:
            value = REQUIRED if default is None else ast.literal_eval(default)
        except ValueError:
            raise ValueError(
                f"line {arg.lineno}: the default of parameter {arg.arg!r} must be a literal (a number, text, "
                "true/false or None), so that it can be read without importing the adapter"
            ) from None
        parameters[arg.arg] = Parameter(arg.arg, *_kind(arg.annotation), value)
    return parameters, args.kwarg is not None


_ALLOWED_IN_ANNOTATION = (
    ast.Expression, ast.Name, ast.Load, ast.Subscript, ast.BinOp, ast.BitOr, ast.Constant, ast.Tuple,
    ast.UnaryOp, ast.USub,
)  # fmt: skip


def _kind(annotation: ast.expr | None) -> tuple[str, Any]:
    """Return an annotation's text and its type; anything outside the vocabulary means any plain value."""
    if annotation is None:
        return "any value", None
    text = ast.unparse(annotation)
    expression = ast.Expression(annotation)
    if all(isinstance(node, _ALLOWED_IN_ANNOTATION) for node in ast.walk(expression)):
        try:
            return text, eval(
                compile(expression, "<annotation>", "eval"), {"__builtins__": {}}, dict(VOCABULARY)
            )
        except (NameError, TypeError):
            pass
    return text, None


def _literal_attributes(cls: ast.ClassDef) -> dict[str, Any]:
    found = {}
    for node in cls.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def code_hash(tree: ast.AST) -> str:
    """Return a hash of a syntax tree without comments, docstrings and positions.

    It is the same on every Python version that parses the text to the same meaning.
    """
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()[:16]


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            first = value[0] if value else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                value = value[1:]
        if isinstance(node, ast.JoinedStr):
            # Python 3.12.0 and 3.12.1 put empty pieces into f-strings.
            value = [piece for piece in value if getattr(piece, "value", None) != ""]
        if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
            fields.append((name, _plain(value)))
    return (type(node).__name__, fields)
