"""What torch and numpy keep for a process: default types, modes, flags of precision, hooks."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.run.contain.held import Held, Same


def held() -> list[Held]:
    """Return what is held of torch and numpy; what this version of torch does not have is left out."""
    found: list[Held] = []
    for each in (*_defaults(), *_modes(), *_precision(), *_hooks(), *_numpy()):
        with contextlib.suppress(Exception):
            each.read()
            found.append(each)
    return found


def _flag(name: str, owner: Callable[[], Any], attribute: str) -> Held:
    """Return an attribute that says yes or no, or a number."""

    def read() -> Any:
        return getattr(owner(), attribute)

    def put(value: Any) -> None:
        setattr(owner(), attribute, value)

    return Held(name, read, put)


def _defaults() -> Iterator[Held]:
    yield Held("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield Held("torch's threads", torch.get_num_threads, torch.set_num_threads)
    yield Held("torch's threads between operations", torch.get_num_interop_threads, None)
    yield Held("torch's default device", _device, _put_device)
    yield Held("torch's default tensor type", lambda: torch.tensor([]).type(), None)
    printing = torch._tensor_str.PRINT_OPTS
    yield Held(
        "torch's print options",
        lambda: dict(vars(printing)) or {k: getattr(printing, k) for k in ("precision", "threshold")},
        lambda value: vars(printing).update(value),
    )
    yield Held("torch's warnings", torch.is_warn_always_enabled, torch.set_warn_always)
    generator = lambda: Same(torch.default_generator)  # noqa: E731
    yield Held("torch's generator", generator, _put_generator)


def _device() -> Same:
    return Same(getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None))


def _put_device(value: Same) -> None:
    (context,) = value.objects
    torch.set_default_device(None if context is None else context.device)  # type: ignore[attr-defined]


def _put_generator(value: Same) -> None:
    torch.default_generator = value.objects[0]  # type: ignore[assignment]


def _modes() -> Iterator[Held]:
    yield Held("torch's grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled)
    yield Held("torch's inference mode", torch.is_inference_mode_enabled, None)
    yield Held(
        "torch's anomaly detection",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.set_anomaly_enabled(*value),
    )
    functions, dispatch = torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack
    yield Held("torch's function modes", functions, _pop(functions, torch._C._pop_torch_function_stack))
    yield Held("torch's dispatch modes", dispatch, _pop(dispatch, torch._C._pop_torch_dispatch_stack))
    for kind in ("cpu", "cuda"):
        yield Held(f"torch's autocast ({kind})", partial(_autocast, kind), partial(_put_autocast, kind))
    yield Held("torch's autocast cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled)
    yield Held(
        "torch's threads of gradients",
        torch.autograd.is_multithreading_enabled,
        torch._C._set_multithreading_enabled,
    )


def _autocast(kind: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)


def _put_autocast(kind: str, value: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled(kind, value[0])
    torch.set_autocast_dtype(kind, value[1])


def _pop(number: Callable[[], int], pop: Callable[[], object]) -> Callable[[int], None]:
    """Return how to shorten a stack to what it was; what was taken off cannot be put back."""

    def put(value: int) -> None:
        while number() > value:
            pop()

    return put


#: Smaller than any normal number: 0 where denormal numbers are flushed.
_DENORMAL = np.array([5e-324])


def _flushes() -> bool:
    return not (_DENORMAL * 1.0).any()


def _precision() -> Iterator[Held]:
    yield Held(
        "torch's deterministic algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    )
    yield _flag("torch's fill of new tensors", lambda: torch.utils.deterministic, "fill_uninitialized_memory")
    yield Held(
        "torch's precision of products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    )
    for name in ("enabled", "benchmark", "deterministic", "allow_tf32", "benchmark_limit"):
        yield _flag(f"cudnn's flag {name}", lambda: torch.backends.cudnn, name)
    products = (
        "allow_tf32",
        "allow_fp16_reduced_precision_reduction",
        "allow_bf16_reduced_precision_reduction",
    )
    for name in products:
        yield _flag(f"CUDA's flag {name}", lambda: torch.backends.cuda.matmul, name)
    yield Held("oneDNN's flag", torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled)
    for kind in ("flash", "mem_efficient", "math"):
        read, put = f"{kind}_sdp_enabled", f"enable_{kind}_sdp"
        yield Held(
            f"torch's attention ({kind})",
            getattr(torch.backends.cuda, read),
            getattr(torch.backends.cuda, put),
        )
    yield Held("denormal numbers", _flushes, torch.set_flush_denormal)


def _hooks() -> Iterator[Held]:
    modules = torch.nn.modules.module
    names = [name for name in vars(modules) if name.startswith("_global_") and "hooks" in name]
    tables = [table for table in map(vars(modules).get, names) if isinstance(table, dict)]
    yield Held("hooks on all torch modules", lambda: [dict(each) for each in tables], _put_tables(tables))
    autograd: Any = torch._C._autograd
    yield Held("hooks on saved tensors", lambda: autograd._saved_tensors_hooks_is_enabled(), None)
    yield Held("hooks on all optimisers", _optimiser_hooks, _put_optimiser_hooks)


def _put_tables(tables: list[dict[Any, Any]]) -> Callable[[list[dict[Any, Any]]], None]:
    def put(value: list[dict[Any, Any]]) -> None:
        for table, before in zip(tables, value, strict=True):
            table.clear()
            table.update(before)

    return put


def _optimiser_tables() -> list[dict[Any, Any]]:
    held = vars(torch.optim.optimizer)
    return [held[name] for name in ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")]


def _optimiser_hooks() -> list[dict[Any, Any]]:
    return [dict(table) for table in _optimiser_tables()]


def _put_optimiser_hooks(value: list[dict[Any, Any]]) -> None:
    _put_tables(_optimiser_tables())(value)


def _numpy() -> Iterator[Held]:
    chance: Any = np.random
    yield Held("numpy's error state", np.geterr, lambda value: np.seterr(**value))
    yield Held(
        "numpy's error call", lambda: Same(np.geterrcall()), lambda value: np.seterrcall(*value.objects)
    )
    yield Held("numpy's print options", np.get_printoptions, lambda value: np.set_printoptions(**value))
    yield Held("numpy's buffer size", np.getbufsize, np.setbufsize)
    yield Held(
        "numpy's global generator",
        lambda: Same(chance.get_bit_generator()),
        lambda value: chance.set_bit_generator(*value.objects),
    )
    yield Held("Python's generator", lambda: Same(_PYTHONS._inst, random.random), _put_random)


#: Without types: some of it is private.
_PYTHONS: Any = random


def _put_random(value: Same) -> None:
    _PYTHONS._inst, _PYTHONS.random = value.objects
