"""State of a training run after an evaluation, in one safetensors file (never pickle).

Order of an epoch and dropout between two evaluations follow from the seed and their number
alone, and the learning rate from the history, so a checkpoint needs neither random-number
state nor a scheduler's: model, optimiser, loss scale, best weights and history are all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from egofeat.errors import EgofeatError
from egofeat.heads.files import replace_file


@dataclass
class Progress:
    """How far a training has come."""

    best_round: int = 0
    """Which evaluation was best, from 1."""
    best_value: float = 0.0
    """What is monitored, at the best evaluation."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The head's state at the best evaluation, on the CPU."""
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
) -> None:
    """Write the state after an evaluation, atomically."""
    state = optimizer.state_dict()
    tensors = _prefixed("head", head.state_dict()) | _prefixed("best", progress.best)
    for parameter, values in state["state"].items():
        tensors |= _prefixed(f"optimizer.{parameter}", values)
    facts = {
        "schema": 1,
        "groups": state["param_groups"],
        "scaler": scaler.state_dict(),
        "best_round": progress.best_round,
        "best_value": progress.best_value,
        "history": progress.history,
    }
    # One key only: safetensors does not keep the order of several.
    metadata = {"egofeat": json.dumps(facts)}
    replace_file(path, save(tensors, metadata))


def load_checkpoint(
    path: Path,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> Progress:
    """Put a saved state back into head, optimiser and scaler; return the progress.

    Raises:
        EgofeatError: the file is not a checkpoint of this head.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["egofeat"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        head.load_state_dict(_within("head", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _within("optimizer", tensors).items():
            parameter, value = name.split(".", 1)
            moments.setdefault(int(parameter), {})[value] = tensor
        optimizer.load_state_dict({"state": moments, "param_groups": facts["groups"]})
        scaler.load_state_dict(facts["scaler"])
        return Progress(
            best_round=facts["best_round"],
            best_value=facts["best_value"],
            best=_within("best", tensors),
            history=facts["history"],
        )
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise EgofeatError(
            f"{path} is not a checkpoint of this head ({type(error).__name__}): "
            "remove it to begin again"
        ) from None


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
