"""Features of persons: each box's part of a clip's maps, as the detection networks pool it.

Feichtenhofer et al., 2019, arXiv:1812.03982, section 5: the maps of each pathway are averaged
over time, RoIAlign (He et al., 2017, arXiv:1703.06870, section 3) takes 7 × 7 places of each
box, and the largest value over the places is the person's vector; the pathways stand side by
side. Both poolings treat every channel alike, so side by side before or after is the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from egofeat.boxes import Boxes
from egofeat.errors import RequestError
from egofeat.recipe.persons import RoiAlign


def regions(size: tuple[int, int], boxes: Sequence[Tensor]) -> Tensor:
    """`[persons, 5]` of a batch: number of the clip, and the box in pixels of the input.

    Args:
        size: height and width of the network's input.
        boxes: `[n, 4]` of each clip, in fractions of the input's sides.
    """
    height, width = size
    clips = [torch.full((len(of_clip), 1), float(n)) for n, of_clip in enumerate(boxes)]
    pixels = torch.cat(list(boxes)) * torch.tensor([width, height, width, height])
    return torch.cat([torch.cat(clips), pixels.float()], dim=1)


def pool(align: RoiAlign, maps: Mapping[str, Tensor], regions: Tensor) -> dict[str, Tensor]:
    """Features of the persons of a batch, one clip's after the other's.

    Args:
        align: how they are cut out.
        maps: tap to `[N, t, C, h, w]` or `[N, C, h, w]`, float32.
        regions: as `regions` gives them; where the maps are.

    Returns:
        `{"roi": [persons, C], "roi_map": [persons, C, grid, grid]}`.
    """
    from torchvision.ops import roi_align  # noqa: PLC0415  # takes seconds to import

    parts = []
    for tap, stride in zip(align.maps, align.strides, strict=True):
        of_tap = maps[tap]
        if of_tap.ndim == 5:
            of_tap = of_tap.mean(dim=1)
        parts.append(
            roi_align(
                of_tap.contiguous(),
                regions,
                align.grid,
                spatial_scale=1 / stride,
                sampling_ratio=align.sampling,
                aligned=align.aligned,
            )
        )
    persons = torch.cat(parts, dim=1)
    return {"roi": persons.amax(dim=(2, 3)), "roi_map": persons}


def strides_of(shapes: Mapping[str, tuple[int, ...]], side: int) -> tuple[int, ...]:
    """Pixels of the network's input that a place of each tap's maps stands for.

    Args:
        shapes: tap to the shape of its output for a square input.
        side: pixels of that input. Networks halve; borders without padding round the rest.

    Raises:
        RequestError: a tap that has no maps.
    """
    for tap, shape in shapes.items():
        if len(shape) < 3:
            raise RequestError(
                f"tap {tap} has no maps to cut boxes from: choose `maps` with taps that have some"
            )
    return tuple(2 ** round(math.log2(side / shape[-1])) for shape in shapes.values())


@dataclass(frozen=True)
class Persons:
    """Whose features an extraction keeps, in place of the maps themselves."""

    boxes: Mapping[str, Boxes]
    """Of each segment, at least one."""
    align: RoiAlign
    taps: tuple[str, ...]
    """Out of `TAPS`."""
