"""A fitted method as plain JSON and named tensors, and back: one way for all methods, without pickle.

What `fit` left in a method's attributes is walked: tensors and arrays go to the side under the name of the
attribute that holds them, plain values stay as they are, and everything else is one of a few marked objects,
``{"tensor": …}``, ``{"object": …}``, ``{"function": …}``, whose classes and code `bench.train.allowed` finds.
A backbone's network is not stored: only its name, and the tensors that training changed.
"""

from __future__ import annotations

import collections
import functools
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.core.errors import AnobenchError
from bench.data.images import Images
from bench.features.trainable import Trainable
from bench.train.allowed import Adapters, class_name, function_name
from bench.train.method import Method
from bench.train.trees import kd_tree_parts, tree_parts

#: Attributes that whoever runs a method sets anew, or that only its training needs.
RUN = frozenset({"device", "auxiliary", "labelled", "checkpoints", "progress", "make_base", "mix_losses"})
TRAINING = frozenset({"curves"})
#: Nodes deeper than this are no method's.
DEEPEST = 200
DTYPES = {
    str(each).removeprefix("torch."): each
    for each in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8),
        *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64),
    )
}

Node = Any


class NotSaved(AnobenchError):
    """A fitted method holds something that cannot be saved; names the attribute."""


class Networks:
    """Backbones' networks that a method was given to train, and the parts of them that it may hold.

    Parameters
    ----------
    given : sequence of Trainable
    """

    def __init__(self, given: Sequence[Trainable]) -> None:
        self.used: list[Trainable] = []
        self._parts: dict[int, tuple[Trainable, dict[str, str]]] = {}
        for net in given:
            self._parts[id(net)] = (net, {})
            self._parts[id(net.preprocess)] = (net, {"part": "preprocess"})
            self._parts[id(net.backbone)] = (net, {"part": "backbone"})
            for name, module in net.module.named_modules(remove_duplicate=False):
                self._parts.setdefault(id(module), (net, {"module": name}))
            for name, tensor in tensors_of(net.module).items():
                self._parts.setdefault(id(tensor), (net, {"tensor": name}))

    def node(self, value: object) -> Node | None:
        """Return how a part of a network is named; None if it is of none."""
        if id(value) not in self._parts:
            return None
        net, part = self._parts[id(value)]
        if net not in self.used:
            self.used.append(net)
        return {"network": self.used.index(net), **part}


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a module's parameters and buffers by name, those outside of its ``state_dict`` included."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


