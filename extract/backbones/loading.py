"""A backbone by its name, with weights by theirs."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones.backbone import Backbone, Spec, check_taps
from egofeat.extract.backbones.registry import find_backbone
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import Weights, at_hand, find, sha256_of

PRECISIONS = ("float32", "bf16")
"""Of a network's arithmetic."""


def load(
    name: str,
    weights: str = "default",
    taps: Sequence[str] = (),
    device: str | torch.device = "cpu",
    precision: str = "float32",
    note: Callable[[str], None] = lambda _: None,
) -> Backbone:
    """A frozen backbone, folded and channels-last, on its device.

    Args:
        name: one of `BACKBONES`, or `tv:NAME`.
        weights: `default`, the name of official weights, `random` or `random:<seed>`, or a
            file (`.pth` of tensors, `.safetensors`). What has no parameters takes none.
        taps: outputs to keep; none means the backbone's default tap.
        device: where it runs.
        precision: `float32` or `bf16`.
        note: told, in one line, when weights are downloaded, and the sha256 of official
            ones for which none is published when they are first used.

    Raises:
        RequestError: an unknown backbone, tap or precision.
        WeightsError: weights that are absent, altered or of another network.
    """
    spec, build = find_backbone(name)
    chosen = check_taps(tuple(taps) or (spec.default_tap,), spec)
    if precision not in PRECISIONS:
        raise RequestError(f"there is no precision '{precision}': choose float32 or bf16")
    if not spec.parameters:
        official, identity = None, "none"
        module = build(chosen, None, 0)
    elif random := re.fullmatch(r"random(?::(\d+))?", weights):
        seed = int(random[1] or 0)
        official, identity = None, f"random:{seed}"
        module = build(chosen, None, seed)
    else:
        official, path = _resolve(spec, weights, note)
        identity = f"sha256:{sha256_of(path)}"
        tensors = read_tensors(path)
        try:
            module = build(chosen, tensors, 0)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None
        official = official or _record_with(spec, identity, tensors)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last_3d if spec.clip else torch.channels_last
    module = module.to(torch.device(device), dtype).to(memory_format=layout)
    return Backbone(
        spec=spec,
        module=module,
        weights=identity,
        official=official,
        device=torch.device(device),
        precision=precision,
    )


def _resolve(spec: Spec, weights: str, note: Callable[[str], None]) -> tuple[Weights | None, Path]:
    if weights == "default" and not spec.weights:
        raise WeightsError(
            f"nobody has published weights of {spec.name}: give a file or random with --weights"
        )
    for record in spec.weights:
        if weights == record.name or (weights == "default" and record is spec.weights[0]):
            return record, _find(record, spec, note)
    path = Path(weights).expanduser()
    if not path.is_file():
        names = "".join(f", {record.name}" for record in spec.weights)
        raise WeightsError(
            f"'{weights}' is neither a file nor weights of {spec.name}: give a file or one of "
            f"default, random{names}"
        )
    return None, path


def _find(record: Weights, spec: Spec, note: Callable[[str], None]) -> Path:
    """The file of a record; where it cannot be had, others that are at hand are named."""
    try:
        return find(record, note)
    except WeightsError as error:
        others = [other.name for other in spec.weights if at_hand(other)]
        if not others:
            raise
        raise WeightsError(f"{error}; at hand is --weights {' or '.join(others)}") from None


def _record_with(spec: Spec, identity: str, state: Mapping[str, Tensor]) -> Weights | None:
    """The official record that a user's file turns out to be, so that it is preprocessed alike."""
    digest = identity.removeprefix("sha256:")
    for record in spec.weights:
        if record.sha256 and digest.startswith(record.sha256):
            return record
        if record.marks and all(mark in state for mark in record.marks):
            return record
    return None
