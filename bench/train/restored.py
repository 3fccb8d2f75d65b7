"""A method made from what `bench.train.skeleton` wrote; nothing of the file is run, and all is checked."""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from bench.data.given import PixelSource
from bench.data.images import Images, Provider
from bench.features.trainable import Trainable
from bench.train.allowed import Adapters, class_of, function_of
from bench.train.method import Method
from bench.train.skeleton import DEEPEST, DTYPES, Node, slots_of, tensors_of, vars_of_class
from bench.train.trees import check_machine, kd_tree_of, tree_of


class Decoder:
    """Makes values of nodes.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    adapters : mapping of str to module
        As for `bench.train.skeleton.Encoder`.
    provider : Provider
        Of images that the method kept, and of networks.
    device : torch.device
    make_base : callable, optional
        Makes an unfitted base of a wrapper.

    Raises
    ------
    ValueError
        From all functions: a node is none, or does not fit; says which and why.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        adapters: Adapters,
        provider: Provider,
        device: torch.device,
        make_base: Callable[[], Method] | None = None,
    ) -> None:
        self.tensors, self.adapters, self.provider, self.device = tensors, adapters, provider, device
        self.make_base = make_base
        self.networks: list[Trainable] = []
        #: What images that the method kept come from; whoever holds the method must hold these.
        self.sources: list[PixelSource] = []
        self._known: dict[int, Any] = {}
        self._marks: dict[str, Callable[[Node, int], Any]] = {
            "network": self._network_part,
            "tensor": self._tensor,
            "array": self._array,
            "float": lambda node, _: float(str(node["float"])),
            "tuple": lambda node, depth: tuple(self._all(node["tuple"], depth)),
            "set": lambda node, depth: set(self._all(node["set"], depth)),
            "frozenset": lambda node, depth: frozenset(self._all(node["frozenset"], depth)),
            "dict": self._dict,
            "device": lambda node, _: torch.device("cpu") if node["device"] == "cpu" else self.device,
            "torch dtype": lambda node, _: DTYPES[node["torch dtype"]],
            "dtype": lambda node, _: _number_type(node["dtype"]),
            "scalar type": lambda node, _: _number_type(node["scalar type"]).type,
            "scalar": lambda node, d: _number_type(node["scalar"]).type(self.value(node["value"], d)),
            "ref": lambda node, _: self._known[node["ref"]],
            "texts": lambda node, _: np.array(list(map(str, node["texts"])), str).reshape(node["shape"]),
            "images": self._images,
            "partial": self._partial,
            "bound": self._bound,
            "function": self._function,
            "tree": lambda node, depth: tree_of(self._named(node["tree"], depth)),
            "k-d tree": lambda node, depth: kd_tree_of(self._named(node["k-d tree"], depth)),
        }

    def attributes(self, method: Method, state: Node, depth: int = 0) -> None:
        """Set what a fitted method held; the first is the method itself."""
        self._known.setdefault(0, method)
        for name, node in _table(state).items():
            if not name.isidentifier() or name.startswith("__"):
                _refuse(f"an attribute is called {name[:50]!r}")
            setattr(method, name, self.value(node, depth + 1))

    def network(self, node: Node) -> None:
        """Make the next network: the backbone's, as training left it."""
        net = self.provider.network(str(node["backbone"]))
        assert isinstance(net, Trainable)
        if node["first"] is not None:
            net.thaw(int(node["first"]))
        known, training = tensors_of(net.module), {str(name) for name in node["training"]}
        for name, changed in _table(node["changed"]).items():
            value = self.value(changed)
            if name not in known or known[name].shape != getattr(value, "shape", None):
                _refuse(f"the network {node['backbone']} has no {name[:100]!r} of this shape")
            with torch.no_grad():
                known[name].copy_(value)
        for name, module in net.module.named_modules():
            module.training = name in training
        self.networks.append(net)

    def value(self, node: Node, depth: int = 0) -> Any:
        """Return the value of a node."""
        if depth > DEEPEST:
            _refuse("it is nested too deeply")
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if isinstance(node, list):
            return self._all(node, depth)
        if "base" in node:
            return self._base(node, depth)
        if "object" in node:
            return self._object(node, depth)
        mark = next((mark for mark in self._marks if mark in node), None)
        if "named" in node:
            items = self._all(node["items"], depth)
            kind = class_of(node["named"], self.adapters)
            if not issubclass(kind, tuple) or len(items) != len(getattr(kind, "_fields", ())):
                _refuse(f"{node['named']} is no tuple of {len(items)}")
            found = tuple.__new__(kind, items)
        elif mark is None:
            _refuse(f"a value is marked {', '.join(map(str, node))[:100]!r}")
        else:
            found = self._marks[mark](node, depth + 1)
        return self._remember(node, found)

    def _remember(self, node: Node, found: Any) -> Any:
        if "id" in node:
            self._known[int(node["id"])] = found
        return found

    def _all(self, nodes: Node, depth: int) -> list[Any]:
        if not isinstance(nodes, list):
            _refuse("a list is none")
        return [self.value(each, depth + 1) for each in nodes]

    def _named(self, nodes: Node, depth: int) -> dict[str, Any]:
        return {name: self.value(each, depth + 1) for name, each in _table(nodes).items()}

    def _dict(self, node: Node, depth: int) -> Any:
        pairs = [(self.value(key, depth), self.value(each, depth)) for key, each in node["dict"]]
        return collections.OrderedDict(pairs) if node.get("ordered") else dict(pairs)

    def _take(self, name: Any, node: Node) -> torch.Tensor:
        """Return a stored tensor, if it is as the node says."""
        if name not in self.tensors:
            _refuse(f"there is no tensor {str(name)[:100]!r}")
        stored = self.tensors[name]
        kind, shape = str(stored.dtype).removeprefix("torch."), list(stored.shape)
        if [kind, shape] != [node["dtype"], node["shape"]]:
            _refuse(f"{name} is {kind} of shape {shape}, and should be {node['dtype']} of {node['shape']}")
        return stored

    def _tensor(self, node: Node, _: int) -> torch.Tensor:
        stored = self._take(node["tensor"], node)
        stride = node.get("stride")
        if stride is not None:
            extent = 1 + sum(s * (n - 1) for s, n in zip(stride, stored.shape, strict=True))
            if min(stride) < 0 or extent > 2 * stored.numel():
                _refuse(f"{node['tensor']} has the strides {stride}")
        device = torch.device("cpu") if node.get("on") == "host" else self.device
        made = torch.empty_strided(
            stored.shape,
            stride or torch.empty(stored.shape, device="meta").stride(),
            dtype=stored.dtype,
            device=device,
        ).copy_(stored)
        return nn.Parameter(made, node["parameter"] is True) if "parameter" in node else made

    def _array(self, node: Node, _: int) -> Any:
        stored = self._take(node["array"], node).numpy()
        return np.array(stored, order="F" if node.get("order") == "F" else "C")

    def _images(self, node: Node, depth: int) -> Images:
        pixels = [each.permute(1, 2, 0).numpy() for each in self._all(node["images"], depth)]
        if any(each.dtype != np.uint8 or each.ndim != 3 or each.shape[2] != 3 for each in pixels):
            _refuse("images that it kept are none")
        self.sources.append(PixelSource("kept", pixels))
        return Images.of(self.sources[-1]).bind(self.provider)

    def _network_part(self, node: Node, _: int) -> Any:
        net = self.networks[int(node["network"])]
        if "module" in node:
            return net.module.get_submodule(str(node["module"]))
        if "tensor" in node:
            return tensors_of(net.module)[str(node["tensor"])]
        return (
            {"preprocess": net.preprocess, "backbone": net.backbone}[node["part"]] if "part" in node else net
        )

    def _partial(self, node: Node, depth: int) -> Any:
        parts = self._named(node["partial"], depth)
        if not isinstance(parts["of"], types.FunctionType | types.BuiltinFunctionType):
            _refuse("a partial function is of none")
        return functools.partial(parts["of"], *parts["args"], **parts["named"])

    def _bound(self, node: Node, depth: int) -> Any:
        owner = self.value(node["of"], depth)
        name = str(node["bound"])
        if not isinstance(vars_of_class(type(owner)).get(name), types.FunctionType) or name.startswith("__"):
            _refuse(f"a {type(owner).__name__} has no function {name[:50]!r}")
        return getattr(owner, name)

    def _function(self, node: Node, depth: int) -> Any:
        defaults = self.value(node["defaults"], depth)
        if defaults is not None and not isinstance(defaults, tuple):
            _refuse(f"the defaults of {node['function']} are none")
        holds = self._named(node["holds"], depth)
        return function_of(node["function"], node["number"], self.adapters, defaults, holds)

    def _base(self, node: Node, depth: int) -> Method:
        if self.make_base is None:
            _refuse("a base is in a method that has none")
        method: Method = self._remember(node, self.make_base())
        method.device = self.device
        self.attributes(method, node["base"], depth)
        return method

    def _object(self, node: Node, depth: int) -> Any:
        kind = class_of(node["object"], self.adapters)
        if issubclass(kind, Method | type | BaseException):
            _refuse(f"it names the class {node['object']!r}, which a saved method may not hold")
        made = object.__new__(kind)
        self._remember(node, made)
        if isinstance(made, nn.Module):
            nn.Module.__init__(made)
        state, slots = self._named(node["state"], depth), set(slots_of(kind))
        check_machine(str(node["object"]), state)
        for name, value in state.items():
            if name.startswith("__") or not name.isidentifier():
                _refuse(f"an attribute is called {name[:50]!r}")
            if name in slots:
                object.__setattr__(made, name, value)
            elif hasattr(made, "__dict__"):
                made.__dict__[name] = value
            else:
                _refuse(f"{node['object']} has no attribute {name[:50]!r}")
        return made


def _number_type(name: Any) -> np.dtype[Any]:
    found = np.dtype(str(name))
    if found.kind not in "biuf":
        _refuse(f"{name!r} is no type of numbers")
    return found


def _table(node: Node) -> dict[str, Node]:
    if not isinstance(node, dict):
        _refuse("attributes are no table")
    return node


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)
