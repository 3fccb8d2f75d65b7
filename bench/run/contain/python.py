"""What Python and the operating system keep for a process: folder, variables, signals, streams, limits."""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.core.files import UMASK
from bench.run.contain.held import Held, Same

try:
    import resource
except ImportError:  # not a Unix
    resource = None  # type: ignore[assignment]


def held() -> list[Held]:
    """Return what is held of Python and of the system."""
    return [*_interpreter(), *_streams_and_hooks(), *_messages(), *_system(), *_signals()]


def _attributes(owner: Any, *names: str) -> tuple[Callable[[], Same], Callable[[Same], None]]:
    """Return how to read and to put back attributes, compared by identity."""
    missing = object()

    def read() -> Same:
        return Same(*(getattr(owner, name, missing) for name in names))

    def put(value: Same) -> None:
        for name, each in zip(names, value.objects, strict=True):
            if each is not missing:
                setattr(owner, name, each)

    return read, put


def _same_list(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return how to read and to put back a list that others hold: the list itself and what is in it."""

    def read() -> tuple[Same, Same]:
        there = getattr(owner, name)
        return Same(there), Same(*there)

    def put(value: tuple[Same, Same]) -> None:
        there: Any = value[0].objects[0]
        there[:] = value[1].objects
        setattr(owner, name, there)

    return read, put


def _interpreter() -> Iterator[Held]:
    yield Held("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield Held("the switch interval", sys.getswitchinterval, sys.setswitchinterval)
    yield Held("the limit of digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits)
    yield Held("the garbage collector", lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()), _put_gc)
    yield Held("sys.path", *_same_list(sys, "path"), by_imports="keep")
    yield Held("the import system", *_same_list(sys, "meta_path"), by_imports="keep")
    yield Held("the import hooks", *_same_list(sys, "path_hooks"), by_imports="keep")
    yield Held("sys.argv", *_same_list(sys, "argv"))
    yield Held("the decimal context", _decimal, lambda value: decimal.setcontext(value[0].objects[0].copy()))
    yield Held("the tracer", lambda: Same(sys.gettrace()), lambda value: sys.settrace(*value.objects))
    yield Held("the profiler", lambda: Same(sys.getprofile()), lambda value: sys.setprofile(*value.objects))
    yield Held("the default socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout)
    yield Held("the stack size of threads", threading.stack_size, threading.stack_size)


def _put_gc(value: tuple[bool, tuple[int, int, int], int]) -> None:
    enabled, threshold, debug = value
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    gc.enable() if enabled else gc.disable()


def _decimal() -> tuple[Same, tuple[Any, ...]]:
    """Return the decimal context, which is put back as a copy of itself, and what it says."""
    now = decimal.getcontext()
    said = (now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, str(now.traps))
    return _Any(now.copy()), said


class _Any(Same):
    """An object that travels along and is not compared."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Any)

    __hash__ = None


def _streams_and_hooks() -> Iterator[Held]:
    streams = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
    yield Held("Python's streams", *_attributes(sys, *streams))
    hooks = ("excepthook", "displayhook", "unraisablehook", "breakpointhook", "addaudithook")
    yield Held("sys's hooks", *_attributes(sys, *hooks))
    yield Held("the hook of threads", *_attributes(threading, "excepthook"))


def _messages() -> Iterator[Held]:
    yield Held("warnings' filters", *_filters(), by_imports="undo")
    shown = ("showwarning", "_showwarnmsg_impl", "formatwarning", "warn", "warn_explicit")
    yield Held("how warnings are shown", *_attributes(warnings, *shown), by_imports="undo")
    yield Held("logging", _logging, _put_logging, by_imports="undo")


def _filters() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    read, put = _same_list(warnings, "filters")

    def put_back(value: Any) -> None:
        put(value)
        getattr(warnings, "_filters_mutated", lambda: None)()

    return read, put_back


#: Loggers whose settings decide what the driver hears.
_LOGGERS = (None, "bench", "bench.run")


def _logging() -> tuple[Any, ...]:
    found: list[Any] = [logging.root.manager.disable, logging.raiseExceptions, Same(logging.lastResort)]
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        found += [logger.level, logger.disabled, logger.propagate, Same(*logger.handlers)]
        found += [Same(*logger.filters)]
    return tuple(found)


def _put_logging(value: tuple[Any, ...]) -> None:
    logging.disable(value[0])
    logging.raiseExceptions = value[1]
    logging.lastResort = value[2].objects[0]
    for at, name in enumerate(_LOGGERS):
        logger = logging.getLogger(name)
        level, logger.disabled, logger.propagate, handlers, filters = value[3 + 5 * at : 8 + 5 * at]
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers.objects, filters.objects


def _system() -> Iterator[Held]:
    yield Held("the working directory", read_folder, _put_folder)
    yield Held("environment variables", lambda: dict(_environ()), _put_environ, by_imports="undo")
    yield Held("the locale", lambda: locale.setlocale(locale.LC_ALL), _put_locale)
    yield Held("the time zone", lambda: time.tzname, lambda _: getattr(time, "tzset", lambda: None)())
    yield Held("the umask", _umask, os.umask)
    if resource is not None:
        kinds = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
        yield Held("the limits of the process", lambda: _limits(kinds), _put_limits)
    if hasattr(os, "getpriority"):
        yield Held(
            "the priority of the process",
            lambda: os.getpriority(os.PRIO_PROCESS, 0),
            lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
        )
    if hasattr(os, "sched_getaffinity"):
        yield Held(
            "the processor's cores", lambda: os.sched_getaffinity(0), lambda v: os.sched_setaffinity(0, v)
        )


def _environ() -> Any:
    return getattr(os.environ, "_data", os.environ)


def _put_environ(value: dict[Any, Any]) -> None:
    decode = getattr(os.environ, "decodevalue", str)
    names = {decode(name): decode(text) for name, text in value.items()}
    for name in [name for name in os.environ if name not in names]:
        del os.environ[name]
    os.environ.update(names)


def read_folder() -> str:
    return os.getcwd()  # noqa: PTH109


def _put_folder(value: str) -> None:
    os.chdir(value)


def _put_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _umask() -> int:
    """Return the umask; it is set for a moment only where it is not the usual one."""
    now = os.umask(UMASK)
    if now != UMASK:
        os.umask(now)
    return now


def _limits(kinds: list[int]) -> dict[int, tuple[int, int]]:
    return {kind: resource.getrlimit(kind) for kind in kinds}


def _put_limits(value: dict[int, tuple[int, int]]) -> None:
    for kind, (soft, hard) in value.items():
        if resource.getrlimit(kind) != (soft, hard):
            resource.setrlimit(kind, (soft, hard))


def _signals() -> Iterator[Held]:
    numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    numbers = [number for number in numbers if number < getattr(signal, "SIGRTMIN", 64)]
    yield Held("signal handlers", lambda: Same(*map(signal.getsignal, numbers)), lambda v: _put(numbers, v))
    if hasattr(signal, "pthread_sigmask"):
        yield Held(
            "blocked signals",
            lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
        )
    if hasattr(signal, "setitimer"):
        yield Held("an alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[1] > 0 or _armed(), _disarm)


def _armed() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _disarm(value: bool) -> None:
    if not value:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _put(numbers: Sequence[int], value: Same) -> None:
    for number, handler in zip(numbers, value.objects, strict=True):
        if signal.getsignal(number) is not handler and handler is not None:
            with contextlib.suppress(OSError):
                signal.signal(number, handler)  # type: ignore[arg-type]
