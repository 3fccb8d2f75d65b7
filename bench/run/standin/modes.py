"""The two modes of torch behind the stand-in: before Python's calls, and below autograd."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.run.standin.memory import DeviceMemory, asking_line

GPU, HOST = torch.device("cuda", 0), torch.device("cpu")
#: Operators for which the host waits, since their result's shape or their errors depend on values.
WAITING = frozenset({
    "_local_scalar_dense", "nonzero", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "masked_select", "equal", "bincount", "histc", "_linalg_check_errors", "_linalg_eigh", "_linalg_svd",
    "linalg_eig", "linalg_lstsq",
})  # fmt: skip
#: Operators that take tensors of both sides.
MIXED = frozenset({"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_", "set_"})


def _tensors(value: Any, found: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the tensors in arguments or results."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _tensors(each, found)
    elif isinstance(value, dict):
        _tensors(list(value.values()), found)
    return found


def is_gpu(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == "cuda"


class Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Below autograd: each operator runs where its tensors are."""

    def __init__(self, device: DeviceMemory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, device = kwargs or {}, self._device
        if device.transfers:
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            given = _tensors(kwargs, _tensors(args, []))
            ours = [tensor for tensor in given if device.has(tensor)]
            if not ours:
                made = func(*args, **kwargs)
                for tensor in _tensors(made, []) if device.batches and not given else ():
                    device.take(tensor)
                return made
            name = func.overloadpacket.__name__
            self._check(name, func, args, [tensor for tensor in given if not device.has(tensor)])
            if not _is_view(func):
                device.counts.kernels[name] += 1
            if name in WAITING or _by_mask(name, args) or _of_unknown_length(name, func, kwargs):
                device.counts.waits[f"{name} {asking_line(device.watched)}"] += 1
            out = func(*args, **kwargs)
            if name == "_local_scalar_dense" or (name == "copy_" and not device.has(args[0])):
                return out
            for tensor in _tensors(out, []):
                device.take(tensor)
            return out

    def _check(self, name: str, func: Any, args: Any, others: Sequence[torch.Tensor]) -> None:
        """Count the copies of an operator, or refuse it if it mixes devices."""
        device = self._device
        if name == "copy_":
            target, source = args[:2]
            if device.has(target) != device.has(source):
                unhurried = len(args) > 2 and bool(args[2])
                device.copied("copy_", source, to_device=device.has(target), unhurried=unhurried)
            return
        if name == "_has_compatible_shallow_copy_type":  # asked of a parameter that moves
            return
        for tensor in others:
            if tensor.ndim == 0:  # CUDA takes numbers of the host as arguments of its kernels
                continue
            if name not in MIXED or not device.has(args[0]):
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 "
                    f"and cpu! ({func}, a tensor of shape {tuple(tensor.shape)})"
                )
            device.copied(name, tensor, to_device=True)


@functools.cache
def _is_view(func: Any) -> bool:
    """Return whether an operator gives a view of an argument, or memory that holds nothing yet."""
    kinds = [result.alias_info for result in func._schema.returns]
    views = bool(kinds) and all(kind is not None and not kind.is_write for kind in kinds)
    return views or func.overloadpacket.__name__ in ("_unsafe_view", "empty_like", "new_empty")


def _by_mask(name: str, args: Any) -> bool:
    """Return whether an index is a mask, whose places must be counted first."""
    if not name.startswith(("index", "_index_put")) or name in ("index_select", "index_add", "index_copy"):
        return False
    found = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else []
    masks = [each for each in found if each is not None and each.dtype in (torch.bool, torch.uint8)]
    filled = name != "index" and len(masks) == 1 and len(args) > 2 and args[2].numel() == 1
    return bool(masks) and not filled


def _of_unknown_length(name: str, func: Any, kwargs: Any) -> bool:
    return name == "repeat_interleave" and "Tensor" in str(func) and kwargs.get("output_size") is None


def _getter(name: str) -> Any:
    return getattr(torch.Tensor, name).__get__


