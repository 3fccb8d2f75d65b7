"""User mistakes. The command line prints these without a traceback and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnobenchError(Exception):
    """A mistake that a user can mend; the message says what was given, what is allowed and what to do."""


class SuiteError(AnobenchError):
    """A suite file that cannot be used: names file, key, what was given and what is allowed."""


class SelectorError(AnobenchError):
    """A selector such as ``dn2[k=5]`` that cannot be parsed or matches nothing."""


class AdapterError(AnobenchError):
    """An adapter file that cannot be read or imported: names file, line and reason."""


class DataError(AnobenchError):
    """Data that is missing, incomplete or damaged: names the file or folder and the mend."""


class BackboneError(AnobenchError):
    """A backbone that cannot be built: unknown name, missing or wrong weights, unknown layer."""


class ArchiveError(AnobenchError):
    """An archive that cannot be read or written."""


class PublishedError(AnobenchError):
    """A file of published numbers that cannot be used: names file, line, column and what is allowed."""


class FigureError(AnobenchError):
    """A figure that cannot be drawn: says what is missing, or what can be chosen."""


class FitError(AnobenchError):
    """Training that cannot go on (a NaN or infinite loss, too few images); becomes a failed record."""


class ScoreError(AnobenchError):
    """Scores that cannot be evaluated (NaN, wrong number, wrong shape); becomes a failed record.

    `method` is the one that returned them, if it is not the cell's own.
    """

    method: object = None


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest allowed name, then the allowed names."""
    names = sorted(set(allowed))
    near = nearest(given, names)
    listed = ", ".join(names) if names else "none"
    return f"; did you mean {near!r}? Available: {listed}" if near else f"; available: {listed}"


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return the allowed name nearest to the given one; empty if none is near."""
    near = difflib.get_close_matches(given, sorted(set(allowed)), n=1, cutoff=0.6)
    return near[0] if near else ""
