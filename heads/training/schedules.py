"""Learning-rate schedules: factors on the rate, from how far the training is.

A step is an epoch or an iteration, whichever the training is counted in, from 1 on. Nothing
here remembers: a training that goes on after a kill computes the same factors again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FACTORS = {"step": 0.2, "multistep": 0.1, "plateau": 0.5}
"""What each lowering multiplies the rate by unless said: the MobileNetV2 report's, the usual
one of MultiStepLR, and the STAM report's."""
THRESHOLD = 1e-4
"""Relative gain that counts as better on a plateau."""


@dataclass(frozen=True, kw_only=True)
class Decay:
    """How a schedule lowers the rate; lengths are in steps."""

    length: int
    """Of the whole training."""
    factor: float
    start: int
    """First step of `step` with a lowered rate."""
    every: int
    """Steps of `step` between lowerings, of `restarts` between beginnings."""
    milestones: tuple[int, ...]
    """Steps of `multistep` after which the rate is lowered."""
    warmup: int
    """Steps of a linear rise to the full rate; 0 begins with it."""
    warmup_from: float = 0.0
    """Factor that the rise begins at, before the first step."""


def rate_factor(schedule: str, decay: Decay, step: int, plateaus: int) -> float:
    """Return the factor on the learning rate in a step.

    Args:
        schedule: a key of `SCHEDULES`.
        decay: how it lowers.
        step: from 1.
        plateaus: of the evaluations so far, by `count_plateaus`.
    """
    rise = min(1.0, step / decay.warmup) if decay.warmup else 1.0
    rise = decay.warmup_from + (1 - decay.warmup_from) * rise
    return rise * SCHEDULES[schedule](decay, step, plateaus)


def step_factor(decay: Decay, step: int, plateaus: int) -> float:
    """Return 1 before step `start`, then one lowering there and one again every so many steps."""
    passed = 0 if step < decay.start else 1 + (step - decay.start) // decay.every
    return float(decay.factor**passed)


def cosine_factor(decay: Decay, step: int, plateaus: int) -> float:
    """Return half a cosine from 1 in the first step after the rise towards 0 after the last."""
    done = max(0, step - 1 - decay.warmup) / max(1, decay.length - decay.warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def restarts_factor(decay: Decay, step: int, plateaus: int) -> float:
    """Return half a cosine from 1 towards 0, anew after every `every` steps after the rise.

    Loshchilov and Hutter (2017), equation 5, with periods of one length.
    """
    done = max(0, step - 1 - decay.warmup) % decay.every / decay.every
    return 0.5 * (1 + math.cos(math.pi * done))


SCHEDULES: dict[str, Callable[[Decay, int, int], float]] = {
    "step": step_factor,
    "multistep": lambda decay, step, _: decay.factor ** sum(m < step for m in decay.milestones),
    "plateau": lambda decay, _, plateaus: decay.factor**plateaus,
    "cosine": cosine_factor,
    "restarts": restarts_factor,
    "constant": lambda *_: 1.0,
}
"""Name to factor(decay, step from 1, plateaus so far) on the learning rate."""


def count_plateaus(values: Sequence[float], patience: int) -> int:
    """Count how often more than `patience` evaluations in a row brought nothing better.

    After each such time the count of evaluations begins again, the best so far stands
    (`torch.optim.lr_scheduler.ReduceLROnPlateau` does the same).

    Args:
        values: what is monitored at each evaluation so far, greater is better.
        patience: evaluations without a better one that are still borne.
    """
    best, waited, plateaus = -math.inf, 0, 0
    for value in values:
        if best == -math.inf or value > best + THRESHOLD * abs(best):
            best, waited = value, 0
            continue
        waited += 1
        if waited > patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
