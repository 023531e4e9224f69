"""Heads that are solved: all rows averaged once, then one computation."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.solved import LogisticHead, SolvedHead, Vectors
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.losses import Criterion
from egofeat.heads.training.passes import evaluation_feed, pass_over
from egofeat.heads.training.threads import threads_for
from egofeat.heads.training.trainer import make_criterion


def solve(
    heads: Sequence[SolvedHead], examples: Examples, config: TrainerConfig
) -> tuple[float, str]:
    """Solve a head, and give what it came to to others that differ by their seed alone.

    Args:
        heads: of one build, standardised.
        examples: what they learn from.
        config: how: its device and what weighs classes.

    Returns:
        Seconds that it took, and what was chosen, for people.

    Raises:
        RequestError: labels that the head cannot learn, or features too large for float32.
    """
    began = time.monotonic()
    device = choose_device(config.device)
    head = heads[0].to(device).eval()
    train, validation = (
        _averaged(head, examples, rows, device) for rows in (examples.train, examples.validation)
    )
    criterion = _criterion(head, examples, config).to(device)
    with threads_for(head, (1, train.vectors.shape[1]), len(examples.train), device):
        chosen = head.solve(train, validation, criterion)
    for other in heads[1:]:
        other.load_state_dict(head.state_dict())
        other.to(device).eval()
    return time.monotonic() - began, chosen


def _averaged(
    head: SolvedHead, examples: Examples, rows: NDArray[np.int64], device: torch.device
) -> Vectors:
    feed = evaluation_feed(examples.features, rows, device=device)

    def average(features: Tensor) -> Mapping[str, Tensor]:
        return {"": head.embed(head.prepare(features))}

    vectors = pass_over(feed, average)[""].to(device)
    if not vectors.isfinite().all():
        raise RequestError(
            "features are too large: the average of a segment is no finite number in float32"
        )
    return Vectors(vectors, examples.labels_of(rows, device))


def _criterion(head: SolvedHead, examples: Examples, config: TrainerConfig) -> Criterion:
    if not isinstance(head, LogisticHead):
        return Criterion({})
    training = {target: values[examples.train] for target, values in examples.labels.items()}
    return make_criterion(head, training, config)
