"""A block in which a cell's code runs: what it changes is put back, what it raises is its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.core.errors import Preempted, from_outside
from bench.run.contain.surroundings import Changes, Surroundings
from bench.train.checkpoint import StopRequested, stop_asked


@dataclass(slots=True)
class Contained:
    """What a block changed, once it is over."""

    changes: Changes = field(default_factory=Changes)


class Containment:
    """Keeps what cells do to their process from each other.

    Attributes
    ----------
    spoilt : bool
        A cell changed this process for good: it should run nothing more.
    """

    def __init__(self) -> None:
        self.spoilt = False
        self._surroundings = Surroundings()

    @contextmanager
    def around(self, who: str) -> Iterator[Contained]:
        """Put back what the block changes of the process; end a child that it forked and that comes here."""
        pid, contained = os.getpid(), Contained()
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


def flags_of_changes(contained: Sequence[Contained]) -> tuple[str, ...]:
    """Return what a record says of what its cell changed."""
    return tuple(dict.fromkeys(flag for each in contained for flag in each.changes.flags))