class Encoder:
    """Turns what a method holds into nodes.

    Parameters
    ----------
    adapters : mapping of str to module
        ``method``, and ``base`` of a wrapper.
    networks : Networks
    base : Method or None
        An unfitted base of a wrapper.

    Attributes
    ----------
    tensors : dict of str to Tensor
        On the host.
    """

    def __init__(self, adapters: Adapters, networks: Networks, base: Method | None = None) -> None:
        self.adapters, self.networks, self.base = adapters, networks, base
        self.tensors: dict[str, torch.Tensor] = {}
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []

    def attributes(self, method: Method, unfitted: Method, where: str = "") -> Node:
        """Return what a method holds that one that was only made does not, by attribute.

        Raises
        ------
        NotSaved
            An attribute cannot be saved; says which and why.
        """
        left_out = RUN | TRAINING | set(type(method).training_only)
        self._remember(method)  # its functions hold it, and its base's theirs
        before, found = vars(unfitted), {}
        for name, value in vars(method).items():
            if name not in left_out and not (name in before and _same(value, before[name])):
                found[name] = self.value(value, f"{where}.{name}" if where else name)
        return found

    def network(self, number: int, fresh: Trainable) -> Node:
        """Return what training did to a network of `networks`.

        Parameters
        ----------
        fresh : Trainable
            The same backbone's, untouched.
        """
        net, changed = self.networks.used[number], {}
        known = tensors_of(fresh.module)
        where = f"network {number}"
        own = tensors_of(net.module)
        if own.keys() != known.keys() or any(own[name].shape != known[name].shape for name in own):
            raise NotSaved(f"{net.backbone.name}: its network has other layers than before it was trained")
        for name, tensor in own.items():
            if not _equal(tensor, known[name]):
                changed[name] = self.value(tensor.detach().clone(), f"{where}.{name}")
        training = [name for name, module in net.module.named_modules() if module.training]
        return {"backbone": net.backbone.name, "first": net.first, "training": training, "changed": changed}

    def value(self, value: Any, where: str, depth: int = 0) -> Node:
        """Return the node of a value; `where` names the attribute that holds it."""
        if depth > DEEPEST:
            raise NotSaved(f"attribute {where[:100]} holds itself, or is nested too deeply to be saved")
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if (part := self.networks.node(value)) is not None:
            return part
        if id(value) in self._seen:
            return {"ref": self._seen[id(value)]}
        found = self._container(value, where, depth + 1)
        return self._marked(value, where, depth + 1) if found is None else found

    def _container(self, value: Any, where: str, depth: int) -> Node | None:
        kind = type(value)
        if kind is list:
            return [self.value(each, f"{where}[{at}]", depth) for at, each in enumerate(value)]
        if kind is tuple:
            return {"tuple": [self.value(each, f"{where}[{at}]", depth) for at, each in enumerate(value)]}
        if kind in (set, frozenset):
            return {kind.__name__: [self.value(each, f"{where}[…]", depth) for each in sorted(value)]}
        if kind in (dict, collections.OrderedDict, types.MappingProxyType):
            pairs = [
                [self.value(key, f"{where}[…]", depth), self.value(each, f"{where}[{key!r}]", depth)]
                for key, each in value.items()
            ]
            return {"dict": pairs, "ordered": True} if kind is collections.OrderedDict else {"dict": pairs}
        if isinstance(value, torch.device):
            return {"device": "cpu" if value.type == "cpu" else "own"}
        if isinstance(value, torch.dtype) and str(value).removeprefix("torch.") in DTYPES:
            return {"torch dtype": str(value).removeprefix("torch.")}
        if isinstance(value, np.dtype) and value.names is None and value.kind in "biuf":
            return {"dtype": value.name}
        if isinstance(value, type) and issubclass(value, np.number):
            return {"scalar type": np.dtype(value).name}
        if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return {"scalar": value.dtype.name, "value": self.value(value.item(), where)}
        return None

    def _marked(self, value: Any, where: str, depth: int) -> Node:
        """Return the node of a value that may be met again."""
        if isinstance(value, torch.Tensor):
            found = self._tensor(value, where)
        elif isinstance(value, np.ndarray):
            found = self._array(value, where)
        elif isinstance(value, Images):
            pixels = [next(value[[at]].batches(1))[0] for at in range(len(value))]
            found = {"images": [self._tensor(each, f"{where}[{at}]") for at, each in enumerate(pixels)]}
        elif isinstance(value, Method):
            return self._base(value, where)
        elif isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            found = self._callable(value, where, depth)
        else:
            return self._object(value, where, depth)
        return self._numbered(value, found)

    def _numbered(self, value: object, node: dict[str, Any]) -> Node:
        self._remember(value)
        return {**node, "id": self._seen[id(value)]}

    def _remember(self, value: object) -> int:
        self._kept.append(value)  # as long as it lives no other object has its id
        return self._seen.setdefault(id(value), len(self._seen))

    def _tensor(self, value: torch.Tensor, where: str) -> dict[str, Any]:
        kind = str(value.dtype).removeprefix("torch.")
        plain = type(value) in (torch.Tensor, nn.Parameter) and value.layout == torch.strided
        if not plain or kind not in DTYPES:
            raise NotSaved(f"attribute {where} is a {type(value).__name__} of {value.dtype}")
        node: dict[str, Any] = {"tensor": self._put(value.detach().cpu(), where)}
        node |= {"dtype": kind, "shape": list(value.shape)}
        # Of one channel, say, other strides are contiguous too, but a convolution's last bits can differ.
        if value.stride() != torch.empty(value.shape, device="meta").stride() and _dense(value):
            node["stride"] = list(value.stride())
        if isinstance(value, nn.Parameter):
            node["parameter"] = value.requires_grad
        if value.device.type == "cpu":
            node["on"] = "host"
        return node

    def _array(self, value: NDArray[Any], where: str) -> dict[str, Any]:
        if type(value) is not np.ndarray or value.dtype.kind not in "biufU" or value.dtype.itemsize == 16:
            raise NotSaved(f"attribute {where} is an array of {value.dtype} ({type(value).__name__})")
        if value.dtype.kind == "U":
            return {"texts": value.ravel().tolist(), "shape": list(value.shape)}
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        native = value.astype(value.dtype.newbyteorder("="), order="C", copy=True)
        node = {"array": self._put(torch.from_numpy(native), where), "dtype": native.dtype.name}
        return node | {"shape": list(value.shape)} | ({"order": "F"} if fortran else {})

    def _put(self, tensor: torch.Tensor, where: str) -> str:
        name, number = where, 2
        while name in self.tensors:
            name, number = f"{where} ({number})", number + 1
        self.tensors[name] = tensor.contiguous().clone()
        return name

    def _base(self, value: Method, where: str) -> Node:
        if self.base is None or type(value) is not type(self.base):
            raise NotSaved(f"attribute {where} is another method, {type(value).__name__}, and not its base")
        number = self._remember(value)
        return {"base": self.attributes(value, self.base, where), "id": number}

    def _callable(self, value: Any, where: str, depth: int) -> dict[str, Any]:
        if isinstance(value, functools.partial):
            parts = {"args": list(value.args), "named": dict(value.keywords), "of": value.func}
            return {"partial": {k: self.value(v, f"{where}.{k}", depth) for k, v in parts.items()}}
        if isinstance(value, types.MethodType):
            owner, name = value.__self__, value.__name__
            if isinstance(owner, type) or not isinstance(
                vars_of_class(type(owner)).get(name), types.FunctionType
            ):
                raise NotSaved(f"attribute {where} is a function of {owner!r}")
            return {"bound": name, "of": self.value(owner, f"{where} (its object)", depth)}
        known = function_name(value, self.adapters)
        if known is None or value.__kwdefaults__:
            raise NotSaved(f"attribute {where} is the function {value.__qualname__} of {value.__module__}")
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        names = value.__code__.co_freevars
        return {
            "function": known[0],
            "number": known[1],
            "defaults": self.value(value.__defaults__, f"{where} (its defaults)", depth),
            "holds": {
                name: self.value(each, f"{where}.{name}", depth)
                for name, each in zip(names, held, strict=True)
            },
        }

    def _object(self, value: Any, where: str, depth: int) -> Node:
        kind = type(value)
        compiled = {"sklearn.tree._tree": tree_parts, "sklearn.neighbors._kd_tree": kd_tree_parts}
        if kind.__module__ in compiled:
            parts = compiled[kind.__module__](value)
            if parts is not None:
                mark = "tree" if kind.__name__ == "Tree" else "k-d tree"
                node = {name: self.value(each, f"{where}.{name}") for name, each in parts.items()}
                return self._numbered(value, {mark: node})
        name = class_name(kind, self.adapters)
        if not name:
            what = f"the class {value.__name__}" if isinstance(value, type) else f"a {kind.__qualname__}"
            raise NotSaved(f"attribute {where} is {what} of {getattr(value, '__module__', kind.__module__)}")
        number = self._remember(value)
        if isinstance(value, tuple):
            items = [self.value(each, f"{where}.{f}", depth) for f, each in zip(value._fields, value)]  # type: ignore[attr-defined]  # noqa: B905
            return {"named": name, "items": items, "id": number}
        state = {
            key: self.value(each, f"{where}.{key}", depth) for key, each in state_of(value, where).items()
        }
        return {"object": name, "state": state, "id": number}


