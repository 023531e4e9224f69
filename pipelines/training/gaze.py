"""Gaze between a store and its heads: what a training is taught with, what is judged by it."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.heads.gaze import Attentive, Teachable, gaze_metrics
from egofeat.heads.head import Head
from egofeat.heads.training.feed import Features
from egofeat.heads.training.passes import predict


@runtime_checkable
class _Gazed(Protocol):
    """Features of a store, whose gaze is known for some of the videos if it `has_gaze`."""

    @property
    def has_gaze(self) -> bool: ...

    def gaze_points(self, rows: NDArray[np.int64]) -> NDArray[np.float32]: ...


def points_of(features: Features, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Return where the wearer looked at each step of rows, `[n,T,3]`; None without gaze."""
    if isinstance(features, _Gazed) and features.has_gaze:
        return features.gaze_points(rows)
    return None


def teaching_points(
    head: Head, features: Features, rows: NDArray[np.int64], store: str
) -> NDArray[np.float32]:
    """Return the points that a head is taught with, `[rows,T,3]`.

    Args:
        head: that is to learn where to look.
        features: what it reads.
        rows: that it trains on.
        store: where the features lie, for people.

    Raises:
        RequestError: the head has no attention to be taught, or none of the rows has gaze.
    """
    if not isinstance(head, Teachable):
        raise RequestError(
            "`gaze_weight` teaches attention over maps, and this head learns none: choose stam, or "
            "leave `gaze_weight` out"
        )
    points = points_of(features, rows)
    if points is None or not points[..., 2].any():
        raise RequestError(
            f"store {store} has no gaze to train with: run egofeat extract again with a manifest "
            "that names it (features are kept), or leave `gaze_weight` out"
        )
    return points


def gaze_figures(head: Head, features: Features, rows: NDArray[np.int64]) -> Mapping[str, float]:
    """Return how well a head's attention foretells gaze; empty without attention or gaze."""
    points = points_of(features, rows)
    if points is None or not isinstance(head, Attentive):
        return {}
    return dict(gaze_metrics(attend(head, features, rows), torch.from_numpy(points)))


def attend(head: Head, features: Features, rows: NDArray[np.int64]) -> Tensor:
    """Return where a head looks in rows, `[n,T,h,w]` on the CPU, of sum 1 over space."""
    assert isinstance(head, Attentive)
    look = head.attention
    return predict(head, features, rows, lambda batch: {"attention": look(batch)})["attention"]
