"""A backbone by its name, with weights by theirs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Backbone, check_taps
from egofeat.extract.backbones.modules import as_made
from egofeat.extract.backbones.registry import find_backbone
from egofeat.extract.weights import Weights, choose_weights

PRECISIONS = ("float32", "bf16")
"""Of a network's arithmetic."""


def load(
    name: str,
    weights: str | Path = "default",
    taps: Sequence[str] = (),
    device: str | torch.device = "cpu",
    precision: str = "float32",
    note: Callable[[str], None] = lambda _: None,
) -> Backbone:
    """A frozen backbone, folded and channels-last, on its device.

    Args:
        name: one of `BACKBONES`, or `tv:NAME`.
        weights: `default`, the name of published weights, `random` or `random:<seed>`, or a
            file (`.pth` of tensors, `.safetensors`). What has no parameters takes none; a module
            that a package adds has by default those that its constructor gives it.
        taps: outputs to keep; none means the backbone's default tap.
        device: where it runs.
        precision: `float32` or `bf16`.
        note: told, in one line, when weights are downloaded, and the sha256 of published
            ones for which none is published when they are first used.

    Raises:
        RequestError: an unknown backbone, tap or precision.
        WeightsError: weights that are absent, altered or of another network.
    """
    spec, build = find_backbone(name)
    weights = str(weights)
    chosen = check_taps(tuple(taps) or (spec.default_tap,), spec)
    if precision not in PRECISIONS:
        raise RequestError(f"there is no precision '{precision}': choose float32 or bf16")
    published: Weights | None = None
    if spec.parameters == 0:
        identity = "none"
        module = build(chosen, None, 0)
    elif weights == "default" and spec.module and not spec.weights:
        module, identity = as_made(spec.module, chosen)
    else:
        given = choose_weights(weights, spec.weights, spec.name, note)
        published, identity = given.published, given.identity
        module = given.build(partial(build, chosen))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last_3d if spec.clip else torch.channels_last
    module = module.to(torch.device(device), dtype).to(memory_format=layout)
    return Backbone(
        spec=spec,
        module=module,
        weights=identity,
        published=published,
        device=torch.device(device),
        precision=precision,
    )
