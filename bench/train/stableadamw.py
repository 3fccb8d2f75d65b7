"""StableAdamW: AdamW whose steps are shortened where the second moment has fallen behind the gradient.

References
----------
Wortsman et al., "Stable and low-precision training for large-scale vision-language models", NeurIPS 2023,
algorithm 2; with the AMSGrad variant of the code of Dinomaly (Guo et al., CVPR 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class StableAdamW(torch.optim.Optimizer):
    """AdamW with update clipping, a tensor at a time.

    The gradient divided by the root of the second moment has a root mean square of about 1; where it has
    more, the learning rate of this tensor and step is divided by it. The second moment is the largest so far
    (AMSGrad), before its bias is corrected.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
    betas : (float, float)
    weight_decay : float
        Decoupled, times the learning rate before it is clipped.
    eps : float
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            # Tensors, so that checkpoints keep it.
            state["step"] = torch.zeros(())
            for name in ("first", "second", "largest"):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        step = float(state["step"])
        state["first"].lerp_(gradient, 1 - beta1)
        state["second"].lerp_(gradient.square(), 1 - beta2)
        torch.maximum(state["largest"], state["second"], out=state["largest"])
        scale = (state["largest"].sqrt() / (1 - beta2**step) ** 0.5).add_(group["eps"])
        # How much shorter stays on the device, in float64; the host would have to wait for it.
        excess = (gradient / scale).square().mean().sqrt().double().clamp(min=1)
        rate = -(torch.full_like(excess, group["lr"]) / excess) / (1 - beta1**step)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_((state["first"] * rate.to(parameter.dtype)).div_(scale))
