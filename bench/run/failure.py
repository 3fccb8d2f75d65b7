"""Failures in words: where in an adapter a cell failed, and what a run says of those of earlier runs."""

from __future__ import annotations

import ast
import linecache
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType

from bench.core.cell import Cell, Record
from bench.core.errors import ScoreError
from bench.suite.adapter import Adapter
from bench.train.method import Method

#: The most reasons of earlier failures that are told.
MOST_REASONS = 5


def place_of(error: BaseException, adapters: Sequence[Adapter], method: Method | None) -> str:
    """Return the last line of an adapter's code that ran, ``"…/dn2.py, line 9, in score: raise …"``.

    Parameters
    ----------
    adapters : sequence of Adapter
        Of the cell; the modules beside them count as theirs.
    method : Method or None
        Whose ``score`` is named where its result could not be used.

    Returns
    -------
    str
        Empty if none of their code took part.
    """
    folders = {str(adapter.path.parent) for adapter in adapters}
    returned = getattr(error, "method", None)
    for each in _chain(error):
        frames = traceback.extract_tb(each.__traceback__)
        ours = [frame for frame in frames if str(Path(frame.filename).parent) in folders]
        if ours and returned is None:
            return _place(ours[-1].filename, ours[-1].lineno or 0, ours[-1].name)
    if isinstance(error, ScoreError):
        for scoring in (returned, method, getattr(method, "final", None)):
            code = getattr(getattr(type(scoring), "score", None), "__code__", None)
            if isinstance(code, CodeType) and str(Path(code.co_filename).parent) in folders:
                return _place(code.co_filename, returning(code), code.co_name)
    return ""


def returning(code: CodeType) -> int:
    """Return the line of a function's ``return``; if it has several, that of its head."""
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:  # changed since
        return code.co_firstlineno
    lines = [
        inner.lineno
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name == code.co_name
        if min([each.lineno, *(one.lineno for one in each.decorator_list)]) == code.co_firstlineno
        for inner in ast.walk(each)
        if isinstance(inner, ast.Return)
    ]
    return lines[0] if len(lines) == 1 else code.co_firstlineno


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _place(file: str, line: int, function: str) -> str:
    code = linecache.getline(file, line).strip()
    inside = "" if function.startswith("<") else f", in {function}"
    return f"{file}, line {line}{inside}{f': {code}' if code else ''}"


def reason_of(record: Record) -> str:
    """Return why a cell failed in a line or two: the reason, and where in the adapter."""
    error = record.error or {}
    lines = error.get("reason", "").splitlines() or ["no reason recorded"]
    # An error of Python says little without its kind: KeyError: 'x'.
    kind = error.get("kind", "")
    named = error.get("traceback") and kind[:1].isupper() and lines[0] != kind
    said = f"{kind}: {lines[0]}" if named else lines[0]
    return f"{said}\n    {error['where']}" if error.get("where") else said


def earlier_failures(records: Mapping[str, Record], todo: Sequence[Cell]) -> list[str]:
    """Return lines on the failed cells that are not run again: how many, why, and how to run them."""
    again = {cell.key for cell in todo}
    reasons: dict[tuple[str, str], list[Record]] = {}
    for key, record in records.items():
        if record.status == "failed" and key not in again:
            why = (record.error or {}).get("where") or reason_of(record)
            reasons.setdefault((record.cell.method, why), []).append(record)
    if not reasons:
        return []
    number = sum(map(len, reasons.values()))
    cells = "1 cell" if number == 1 else f"{number:,} cells"
    lines = [f"{cells} failed in an earlier run and will not run again; --retry-failed runs them:"]
    for failed in list(reasons.values())[:MOST_REASONS]:
        others = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        lines.append(f"  {failed[0].cell}{others}: {reason_of(failed[0])}")
    if len(reasons) > MOST_REASONS:
        lines.append(f"  and {len(reasons) - MOST_REASONS:,} other reasons; the leaderboard has them")
    return lines
