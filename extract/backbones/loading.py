"""A backbone by its name, with weights by theirs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from egofeat.device import numbered
from egofeat.extract.backbones.backbone import Backbone, Builder, Spec, check_taps
from egofeat.extract.backbones.engine import Compiled, check_engine, check_finite
from egofeat.extract.backbones.modules import as_made
from egofeat.extract.backbones.precision import DTYPES, check_precision, keep_biases_apart
from egofeat.extract.backbones.registry import find_backbone
from egofeat.extract.weights import Weights, choose_weights
from egofeat.host_memory import keep_memory


def load(
    name: str,
    weights: str | Path = "default",
    taps: Sequence[str] = (),
    device: str | torch.device = "cpu",
    precision: str = "float32",
    engine: str = "torch",
    note: Callable[[str], None] = lambda _: None,
    *,
    runs_here: bool = True,
) -> Backbone:
    """A frozen backbone, folded and channels-last, on its device.

    Args:
        name: one of `BACKBONES`, or a library's: `tv:NAME`, `timm:NAME`, `hf:NAME`.
        weights: `default`, the name of published weights, `random` or `random:<seed>`, or a
            file (`.pth` of tensors, `.safetensors`). What has no parameters takes none; a module
            that a package adds has by default those that its constructor gives it.
        taps: outputs to keep; none means the backbone's default tap.
        device: where it runs; on a processor, free memory stays with this process from then on,
            see `keep_memory`.
        precision: `float32`, `tf32`, `fp16` or `bf16`.
        engine: `torch`, or `openvino` on a CPU.
        note: told, in one line, when weights are downloaded, the sha256 of published ones for
            which none is published when they are first used, and that a processor is slow at
            the precision.
        runs_here: False where it only tells its shapes: workers' devices need precision and engine.

    Raises:
        RequestError: a backbone, tap, precision or engine that is unknown, or not the device's.
        WeightsError: weights that are absent, altered, of another network, or not finite.
    """
    spec, build = find_backbone(name)
    chosen = check_taps(tuple(taps) or (spec.default_tap,), spec)
    device = numbered(torch.device(device)) if runs_here else torch.device(device)
    by_torch = engine == "torch"
    check_precision(precision, device if runs_here and by_torch else None, note)
    check_engine(engine, precision, device if runs_here else None)
    module, identity, published = _weighted(spec, build, str(weights), chosen, note)
    if runs_here and by_torch and device.type == "cpu":
        keep_memory()
    layout = torch.channels_last_3d if spec.clip else torch.channels_last
    # OpenVINO rounds the weights itself.
    dtype = DTYPES[precision] if by_torch else torch.float32
    module = module.to(device, dtype)
    for values in module.parameters():
        check_finite(values, f"{weights}: parameters of {spec.called}", precision)
    rank = 5 if spec.clip else 4
    if all(tensor.ndim in (rank, *range(4)) for tensor in module.parameters()):
        # Those that see the frames of a clip one by one have kernels of images.
        module = module.to(memory_format=layout)
    if spec.clip and device.type == "cuda" and dtype.itemsize == 2:
        module = keep_biases_apart(module)
    return Backbone(
        spec=spec,
        module=module,
        weights=identity,
        published=published,
        device=device,
        precision=precision,
        compiled=None if by_torch else Compiled(module, spec.called, precision),
    )


def _weighted(
    spec: Spec, build: Builder, weights: str, taps: tuple[str, ...], note: Callable[[str], None]
) -> tuple[nn.Module, str, Weights | None]:
    """The network with its weights, what they are, and their record if they are published."""
    if spec.parameters == 0:
        return build(taps, None, 0), "none", None
    if weights == "default" and spec.module and not spec.weights:
        return *as_made(spec.module, taps), None
    given = choose_weights(weights, spec.weights, spec.called, note, spec.grew_from)
    return given.build(partial(build, taps)), given.identity, given.published
