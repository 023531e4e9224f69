"""What a head is trained on: features and labels of the rows that train and validate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.heads.head import Head
from egofeat.heads.training.feed import Features, as_features, row_bytes, should_hold
from egofeat.heads.training.losses import Labels
from egofeat.heads.training.passes import evaluation_feed, pass_over


@dataclass(frozen=True)
class Examples:
    """Features, their labels, and which rows train and validate."""

    features: Features | NDArray[Any]
    """Of a store, or an array `[N,T,C]`, `[N,T,C,H,W]` or `[N,V,t,C,H,W]`."""
    labels: Mapping[str, Labels]
    """Target to the label of every row `[N]`, -1 where absent; or to its classes `[N,classes]`."""
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    gaze: NDArray[np.float32] | None = None
    """Points of the training rows `[rows,T,3]`, as `egofeat.heads.gaze` has them."""

    def labels_of(self, rows: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
        """Return target to labels `[rows]`, or `[rows,classes]`, on a device."""
        return {t: torch.from_numpy(values[rows]).to(device) for t, values in self.labels.items()}


def condensed(
    head: Head, examples: Examples, device: torch.device, device_cache: str
) -> Examples | None:
    """Make of all rows, once, what `Head.condense` makes of them in every epoch.

    Args:
        head: whose it is; as all with the same options and the same figures for standardising.
        examples: as they are stored.
        device: where the head is.
        device_cache: whether features may be kept, as `should_hold` has it.

    Returns:
        The rows that train and then those that validate; None where that is not less to hold than
        the rows as stored, or may not be held.
    """
    source = as_features(examples.features)
    probe = _condensed(head, torch.zeros((1, *source.row_shape), device=device))
    rows = np.concatenate([examples.train, examples.validation])
    less = not probe.requires_grad and probe.nbytes < row_bytes(source)
    if (
        device_cache == "off"
        or not less
        or not should_hold("auto", device, len(rows) * probe.nbytes)
    ):
        return None
    feed = evaluation_feed(source, rows, device=device)
    made = pass_over(feed, lambda features: {"": _condensed(head, features)})[""]
    return replace(
        examples,
        features=made.numpy(),
        labels={target: of[rows] for target, of in examples.labels.items()},
        train=np.arange(len(examples.train)),
        validation=np.arange(len(examples.train), len(rows)),
    )


def _condensed(head: Head, features: Tensor) -> Tensor:
    return head.condense(head.prepare(features))