class Calls(TorchFunctionMode):
    """Before Python's calls: what says where a tensor is, and what moves it."""

    def __init__(self, device: DeviceMemory) -> None:
        super().__init__()
        self._device = device
        self._answers: dict[Any, Callable[..., Any]] = {
            _getter("device"): lambda x: GPU if device.has(x) else x.device,
            _getter("is_cuda"): device.has,
            _getter("is_cpu"): lambda x: not device.has(x) and x.is_cpu,
            torch.Tensor.get_device: lambda x: 0 if device.has(x) else -1,
            torch.Tensor.numpy: self._numpy(torch.Tensor.numpy),
            torch.Tensor.__array__: self._numpy(torch.Tensor.__array__),
            torch.Tensor.to: self._to,
            torch.Tensor.cpu: lambda x, **kwargs: self._to(x, HOST, **kwargs),
            torch.Tensor.cuda: lambda x, _=0, **kwargs: self._to(x, GPU, **kwargs),
            torch.Tensor.tolist: self._tolist,
            torch.Tensor.pin_memory: self._pin,
            torch.Tensor.is_pinned: device.is_pinned,
            torch.Tensor.record_stream: lambda *_: None,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        answer = self._answers.get(func)
        if answer is not None:
            return answer(*args, **kwargs)
        device, name = self._device, getattr(func, "__name__", "")
        asked = kwargs.get("device")
        on = None if asked is None else is_gpu(asked)
        if asked is not None:
            kwargs["device"] = HOST
        ours = any(device.has(tensor) for tensor in _tensors(kwargs, _tensors(args, [])))
        self._check_generator(kwargs.get("generator"), ours if on is None else on)
        keeps = name.startswith("new_") or name.endswith("_like") or name == "__deepcopy__"
        if on is None and keeps and device.has(args[0]):
            on = True
        if (
            on is not None and ours != on and name in ("tensor", "as_tensor", "asarray")
        ) or name == "new_tensor":
            device.copied(name, torch.empty(0), to_device=bool(on))
        if name == "__deepcopy__" and on:
            return device.moved(args[0], functools.partial(func, *args, **kwargs), True)
        before, device.batches = (
            device.batches,
            ours and torch._C._functorch.maybe_current_level() is not None,
        )
        try:
            out = func(*args, **kwargs)
        finally:
            device.batches = before
        if on:
            for tensor in _tensors(out, []):
                device.take(tensor)
        return out

    def _check_generator(self, generator: Any, on: bool) -> None:
        if generator is not None and (generator.device.type == "cuda") != on:
            wanted = "cuda" if on else "cpu"
            raise RuntimeError(
                f"Expected a '{wanted}' device type for generator but found '{generator.device.type}'"
            )

    def _to(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        device, was = self._device, self._device.has(tensor)
        on, rest = was, list[Any]()
        for each in args:
            if isinstance(each, (str, torch.device)) or (
                isinstance(each, int) and not isinstance(each, bool)
            ):
                on = is_gpu(each)
                rest.append(HOST)
            elif isinstance(each, torch.Tensor):
                on = device.has(each)
                rest.append(each)
            else:
                rest.append(each)
        if kwargs.get("device") is not None:
            on, kwargs["device"] = is_gpu(kwargs["device"]), HOST
        make = functools.partial(tensor.to, *rest, **kwargs)
        if on == was:
            return make()
        unhurried = bool(kwargs.get("non_blocking")) or any(each is True for each in rest)
        device.copied("to", tensor, to_device=on, unhurried=unhurried)
        return device.moved(tensor, make, on)

    def _numpy(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def refused(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._device.has(tensor):
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
                    "to host memory first."
                )
            return func(tensor, *args, **kwargs)

        return refused

    def _tolist(self, tensor: torch.Tensor) -> Any:
        if self._device.has(tensor):
            self._device.counts.to_host[f"tolist {asking_line(self._device.watched)}"] += 1
        return tensor.tolist()

    def _pin(self, tensor: torch.Tensor, *_: Any) -> torch.Tensor:
        if self._device.has(tensor):
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        pinned = tensor.clone()
        self._device.pin(pinned)
        return pinned
