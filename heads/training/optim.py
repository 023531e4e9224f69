"""Optimisers by name, over a head's parameters; Ranger is RAdam inside Lookahead."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from egofeat.heads.head import Head


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
        inspect.unwrap(torch.optim.RAdam.step)(self)  # see `_plain`
        for parameter in moved:
            state = self.state[parameter]
            slow = state.setdefault("slow", begun.get(parameter))
            if int(state["step"]) % self.k == 0:
                parameter.copy_(slow.lerp_(parameter, self.alpha))
        return loss


_KEPT_FROM_COMPILER = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def _plain(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """An optimiser that does not import torch's compiler, and whose steps nobody listens to.

    Its methods tell the compiler where not to compile, and import it to that end: a second or two
    of every training, in which nothing is compiled. What tells a profiler and hooks of each step
    is a quarter of the step of a small head.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _KEPT_FROM_COMPILER}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    methods["step"].hooked = True  # as torch marks those that tell already
    return type(kind.__name__, (kind,), methods)


# Fused: one pass over the weights, where else a head of many small ones waits for Python.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(_plain(torch.optim.Adam), fused=True),
    "adamw": partial(_plain(torch.optim.AdamW), fused=True),
    "sgd": partial(_plain(torch.optim.SGD), momentum=0.9, nesterov=True, fused=True),
    "momentum": partial(_plain(torch.optim.SGD), momentum=0.9, fused=True),
    "ranger": _plain(Ranger),
}
RECORDABLE: dict[str, dict[str, bool]] = {
    "adam": {"capturable": True},
    "adamw": {"capturable": True},
    "sgd": {},
    "momentum": {},
}
"""Those whose steps are alike, so that one may stand for all in a graph; what they need for it.
Ranger counts its steps on the host, and not all are alike."""


def make_optimizer(
    name: str, head: Head, *, lr: float, weight_decay: float, l2: float, recorded: bool = False
) -> torch.optim.Optimizer:
    """Make an optimiser over the head's trainable parameters.

    Args:
        name: a key of `OPTIMIZERS`.
        head: whose parameters.
        lr: learning rate of the first step.
        weight_decay: of all weights that are not the classifiers'.
        l2: λ of the penalty λ‖W‖² on the classifiers' weights. Its gradient is 2λW, which
            is what a weight decay of 2λ adds under Adam and SGD; AdamW and Ranger decouple it.
        recorded: whether its step is recorded; rates are tensors then, which `set_rate` fills.

    A group's `part` is what it takes of the learning rate of a step; see `set_rate`.
    """
    classifiers = [layer.weight for layer in head.classifiers if isinstance(layer, nn.Linear)]
    own = {id(weight) for weight in classifiers}
    rest = [p for p in head.parameters() if p.requires_grad and id(p) not in own]
    slow, part = head.slow_parameters()
    slowed = {id(weight) for weight in slow}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if id(p) not in slowed], "weight_decay": weight_decay},
        {"params": classifiers, "weight_decay": 2 * l2},
        {"params": [*slow], "weight_decay": weight_decay, "part": part},
    ]
    used = [group for group in groups if group["params"]]
    if not recorded:
        return OPTIMIZERS[name](used, lr=lr)
    device = next(head.parameters()).device
    for group in used:
        group["lr"] = torch.tensor(lr, device=device)
    return OPTIMIZERS[name](used, lr=lr, **RECORDABLE[name])


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its part of a learning rate; all of it where it says none."""
    for group in optimizer.param_groups:
        of_group = rate * group.get("part", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(of_group)
        else:
            group["lr"] = of_group


def clip(gradients: Sequence[Tensor], most: float) -> None:
    """Scale gradients to a norm of all of them together, as `nn.utils.clip_grad_norm_`; same bits.

    That looks for devices and types among them, which takes longer than the arithmetic of a small
    head. These are of one device.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm([*gradients])))
    torch._foreach_mul_([*gradients], (most / (norm + 1e-6)).clamp(max=1.0))
