"""User mistakes. The command line prints these without a traceback and exits with status 2."""

from __future__ import annotations

import difflib
import opcode
import signal
from collections.abc import Iterable


class AnobenchError(Exception):
    """A mistake that a user can mend; the message says what was given, what is allowed and what to do.

    What was given may be a file of garbage: of a very long message only both ends are kept.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(cut(each) if isinstance(each, str) else each for each in args))


class Interruption(BaseException):
    """Ends a cell from outside: a limit, the end of the run. Hence no `Exception`."""


class Preempted(Interruption):
    """The machine is taken back: the job ends here and goes on elsewhere; `reason` is what ends it."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


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


def said(error: BaseException) -> str:
    """Return an error's text, or its kind; even of one that cannot be put into words."""
    try:
        text = plain_text(str(error))
    except BaseException:
        text = "its text cannot be made"
    return text or kind_of(error)


def from_outside(error: BaseException) -> bool:
    """Return whether an error ends what runs for a reason of its own, rather than being raised by its code.

    A KeyboardInterrupt that a ``raise`` statement made is the code's; one by Ctrl-C comes between two others.
    """
    if isinstance(error, Interruption):
        return True
    if not isinstance(error, KeyboardInterrupt) or error.__traceback__ is None:
        return False
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] != opcode.opmap["RAISE_VARARGS"]


def kind_of(error: BaseException) -> str:
    """Return the name of an error's class."""
    return plain_text(type.__dict__["__name__"].__get__(type(error)))[:100]


def cut(text: str, most: int = 10_000) -> str:
    """Return a text's beginning and end, if it is longer than `most`."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


#: Characters that a terminal or a file would take for something else, but for ends of lines and tabs.
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x2028, 0x2029], " ")


def plain_text(text: str, most: int = 20_000) -> str:
    """Return a text that any file and terminal can take: without control characters, cut at `most`."""
    text = cut(str.__str__(text), most)
    return text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)


def exit_words(status: int) -> str:
    """Return how a process ended, by its exit status, which is minus its signal if one killed it.

    Examples
    --------
    >>> bench.core.errors.exit_words(3)
    'ended with exit status 3'
    >>> bench.core.errors.exit_words(-9)
    'was killed by signal 9 (SIGKILL)'
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = f" ({signal.Signals(-status).name})"
    except ValueError:
        name = ""
    return f"was killed by signal {-status}{name}"


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest allowed name, then the allowed names.

    Examples
    --------
    >>> bench.did_you_mean("dn3", ["dn2", "kde"])
    "; did you mean 'dn2'? Available: dn2, kde"
    """
    names = sorted(set(allowed))
    near = nearest(given, names)
    listed = ", ".join(names) if names else "none"
    return f"; did you mean {near!r}? Available: {listed}" if near else f"; available: {listed}"


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return the allowed name nearest to the given one; empty if none is near."""
    near = difflib.get_close_matches(given, sorted(set(allowed)), n=1, cutoff=0.6)
    return near[0] if near else ""
