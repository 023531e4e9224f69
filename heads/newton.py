"""The least of a linear classifier's penalised loss, by Newton's method.

Each step is that of the quadratic that fits the loss, found by conjugate gradients as far as pays
(Nash, "A survey of truncated-Newton methods", 2000, sections 4 and 5), then lengthened or shortened
along its line. The loss is convex: where its slope is, the least is, and no value of the loss need
be known to more digits than single precision has.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
"""Of logits `[rows,classes]`, a mean over rows, convex."""

RELATIVE = 1e-5
"""Of the loss: what the last step gains at most."""
_STEPS = 100
_PRODUCTS = 200
"""With second derivatives, of a step."""
_PAYS = 0.5
"""A direction more is looked for while it gains this much of the mean of those before."""
_LINE = 20
"""Lengths of a step that are tried."""
_SLOPE = 0.25
"""Part of a line's slope that may be left at its end."""
_ROUNDED = 1e-6
"""Part of the loss that single precision does not tell."""
_NOTHING = 1e-10
"""A loss that is as good as none: a bias that has no other class to decide against grows for
ever."""
_LEAST = 1e-12
"""Curvature of a bias whose class hardly comes up."""


def principal_axes(centred: Tensor) -> Tensor:
    """Orthonormal axes `[C,min(rows,C)]` along which rows `[rows,C]` of mean 0 do not correlate.

    Rows that are not all finite have none: theirs are those of the channels.
    """
    rows, channels = centred.shape
    if not bool(torch.isfinite(centred).all()):
        return torch.eye(channels).to(centred)
    if rows < channels:
        across: Tensor = torch.linalg.svd(centred, full_matrices=False).Vh
        return across.T.contiguous()
    axes: Tensor = torch.linalg.eigh((centred.T @ centred).double()).eigenvectors
    return axes.to(centred)


@dataclass
class _Curve:
    """The loss about some logits."""

    logits: Tensor
    slope: Tensor
    """Derivative by each logit, `[rows,classes]`."""
    _slope: Tensor
    """The same, of which autograd knows where it comes from."""
    value: Tensor

    @classmethod
    def at(cls, logits: Tensor, loss: Loss, classes: Tensor | None) -> "_Curve":
        logits = logits.detach().requires_grad_()
        value = loss(logits)
        (traced,) = torch.autograd.grad(value, logits, create_graph=True)
        slope = traced.detach()
        if classes is not None:  # a sum of small numbers, in place of one that is nearly 1, less 1
            slope = slope.scatter(1, classes, 0.0)
            slope.scatter_(1, classes, -slope.sum(dim=1, keepdim=True))
        return cls(logits, slope, traced, value.detach())

    def bent(self, towards: Tensor) -> Tensor:
        """Second derivatives times a direction of the logits."""
        return torch.autograd.grad(self._slope, self.logits, towards, retain_graph=True)[0]

    def curvature(self, several: bool, shift: Tensor | float) -> Tensor:
        """Second derivative by a class's own logits, summed over rows, `[classes]`.

        Args:
            several: whether a row has several classes.
            shift: what the loss adds to the logits.
        """
        logits = self.logits.detach() + shift
        likely = logits.sigmoid() if several else logits.softmax(dim=1)
        return (self.slope.abs() * torch.where(self.slope > 0, 1 - likely, likely)).sum(dim=0)


