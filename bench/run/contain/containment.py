"""A block in which a cell's code runs: what it changes is put back, what it raises is its own."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.core.errors import Preempted, from_outside
from bench.run.contain.surroundings import Changes, Surroundings
from bench.train.checkpoint import StopRequested, stop_asked

#: In torch's warnings of such operations, after their name.
_VARIES = "does not have a deterministic implementation"


@dataclass(slots=True)
class Contained:
    """What a block changed, once it is over."""

    changes: Changes = field(default_factory=Changes)
    #: Operations that may give other bits each time, as torch warned.
    varying: list[str] = field(default_factory=list)


class Containment:
    """Keeps what cells do to their process from each other.

    Parameters
    ----------
    notes_varying : bool
        Note operations that torch warns of as not deterministic; on a CPU there is nothing to note.

    Attributes
    ----------
    spoilt : bool
        A cell changed this process for good: it should run nothing more.
    """

    def __init__(self, *, notes_varying: bool = False) -> None:
        self.spoilt, self._notes_varying = False, notes_varying
        self._surroundings = Surroundings()

    @contextmanager
    def around(self, who: str) -> Iterator[Contained]:
        """Put back what the block changes of the process; end a child that it forked and that comes here."""
        pid, contained = os.getpid(), Contained()
        with _noting(contained.varying) if self._notes_varying else contextlib.nullcontext():
            self._surroundings.take(who)
            try:
                yield contained
            finally:
                if os.getpid() != pid:
                    os._exit(1)
                contained.changes = self._surroundings.restore()
                self.spoilt = self.spoilt or bool(contained.changes.lasting)

    @staticmethod
    def own(error: BaseException) -> BaseException:
        """Return an error of the cell's own; raise one that ends the run.

        A time-out is the cell's own; so are a KeyboardInterrupt that its code raised, and a stop that nobody
        asked for.
        """
        stops = isinstance(error, Preempted) or (isinstance(error, StopRequested) and stop_asked())
        if stops or (isinstance(error, KeyboardInterrupt) and from_outside(error)):
            raise error
        return error


@contextmanager
def _noting(found: list[str]) -> Iterator[None]:
    """Note operations without a deterministic implementation, rather than show torch's warnings of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{_VARIES}")
        shown = warnings.showwarning

        def note(message: Warning | str, *more: Any) -> None:
            name, varies, _ = str(message).partition(f" {_VARIES}")
            if varies:
                found.append(name)
            else:
                shown(message, *more)

        warnings.showwarning = note  # type: ignore[assignment]
        yield


def flags_of_changes(contained: Sequence[Contained]) -> tuple[str, ...]:
    """Return what a record says of what its cell changed."""
    return tuple(dict.fromkeys(flag for each in contained for flag in each.changes.flags))