def state_of(value: object, where: str = "") -> dict[str, Any]:
    """Return an object's attributes: of its dictionary, without what every module of torch has, and slots."""
    held = dict(getattr(value, "__dict__", {}))
    if isinstance(value, nn.Module):
        plain = vars(nn.Module())
        held = {k: v for k, v in held.items() if not (k in plain and not v and not plain[k])}
    for name in slots_of(type(value)):
        if hasattr(value, name):
            held[name] = getattr(value, name)
    for name in held:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise NotSaved(f"attribute {where} has an attribute of its own called {name!r}")
    return held


def slots_of(kind: type[Any]) -> list[str]:
    """Return the names of a class's slots."""
    found = [vars(each).get("__slots__", ()) for each in kind.__mro__]
    names = [name for slots in found for name in ([slots] if isinstance(slots, str) else slots)]
    return [name for name in names if not name.startswith("__")]


def vars_of_class(kind: type[Any]) -> Mapping[str, Any]:
    """Return what a class and its bases define."""
    return collections.ChainMap(*(vars(each) for each in kind.__mro__))  # type: ignore[arg-type]


def _same(value: Any, before: Any) -> bool:
    plain = type(value) is type(before) and isinstance(value, bool | int | float | str | None)
    return value is before or (plain and repr(value) == repr(before))


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two tensors have the same bits."""
    if a.dtype != b.dtype:
        return False
    held = [each.detach().cpu().contiguous().reshape(-1) for each in (a, b)]
    return bool(torch.equal(*(each.view(torch.uint8) if each.numel() else each for each in held)))


def _dense(value: torch.Tensor) -> bool:
    """Return whether a tensor's strides can be made again without wasting memory."""
    if not value.numel() or any(s == 0 and n > 1 for s, n in zip(value.stride(), value.shape, strict=True)):
        return False
    extent = 1 + sum(s * (n - 1) for s, n in zip(value.stride(), value.shape, strict=True))
    return extent <= 2 * value.numel()
