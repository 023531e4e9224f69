"""What one view costs, counted by torch's own counter rather than by hand."""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.building import blank


def multiply_adds(spec: Spec, build: Builder, taps: Sequence[str] = ()) -> int:
    """Multiply-adds of one view, at the size and frames that the spec's weights were made for.

    The counter gives operations, two to a multiply-add; it sees convolutions and matrix
    products, not norms, poolings and sums. Nothing is computed or allocated.

    Args:
        spec: of the backbone.
        build: its builder.
        taps: outputs to keep, which decides how deep the network runs; none means all of
            it: the classifier where there is one, otherwise the last tap.
    """
    chosen = tuple(taps) or (("logits",) if "logits" in spec.taps else spec.taps[-1:])
    module = blank(lambda: build(chosen, None, 0))
    sides = (spec.clip.frames, spec.size, spec.size) if spec.clip else (spec.size, spec.size)
    view = torch.empty(1, spec.channels, *sides, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(view)
    operations: int = counter.get_total_flops()
    return operations // 2


def count_parameters(spec: Spec, build: Builder) -> int:
    """Parameters of the network as trained; of a package's, those that it is built with."""
    if spec.parameters is not None:
        return spec.parameters
    return sum(p.numel() for p in blank(lambda: build(spec.taps, None, 0)).parameters())
