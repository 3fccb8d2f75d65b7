"""From cells to records: preparing, launching, scheduling, running, measuring.

May import report (to hand back results), metrics, suite and all below it; only cli lies above.
Start at `prepare`, which says what is left to run, and `launch`, which runs it through an executor.
`driver` hands out work, `retry` says what is tried again when a worker dies, `ending` how a run stops
early; `runner` runs one cell and `evaluation` asks the metrics.
"""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """Makes ``bench.run(...)`` a call, although ``bench.run`` is this package."""

    def __call__(self, *suite: Any, **options: Any) -> Any:
        from bench.run.launch import run

        return run(*suite, **options)


sys.modules[__name__].__class__ = _Room