@dataclass(frozen=True)
class Problem:
    """Rows that do not correlate, and the loss of their logits."""

    vectors: Tensor
    """`[rows,C]` along their principal axes."""
    loss: Loss
    classes: Tensor | None
    """The class of each row `[rows,1]`, of a cross-entropy; None of a sum over classes."""
    shift: Tensor | float = 0.0
    """`[classes]`, what the loss adds to the logits."""

    def minimised(self, strength: float, start: Tensor, relative: float = RELATIVE) -> Tensor:
        """Weights and bias `[classes,C+1]` of the least loss + strength·‖weights‖².

        No step leads up, so what comes out is no worse than what it begins with.

        Args:
            strength: of the penalty, above 0; biases are free.
            start: weights and bias to begin with.
            relative: part of the loss that the last step gains at most.
        """
        penalty = start.new_full((start.shape[1],), 2 * strength)
        penalty[-1] = 0
        variances = torch.cat([self.vectors.square().mean(dim=0), start.new_ones(1)])
        weights, logits = start, self._logits(start)
        for _ in range(_STEPS):
            curve = _Curve.at(logits, self.loss, self.classes)
            loss = float(curve.value) + 0.5 * _dot(penalty * weights, weights)
            of_class = curve.curvature(self.classes is None, self.shift)
            if loss <= _NOTHING:
                break
            own = of_class[:, None] * variances + penalty
            gradient = self._gathered(curve.slope) + penalty * weights
            # The bias of a class without rows would fall for ever, and gain nothing by it.
            held = of_class * len(of_class) < relative * loss
            step, gain = self._step(curve, gradient, penalty, own.clamp(min=_LEAST), held)
            along = self._logits(step)
            bends = _dot(penalty * step, step)
            falls = _dot(penalty * weights, step)
            length = _Line(self, logits, along, falls, bends).least(curve)
            weights, logits = weights + length * step, logits + length * along
            if not (length and gain > relative * loss):  # or it is no number
                break
        return weights

    def _logits(self, weights: Tensor) -> Tensor:
        return torch.addmm(weights[:, -1], self.vectors, weights[:, :-1].T)

    def _gathered(self, slope: Tensor) -> Tensor:
        """Derivatives by logits as those by weights and bias."""
        return torch.cat([slope.T @ self.vectors, slope.sum(dim=0)[:, None]], dim=1)

    def _step(
        self, curve: _Curve, gradient: Tensor, penalty: Tensor, own: Tensor, held: Tensor
    ) -> tuple[Tensor, float]:
        """The step that the curvature asks for, about, and what it would gain.

        Args:
            curve: the loss here.
            gradient: of loss and penalty.
            penalty: twice the strength, of each column.
            own: curvature by each number alone, about: the unit in which each is measured.
            held: classes `[classes]` whose bias stays.
        """
        step, gain = torch.zeros_like(gradient), 0.0
        left = -gradient
        left[held, -1] = 0
        scaled = left / own
        direction, size = scaled, _dot(left, scaled)
        for number in range(1, _PRODUCTS + 1):
            bent = self._gathered(curve.bent(self._logits(direction))) + penalty * direction
            bent[held, -1] = 0
            curvature = _dot(direction, bent)
            if not curvature > 0:  # rounded away, or no number
                break
            length = size / curvature
            step, left = step + length * direction, left - length * bent
            gained = 0.5 * length * size
            gain += gained
            if number * gained <= _PAYS * gain:
                break
            scaled = left / own
            size, before = _dot(left, scaled), size
            direction = scaled + size / before * direction
        return step, gain


@dataclass(frozen=True)
class _Line:
    """A step, and its slope at each length."""

    problem: Problem
    logits: Tensor
    along: Tensor
    falls: float
    """Slope of the penalty at its beginning."""
    bends: float
    """What is added to it over the length 1."""

    def least(self, begin: _Curve) -> float:
        """The length at which the slope is nearly gone; 0 where none is found that leads down.

        Args:
            begin: the loss at the length 0.
        """
        first, before = self._told(begin, 0.0)
        short, long, length = 0.0, None, 1.0
        for _ in range(_LINE):
            at = self.logits + length * self.along
            there = _Curve.at(at, self.problem.loss, self.problem.classes)
            slope, value = self._told(there, length)
            up = not value <= before + _ROUNDED * abs(before)
            if abs(slope) <= _SLOPE * abs(first) and not up:
                return length
            if slope < 0 and not up:
                short = length
            else:
                long = length
            length = 2 * length if long is None else (short + long) / 2
        return short

    def _told(self, curve: _Curve, length: float) -> tuple[float, float]:
        """Slope there, and the loss but for what the penalty was at the beginning."""
        slope = _dot(curve.slope, self.along) + self.falls + length * self.bends
        return slope, float(curve.value) + length * (self.falls + 0.5 * length * self.bends)


def _dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum(dtype=torch.float64))
