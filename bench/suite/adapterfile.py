"""Reading an adapter file's source text, without importing it."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import Any

from bench.core import checks
from bench.core.errors import said
from bench.core.params import VOCABULARY
from bench.suite.adapter import REQUIRED, Adapter, Kind, Parameter
from bench.suite.classes import chosen, derived, lineage_of
from bench.suite.libraries import imported

#: Where adapters are in a bench folder.
FOLDERS: dict[Kind, str] = {"method": "methods", "dataset": "datasets"}
#: A class is an adapter if it derives directly from one of these names.
BASES: dict[Kind, frozenset[str]] = {
    "method": frozenset({"Method", "Wrapper", "DeviationLearning", "GeometricMethod"}),
    "dataset": frozenset({"Dataset", "OneVsRest", "InspectionSet"}),
}


def read_adapter(kind: Kind, path: Path) -> Adapter | None:
    """Read one adapter file without importing it; None if it contains no adapter."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Adapter(kind, path.stem, path, problem=f"{path}: cannot be read ({error})", code="unreadable")
    return _adapter(kind, path, text)


@functools.lru_cache(maxsize=512)
def _adapter(kind: Kind, path: Path, text: str) -> Adapter | None:
    """Return the adapter in a file's text; a run that plans and computes in one process needs it twice."""
    content_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if "bench" not in text:
            return None
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        why = f"SyntaxError: {error.msg}" if isinstance(error, SyntaxError) else said(error)
        problem = f"{path}{line}: {kind} {path.stem!r} cannot be imported: {why}"
        return Adapter(kind, path.stem, path, problem=problem, code=content_hash)
    classes, detector = derived(tree, BASES[kind]), False
    if not classes and kind == "method":
        classes, detector = _detectors(tree), True
    if not classes:
        return None
    summary = (ast.get_docstring(tree) or "").split("\n")[0]
    try:
        lineage = lineage_of(chosen(classes, path.stem), classes)
        parameters, open_ended = _parameters(lineage)
        if detector:
            parameters = {"backbone": Parameter("backbone", "str", str, "default")} | parameters
        code = code_hash(tree)
    except RecursionError:
        problem = f"{path}: {kind} {path.stem!r} cannot be read: its expressions are nested too deeply"
        return Adapter(kind, path.stem, path, summary, problem=problem, code=content_hash)
    except ValueError as error:
        return Adapter(kind, path.stem, path, summary, problem=f"{path}: {error}", code=content_hash)
    attributes = {
        name: value for cls in reversed(lineage) for name, value in _literal_attributes(cls).items()
    }
    if detector:
        own = {"computes_on": "cpu"} | ({"stochastic": True} if "random_state" in parameters else {})
        attributes = own | attributes
    return Adapter(
        kind,
        path.stem,
        path,
        summary,
        lineage[0].name,
        parameters,
        open_ended,
        attributes,
        frozenset(node.name for cls in lineage for node in cls.body if isinstance(node, ast.FunctionDef)),
        SAME_RESULTS.get(code, code),
        source=text,
        imports=imported(tree),
        detector=detector,
    )


