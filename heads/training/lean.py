"""Adam's step and the clipping of gradients on a CPU, without what PyTorch does around them.

Of a head of many small weights the library takes ten times as long as their arithmetic: it looks
at each weight anew in every step, and counts the steps of each.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class LeanAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)`, the same bits."""

    _kernel: Any = staticmethod(torch.ops.aten._fused_adam_.default)

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, **how: Any) -> None:
        super().__init__(params, lr, fused=True, **how)
        self._counts: dict[int, tuple[Tensor, list[Tensor]]] = {}

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch has an overload for each kind of closure
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Take a step, by the library where it is the first of a weight or not on a CPU."""
        groups = [self._moved(group) for group in self.param_groups]
        plain = closure is None and getattr(self, "grad_scale", None) is None
        if not plain or not all(self._at_hand(weights) for weights in groups):
            return super().step(closure)
        for number, (group, weights) in enumerate(zip(self.param_groups, groups, strict=True)):
            if weights:
                self._step(number, group, weights)
        return None

    @staticmethod
    def _moved(group: dict[str, Any]) -> list[Tensor]:
        return [weight for weight in group["params"] if weight.grad is not None]

    def _at_hand(self, weights: list[Tensor]) -> bool:
        return all(weight.device.type == "cpu" and self.state.get(weight) for weight in weights)

    def _step(self, number: int, group: dict[str, Any], weights: list[Tensor]) -> None:
        states = [self.state[weight] for weight in weights]
        whole, counts = self._counts.get(number, (None, []))
        found = [state["step"] for state in states]
        if whole is None or not _same(counts, found):
            # All counts in one tensor, of which each weight has its own as ever.
            whole = torch.stack(found)
            counts = [*whole.unbind()]
            self._counts[number] = whole, counts
            for state, count in zip(states, counts, strict=True):
                state["step"] = count
        whole.add_(1)
        (beta1, beta2), lr = group["betas"], group["lr"]
        self._kernel(
            weights,
            [weight.grad for weight in weights],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            counts,
            lr=float(lr),
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class LeanAdamW(LeanAdam, torch.optim.AdamW):
    """`torch.optim.AdamW(fused=True)`, the same bits."""

    _kernel = staticmethod(torch.ops.aten._fused_adamw_.default)


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(
        one is other for one, other in zip(first, second, strict=True)
    )


def forget_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Leave weights without gradients, as `Optimizer.zero_grad` does."""
    for weight in weights:
        weight.grad = None


def clip(weights: Iterable[nn.Parameter], most: float) -> None:
    """Scale gradients down to a norm of all together, as `nn.utils.clip_grad_norm_` does.

    On a CPU those within the norm are left as they are, where that multiplies them by one.
    """
    weights = [weight for weight in weights if weight.grad is not None]
    if any(weight.device.type != "cpu" for weight in weights):
        nn.utils.clip_grad_norm_(weights, most)
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if gradients:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        factor = most / (norm + 1e-6)
        if not bool(factor >= 1.0):  # nor of what is no number
            torch._foreach_mul_(gradients, factor.clamp(max=1.0))
