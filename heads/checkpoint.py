"""State of a training run after an evaluation, in one safetensors file (never pickle).

Order of an epoch and dropout between two evaluations follow from the seed and their number
alone, and the learning rate from the history, so a checkpoint needs neither random-number
state nor a scheduler's: model, optimiser, loss scale, best weights and how much of the history
was there are all. It holds a digest of itself.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from egofeat.errors import EgofeatError
from egofeat.heads.training.history import Extent
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replace_file

_SCHEMA = 2
_MOST = 64 << 30
_UNKNOWN = b"0" * 64
"""Stands where the digest will."""
WORKER = "run"
"""In the names of a run's files that are half written."""


@dataclass
class Progress:
    """How far a training has come."""

    best_round: int = 0
    """Which evaluation was best, from 1."""
    best_value: float = 0.0
    """What is monitored, at the best evaluation."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The head's state at the best evaluation, on the CPU."""
    seconds: float = 0.0
    """That training and validation took."""
    waited: float = 0.0
    """Of these, seconds that passed while there was no batch."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One record an evaluation: epoch (passes over the rows so far), iteration, lr,
    train/loss, val/loss, `val/<target>/<figure>`."""

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return int(self.history[-1]["iteration"]) if self.history else 0


def save_checkpoint(
    path: Path,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: Progress,
    extent: Extent,
) -> None:
    """Write the state after an evaluation, atomically.

    Args:
        path: of the file.
        head: as it is.
        optimizer: as it is.
        scaler: of the loss.
        progress: all but the history, which has a file of its own.
        extent: how much of that file there is.

    Raises:
        StoreError: the disk refuses.
    """
    state = optimizer.state_dict()
    # One weight under two names is two in the file, which knows none that lie in one place.
    own = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    tensors = _prefixed("head", own) | _prefixed("best", progress.best)
    for parameter, values in state["state"].items():
        tensors |= _prefixed(f"optimizer.{parameter}", values)
    facts = {
        "schema": _SCHEMA,
        "groups": [_plain(group) for group in state["param_groups"]],
        "scaler": scaler.state_dict(),
        "best_round": progress.best_round,
        "best_value": progress.best_value,
        "seconds": progress.seconds,
        "waited": progress.waited,
        "history": asdict(extent),
        "sha256": _UNKNOWN.decode(),
    }
    # One key only: safetensors does not keep the order of several.
    content = save(tensors, {"egofeat": json.dumps(facts)})
    digest = hashlib.sha256(content).hexdigest()
    # The header comes first: what is replaced is in it.
    replace_file(path, content.replace(_UNKNOWN, digest.encode(), 1), WORKER)


def load_checkpoint(
    path: Path,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> tuple[Progress, Extent]:
    """Put a saved state back into head, optimiser and scaler.

    Returns:
        The progress, without its history, and how much of the history's file is meant.

    Raises:
        EgofeatError: the file is not a checkpoint of this head, or was altered.
    """
    try:
        content = read_bounded(path, _MOST)
        facts = _facts(content)
        tensors = load(content)
        head.load_state_dict(_within("head", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _within("optimizer", tensors).items():
            parameter, value = name.split(".", 1)
            moments.setdefault(int(parameter), {})[value] = tensor
        pairs = zip(facts["groups"], optimizer.param_groups, strict=True)
        groups = [saved | _of_kernel(own) for saved, own in pairs]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        scaler.load_state_dict(facts["scaler"])
        progress = Progress(
            best_round=facts["best_round"],
            best_value=facts["best_value"],
            best=_within("best", tensors),
            seconds=facts.get("seconds", 0.0),  # one of before tells none
            waited=facts.get("waited", 0.0),
        )
        return progress, Extent(**facts["history"])
    except (
        SafetensorError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise EgofeatError(
            f"{path} is not a checkpoint of this head ({type(error).__name__}): "
            "remove it to begin again"
        ) from None


def _of_kernel(group: dict[str, Any]) -> dict[str, Any]:
    """By which kernel this optimiser steps, which a loss scaler knows; a file may be of another.

    So may the rate: it is set before each step, and a tensor where the step is recorded.
    """
    return {name: group[name] for name in ("fused", "foreach", "capturable", "lr") if name in group}


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    return {n: float(one) if isinstance(one, Tensor) else one for n, one in group.items()}


def read_extent(path: Path) -> Extent:
    """Compare a checkpoint with its digest, and say how much of the history it goes with.

    Raises:
        EgofeatError: it was altered, or is none.
    """
    try:
        return Extent(**_facts(read_bounded(path, _MOST))["history"])
    except (LookupError, ValueError, TypeError):
        raise EgofeatError(
            f"{path} was altered, or is no checkpoint: remove it to begin again"
        ) from None


def _facts(content: bytes) -> dict[str, Any]:
    """Read what is no tensor, after comparing the whole with its digest.

    Raises:
        ValueError: it was altered, or is of another egofeat.
    """
    stop = 8 + int.from_bytes(content[:8], "little")
    facts: dict[str, Any] = json.loads(json.loads(content[8:stop])["__metadata__"]["egofeat"])
    digest = str(facts["sha256"])
    whole = content.replace(digest.encode(), _UNKNOWN, 1)
    if facts["schema"] != _SCHEMA or hashlib.sha256(whole).hexdigest() != digest:
        raise ValueError("it was altered")
    return facts


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": value.detach().contiguous()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _within(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
