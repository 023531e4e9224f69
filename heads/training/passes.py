"""Passes over rows that need no gradient: in batches as large as they may be."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.heads.added import blamed
from egofeat.heads.head import Head
from egofeat.heads.measures.precision import autocast
from egofeat.heads.training.feed import Features, Feed, as_features
from egofeat.heads.training.threads import threads_for

EVALUATION_BYTES = 64 << 20
"""Float32 bytes of a batch that needs no gradient."""


def evaluation_feed(
    features: Features | NDArray[Any],
    rows: NDArray[np.int64],
    *,
    device: torch.device,
    held: bool = False,
) -> Feed:
    """Make a feed whose batches are sized for passes without gradients."""
    source = as_features(features)
    size = max(1, min(256, EVALUATION_BYTES // (4 * math.prod(source.row_shape))))
    return Feed(source, rows, device=device, batch_size=size, held=held)


def predict(
    head: Head,
    features: Features | NDArray[Any],
    rows: NDArray[np.int64] | None = None,
    forward: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Return target to logits `[rows,classes]`, float32 on the CPU, in the order of the rows.

    Args:
        head: on any device; it ends in evaluation mode.
        features: of a store, or an array, as `Examples` has them.
        rows: which of them; None is all of an array.
        forward: what is computed of a batch; None is the head's logits.
    """
    if rows is None:
        rows = np.arange(len(features))  # type: ignore[arg-type]
    device = next(chain(head.parameters(), head.buffers())).device
    head.eval()
    source = as_features(features)
    feed = evaluation_feed(source, rows, device=device)
    with (
        blamed(type(head)),
        threads_for(head, source.row_shape, min(feed.batch_size, len(rows)), device),
    ):
        return pass_over(feed, forward or head)


def pass_over(
    feed: Feed,
    forward: Callable[[Tensor], Mapping[str, Tensor]],
    amp: str = "off",
    *,
    stay: bool = False,
) -> dict[str, Tensor]:
    """Return what is computed of all rows by name, float32 in the feed's order.

    Args:
        feed: of the rows.
        forward: what is computed of a batch.
        amp: in which arithmetic.
        stay: whether it stays on the feed's device, which nothing waits for then; else it comes to
            the CPU, batch by batch.
    """
    parts: dict[str, list[Tensor]] = defaultdict(list)
    with torch.inference_mode(), closing(feed.batches(np.arange(len(feed.rows)))) as batches:
        for features, _ in batches:
            with autocast(amp, features.device):
                computed = forward(features)
            for name, values in computed.items():
                parts[name].append(values.float() if stay else values.float().cpu())
    return {name: torch.cat(values) for name, values in parts.items()}
