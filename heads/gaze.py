"""Gaze as a teacher of attention, and how well attention foretells gaze.

Points are `[B,T,3]`: x and y in fractions of the network's input, from its upper left corner,
and a weight, 0 where no fixation is known. Attention is `[B,T,h,w]`, of sum 1 over space.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Attentive(Protocol):
    """A head that weighs the places of its maps."""

    def attention(self, features: Tensor) -> Tensor:
        """Features `[B,T,C,H,W]` or `[B,V,t,C,H,W]` to `[B,T,h,w]`, of sum 1 over space."""
        ...


@runtime_checkable
class Teachable(Protocol):
    """A head whose attention is learnt, and so can be taught."""

    def look(self, features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of each target, and the logs of its modules' attention `[n,B,T,h,w]`."""
        ...


def taught(
    head: nn.Module, features: Tensor, points: Tensor | None, sigma: float
) -> tuple[dict[str, Tensor], Tensor | float]:
    """Return logits, and `gaze_loss` where there are points and the head can be taught."""
    if points is None or not isinstance(head, Teachable):
        return head(features), 0.0
    logits, log_attention = head.look(features)
    return logits, gaze_loss(log_attention, points, sigma)


def gaze_maps(points: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw each point as a Gaussian on the grid, `[B,T,h,w]`, of sum 1 over space.

    Args:
        points: `[B,T,3]`; the weight is not looked at.
        size: cells of the grid, (h, w).
        sigma: standard deviation, cells.
    """
    rows, columns = size
    x = points[..., 0, None] * columns - 0.5 - torch.arange(columns, device=points.device)
    y = points[..., 1, None] * rows - 0.5 - torch.arange(rows, device=points.device)
    exponents = -(x[..., None, :] ** 2 + y[..., :, None] ** 2) / (2 * sigma**2)
    return exponents.flatten(-2).softmax(dim=-1).view_as(exponents)


def gaze_loss(log_attention: Tensor, points: Tensor, sigma: float) -> Tensor:
    """KL(gaze ‖ attention) in nats, averaged over the steps that have a fixation.

    Args:
        log_attention: `[n,B,T,h,w]` of n modules; their mean is taken.
        points: `[B,T,3]`.
        sigma: of the gaze maps, cells.

    Returns:
        A scalar, 0 where no step has a fixation.
    """
    gaze = gaze_maps(points, (log_attention.shape[3], log_attention.shape[4]), sigma)
    divergence = (torch.xlogy(gaze, gaze) - gaze * log_attention).sum(dim=(3, 4)).mean(dim=0)
    weights = points[..., 2]
    # where, not a product: a step without a fixation may hold anything as its point.
    total = torch.where(weights > 0, weights * divergence, 0.0).sum()
    return total / weights.sum().clamp(min=1.0)


def gaze_metrics(attention: Tensor, points: Tensor) -> Iterator[tuple[str, float]]:
    """Yield how well attention foretells gaze, over all steps with a fixation.

    `gaze/auc` is the chance that the fixation's cell has more attention than another cell of the
    step (equal ones count half), which is the area under the ROC curve that Judd et al. (2009)
    draw, with one positive a frame. `gaze/error` is the distance from the fixation to the middle
    of the cell with most attention, `gaze/mean_error` to the mean place, as fractions of the
    input's side. `gaze/centre_auc` and `gaze/centre_error` are those of a guess that always looks
    at the centre, the bar: people look there mostly. `gaze/steps` is the fraction of steps that
    have a fixation.

    Args:
        attention: `[B,T,h,w]`.
        points: `[B,T,3]`.
    """
    valid = points[..., 2] > 0
    if not valid.any():
        return
    size = (attention.shape[2], attention.shape[3])
    seen, places = attention[valid], points[valid][:, :2]
    centre = torch.full_like(places, 0.5)
    centred = gaze_maps(centre, size, max(size) / 4)
    yield "gaze/auc", float(fixation_auc(seen, places).mean())
    yield "gaze/error", float((peaks(seen) - places).norm(dim=1).mean())
    yield "gaze/mean_error", float((mean_places(seen) - places).norm(dim=1).mean())
    yield "gaze/centre_auc", float(fixation_auc(centred, places).mean())
    yield "gaze/centre_error", float((centre - places).norm(dim=1).mean())
    yield "gaze/steps", float(valid.double().mean())


def fixation_auc(attention: Tensor, places: Tensor) -> Tensor:
    """Return the AUC of each step `[n]` from attention `[n,h,w]` and fixations `[n,2]`.

    A map of one cell has no other to be compared with: 0.5.
    """
    rows, columns = attention.shape[1:]
    column = (places[:, 0] * columns).long().clamp(0, columns - 1)
    row = (places[:, 1] * rows).long().clamp(0, rows - 1)
    flat = attention.flatten(1)
    own = flat.gather(1, (row * columns + column)[:, None])
    below, equal = (flat < own).sum(dim=1), (flat == own).sum(dim=1) - 1
    return torch.where(
        torch.tensor(flat.shape[1] > 1), (below + equal / 2) / max(1, flat.shape[1] - 1), 0.5
    )


def peaks(attention: Tensor) -> Tensor:
    """Return the middle of the cell with most attention, `[n,2]` x and y in fractions."""
    rows, columns = attention.shape[1:]
    best = attention.flatten(1).argmax(dim=1)
    middles = torch.stack([best % columns, best // columns], dim=1) + 0.5
    return middles / torch.tensor([columns, rows])


def mean_places(attention: Tensor) -> Tensor:
    """Return the mean place of attention of sum 1, `[n,2]` x and y in fractions."""
    rows, columns = attention.shape[1:]
    x = (torch.arange(columns) + 0.5) / columns
    y = (torch.arange(rows) + 0.5) / rows
    return torch.stack([(attention.sum(dim=1) * x).sum(1), (attention.sum(dim=2) * y).sum(1)], 1)
