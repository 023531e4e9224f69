"""Ranger: RAdam whose weights are drawn back, every few steps, towards slow ones (Lookahead)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Ranger(torch.optim.RAdam):
    """RAdam (Liu et al., 2020, algorithm 2) inside Lookahead (Zhang et al., 2019, algorithm 1).

    After every k steps of RAdam the slow weights φ move by α towards the fast ones θ,
    φ ← φ + α(θ − φ), and the fast ones start again from there. φ begins as the weights that
    the optimiser is given; RAdam's moments are kept. The defaults are those under which the
    pair was published as Ranger: k 6, α 0.5, β 0.95 and 0.999, ε 1e-5, weight decay decoupled.

    φ stands in each parameter's state as `slow`, so the plain `state_dict` holds everything.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        k: int = 6,
        alpha: float = 0.5,
    ) -> None:
        super().__init__(params, lr, betas=(0.95, 0.999), eps=1e-5, decoupled_weight_decay=True)
        self.k = k
        self.alpha = alpha

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch has an overload for each kind of closure
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Take one step of RAdam, and every k-th time one of the slow weights.

        Args:
            closure: evaluates the model anew and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        # RAdam fills a parameter's state when it finds it empty, so φ may join only after it.
        begun = {p: p.clone() for p in moved if not self.state[p]}
        super().step()
        for parameter in moved:
            state = self.state[parameter]
            slow = state.setdefault("slow", begun.get(parameter))
            if int(state["step"]) % self.k == 0:
                parameter.copy_(slow.lerp_(parameter, self.alpha))
        return loss
