"""From cells to records: launching, scheduling, executors, the runner and what it measures.

May import report (to return results), suite and all below it; only cli is above.
Start at `launch`, which leads from a suite to the driver, an executor and its runners.
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
