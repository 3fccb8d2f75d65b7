"""What a worker process tells its executor, beside the events that go on to the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.run.executors.base import Extracted, Finished, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """It can run jobs, or never will.

    Attributes
    ----------
    device_bytes : int
        Memory of its GPU that nobody used when it came; 0 on a CPU.
    environment : dict
        `Record.environment` of what it will run.
    problem : str
        Why it will run nothing.
    """

    device_bytes: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The job has begun."""

    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What was left of the job is not run; a checkpoint may be there."""

    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """The library's warning, to be logged there."""

    logger: str
    level: int
    text: str


Message = Ready | Began | Stopped | Warned | Progress | Finished | Extracted