def _detectors(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes with ``fit`` and ``decision_function`` or ``score_samples``, by name."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if "fit" in names and names & {"decision_function", "score_samples"}:
                found[node.name] = node
    return found


def _parameters(lineage: list[ast.ClassDef]) -> tuple[dict[str, Parameter], bool]:
    methods = (n for cls in lineage for n in cls.body if isinstance(n, ast.FunctionDef))
    init = next((n for n in methods if n.name == "__init__"), None)
    if init is None:
        return {}, False
    args = init.args
    positional = [*args.posonlyargs, *args.args][1:]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    parameters = {}
    for arg, default in zip([*positional, *args.kwonlyargs], [*defaults, *args.kw_defaults], strict=True):
        try:
            value = REQUIRED if default is None else ast.literal_eval(default)
            if value is not REQUIRED:
                checks.parameter(value, arg.arg)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(
                f"line {arg.lineno}: the default of parameter {arg.arg!r} must be a literal (finite number, "
                "text, true/false or None), so that it can be read without importing the adapter"
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
        except Exception:  # the vocabulary does not fit: any plain value
            pass
    return text, None


def _literal_attributes(cls: ast.ClassDef) -> dict[str, Any]:
    found = {}
    for node in cls.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
    return found


#: Renamed names of the engine, and their old names: adapters are hashed with the old ones, so that renaming,
#: which changes no score, changes no key.
RENAMED = {
    "anomaly_pool": "holdout",
    "anomaly_pool_types": "holdout_types",
    "PixelRows": "Pictures",
    "auxiliary": "extra",
    "auxiliary_images": "extra_images",
    "derive_seed": "seed_of",
    "feature_maps": "patches",
    "generator_for": "chance",
    "has_anomaly_pool": "has_holdout",
    "image_column": "picture",
}


#: Class attributes that change no score, and so no key: what a method needs, for the scheduler, what of it is
#: saved, and what is known of a data set, for readers.
DECLARATIONS = frozenset(
    {
        "needs",
        "layers_in",
        "computes_on",
        "no_backbone_with",
        "training_only",
        "facts",
        "label",
        "extra",
        "paths",
        "known_empty_masks",
    }
)

#: Hashes of adapters whose text changed but whose results did not (they accept more folders, say), and the
#: earlier hash under which their cells stay known. After any other change a text has a hash that is not here,
#: so that its cells get new keys by themselves.
SAME_RESULTS: dict[str, str] = {
    "cfe3c1b6a6981225": "4258c19e46853e44",  # reverse_distillation
    "4d284b6971fb7495": "257e6ec24f955121",  # joint_optimization
    "d9ee437f6adbea6e": "68d4360e2572746c",  # deep_sad
    "5f3228753f1d883f": "28a895e451282a3b",  # hscl
    "2496a8b905093131": "3af81a6d32c23b2d",  # mahalanobis
    "d9f0853fa2beef54": "2a1a29d7b2c6c6e0",  # panda
    "2d16c26f78762332": "d71105cd4ba93d01",  # whitening
    "e084bc8d6105d52f": "02b32ee83098a41d",  # cap
    "070ed131a2a65e68": "b519c7bab08ca098",  # plume
    "4172f2237642d504": "732f7ced8fcc56f6",  # sla2p
    "53c879c1dd7847d7": "3e0d1ea7d9e30eeb",  # adl
    "c1895219fa40d5a4": "3b9af275fc1fe2f9",  # devnet
    "0421df2dc433be6d": "49ecae125f436667",  # mhrot
    "2221dc49bae6b367": "88d2657f7c02b0fc",  # msc
    "8b36a7a683a8279c": "bab7880da081b90b",  # rotnet
    "da518b4ee1cb87d6": "07d9e68f7e25a0ce",  # birds200
    "248b09d8f05677e0": "34dc3a259b90d6af",  # btad
    "5fa63d1c1cc27a41": "659f7b948689b24e",  # cats_vs_dogs
    "e6efcf9bdd39831f": "58759b4672d78301",  # flowers102
    "d5db6c1f4513924b": "6a00ce7017374cb9",  # folder
    "715ee20b3985adda": "9872ed4940a2b171",  # deep_svdd_features
    "f14087e02fb8a766": "a4ae3aad3efabb79",  # kolektor
    "6690a523d1e709ca": "b69f6a98dad2b0fe",  # magnetic_tile
    "9487040254ba6c50": "156ad76ef83cbc44",  # mvtec
    "1abde574aee494df": "32d22a3923501e7f",  # padim
    "908ac023f7e4ec71": "4d92ca9336933395",  # real_iad
    "3bbd4ef5be228efe": "26579238ba2e1b78",  # spark
    "4794f0acf22ebdd8": "f9a88354ab9f1e52",  # visa
}


def code_hash(tree: ast.AST) -> str:
    """Return a hash of a syntax tree without comments, docstrings and positions.

    It is the same on all Python versions that parse the text to the same meaning, and before and after the
    engine's own names changed (`RENAMED`).
    """
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()[:16]


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return RENAMED.get(node, node) if isinstance(node, str) else node
    if isinstance(node, ast.Constant):
        return ("Constant", [] if node.value is None else [("value", node.value)])
    fields = []
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.ImportFrom) and name == "names" and RENAMED.keys() & {a.name for a in value}:
            # In the order in which linters sort imported names: classes first.
            value = sorted(value, key=lambda alias: _import_order(RENAMED.get(alias.name, alias.name)))
        if name == "body" and isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            first = value[0] if value else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                value = value[1:]
        if isinstance(node, ast.ClassDef) and name == "body":
            value = [item for item in value if not DECLARATIONS.intersection(_assigned(item))]
        if isinstance(node, ast.JoinedStr):
            # Python 3.12.0 and 3.12.1 put empty pieces into f-strings.
            value = [piece for piece in value if getattr(piece, "value", None) != ""]
        if value not in (None, []) and name not in ("ctx", "kind", "type_comment"):
            fields.append((name, _plain(value)))
    return (type(node).__name__, fields)


def _assigned(node: ast.AST) -> list[str]:
    """Return the names that a class attribute's line assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _import_order(name: str) -> tuple[bool, str]:
    return name[0].islower(), name.lower()
