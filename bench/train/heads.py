"""Heads: several small networks of one shape on frozen features, trained side by side.

One step of one small head is mostly launch overhead on a GPU. A method that writes its head for tensors with
a leading dimension h (``z @ W`` with z of shape (h, b, d) and W of shape (h, d, e)) trains the heads of h
cells in the same kernels; a single head is h = 1, the same code. The heads share nothing: losses of shape
(h,) are summed, so each head gets only its own gradient. Heads of one learning rate share a group of the
optimiser, which on a GPU is one call for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from bench.core.errors import FitError


class Heads:
    """The parameters of h heads, each one tensor of shape (h, ...).

    Parameters
    ----------
    states : sequence of mapping of str to Tensor
        Initial parameters of each head; same names and shapes, floating, on one device.
    """

    def __init__(self, states: Sequence[Mapping[str, torch.Tensor]]) -> None:
        self._stacked = {name: torch.stack([s[name] for s in states]).requires_grad_() for name in states[0]}
        # The optimiser works on views that share the stacked tensors' memory.
        self._views = [[p.detach()[h] for p in self._stacked.values()] for h in range(len(states))]
        #: The stacked tensors themselves, where the optimiser works on all heads at once.
        self._whole: list[torch.Tensor] = []
        self._finite = torch.ones(len(states), dtype=torch.bool, device=self.device)
        #: The losses (h,) of the last step.
        self.last = torch.zeros(len(states), device=self.device)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def device(self) -> torch.device:
        return self._views[0][0].device

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return one parameter of all heads, shape (h, ...)."""
        return self._stacked[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stacked

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the parameters of all heads, by name: the same memory, without gradients."""
        return {f"heads/{name}": p.detach() for name, p in self._stacked.items()}

    def groups(self, rates: Sequence[float] = ()) -> list[dict[str, Any]]:
        """Return parameter groups for a torch optimiser: one, or one for each of several learning rates.

        On a GPU a single group has the stacked tensors. On a CPU an optimiser's last bits depend on how many
        numbers it gets at once, so each head stays a tensor of its own.

        Parameters
        ----------
        rates : sequence of float
            Of the heads; with none, they share the optimiser's.
        """
        self._whole = []
        if len(set(rates)) <= 1 and self.device.type != "cpu":
            self._whole = [p.detach() for p in self._stacked.values()]
            found: dict[float | None, list[torch.Tensor]] = {rates[0] if rates else None: self._whole}
        else:
            found = {}
            own: Sequence[float | None] = rates or [None] * len(self)
            for rate, views in zip(own, self._views, strict=True):
                found.setdefault(rate, []).extend(views)
        return [{"params": views, **({} if rate is None else {"lr": rate})} for rate, views in found.items()]

    def step(self, losses: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Take one step of the optimiser on the losses, shape (h,)."""
        gradients = torch.autograd.grad(losses.sum(), list(self._stacked.values()))
        for whole, gradient in zip(self._whole, gradients, strict=False):
            whole.grad = gradient
        for h, views in enumerate(self._views if not self._whole else ()):
            for view, gradient in zip(views, gradients, strict=True):
                view.grad = gradient[h]
        optimiser.step()
        self.last = losses.detach()
        self._finite &= self.last.isfinite()

    def check(self, what: str) -> None:
        """Raise if a loss was NaN or infinite since the heads were made; waits for the device.

        Raises
        ------
        FitError
            Says what was trained, and how to mend it.
        """
        if not bool(self._finite.all()):
            raise FitError(
                f"{what}: the loss became NaN or infinite; lower the learning rate, or look for NaN or huge "
                "values in the features"
            )

    def state(self, head: int) -> dict[str, torch.Tensor]:
        """Return a copy of one head's parameters, without gradients."""
        return {name: p.detach()[head].clone() for name, p in self._stacked.items()}


class HeadNorm:
    """Batch normalisation of h heads, each as ``torch.nn.BatchNorm1d(affine=False)``.

    Parameters
    ----------
    heads, width : int
    eps : float
    momentum : float
        Share of the new batch in the running statistics.
    device : torch.device, optional

    Attributes
    ----------
    mean, var : Tensor, shape (h, 1, width)
        Running statistics; the variance with n - 1 in the denominator.
    """

    def __init__(
        self,
        heads: int,
        width: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        device: torch.device | None = None,
    ) -> None:
        self.eps, self.momentum = eps, momentum
        self.mean = torch.zeros(heads, 1, width, device=device)
        self.var = torch.ones(heads, 1, width, device=device)

    def train(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalise (h, b, width), b ≥ 2, by its own statistics and update the running ones."""
        n = batch.shape[1]
        var, mean = torch.var_mean(batch, dim=1, keepdim=True, correction=0)
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.var.lerp_(var * (n / (n - 1)), self.momentum)
        return (batch - mean) * torch.rsqrt(var + self.eps)

    def state(self, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return shift and scale, (width,): in evaluation a head computes ``(batch - shift) * scale``."""
        return self.mean[head, 0].clone(), torch.rsqrt(self.var[head, 0] + self.eps)


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> torch.Tensor:
    """Return a tensor of this shape, uniform in [-bound, bound), on the generator's device."""
    drawn = torch.rand(tuple(shape), generator=generator, device=generator.device)
    return drawn.mul_(2 * bound).sub_(bound)


def batch_slices(n: int, size: int, *, smallest: int = 1) -> list[slice]:
    """Cut n shuffled rows into batches; a remainder below `smallest` joins the batch before.

    Batch normalisation and contrastive losses need batches of at least 2.

    Examples
    --------
    >>> bench.batch_slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] < smallest:
        starts.pop()
    ends = [*starts[1:], n] if starts else []
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def shuffled(n: int, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Return a permutation of n rows for each head, shape (h, n), int64, on the host."""
    return torch.stack([torch.randperm(n, generator=generator) for generator in generators])


def take_rows(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return ``values[i][rows[i]]`` of each head i.

    Parameters
    ----------
    values : Tensor, shape (h, n, ...)
    rows : Tensor, shape (h, ...), int64, on the same device

    Returns
    -------
    Tensor, shape (h, ..., ...)
    """
    heads = torch.arange(len(values), device=values.device).view(-1, *[1] * (rows.ndim - 1))
    flat = values.reshape(values.shape[0] * values.shape[1], -1)
    # An embedding's backward adds rows in a fixed order; that of index_select is several times slower.
    taken = torch.nn.functional.embedding(heads * values.shape[1] + rows, flat)
    return taken.view(*rows.shape, *values.shape[2:])


def same_shape(banks: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Yield the positions of banks that can be stacked, in order of first appearance."""
    found: dict[torch.Size, list[int]] = {}
    for position, bank in enumerate(banks):
        found.setdefault(bank.shape, []).append(position)
    yield from found.values()


def spread(features: torch.Tensor) -> float:
    """Return the root mean squared distance of the rows (n, d) to their mean."""
    features = features.detach().double()
    return float((features - features.mean(0)).square().sum(1).mean().sqrt())


def collapse_note(before: float, after: float, what: str) -> tuple[str, ...]:
    """Return a note for `Method.notes` if a spread fell below 1 % of its start, else nothing."""
    if before > 0 and after < 0.01 * before:
        return (f"collapsed: the spread of {what} fell to {after / before:.2g} of its start",)
    return ()
