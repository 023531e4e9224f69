"""Features of persons: each box's part of a clip's maps, as the detection networks pool it.

Feichtenhofer et al., 2019, arXiv:1812.03982, section 5: the maps of each pathway are averaged
over time, RoIAlign (He et al., 2017, arXiv:1703.06870, section 3) takes 7 × 7 places of each
box, and the largest value over the places is the person's vector; the pathways stand side by
side. Both poolings treat every channel alike, so side by side before or after is the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torchvision.ops import roi_align

from egofeat.boxes import Boxes
from egofeat.errors import RequestError

TAPS = ("roi", "roi_map")
"""What a person's features can be: a vector `[C]`, or a map `[C, grid, grid]`."""


@dataclass(frozen=True)
class RoiAlign:
    """How boxes are cut out of maps."""

    maps: tuple[str, ...]
    """The backbone's taps, side by side in this order."""
    strides: tuple[int, ...]
    """Pixels of the network's input that a place of each stands for."""
    grid: int = 7
    """Places a side."""
    sampling: int = 0
    """Points a side whose mean is a place's value; 0 takes as many as the place has pixels of the
    map, rounded up."""
    aligned: bool = False
    """Whether boxes are moved by half a pixel of the map, as RoIAlign was mended later; the
    published weights were trained without."""

    def describe(self) -> dict[str, Any]:
        """What stands in a recipe's transform under `roi`."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild it from what stands in a recipe, whatever the maps were kept as."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
            if name != "of"
        }
        return cls(**values)

    def shapes(self, maps: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Shape of each of `TAPS` for one person, from those of a clip's maps."""
        channels = sum(maps[tap][-3] for tap in self.maps)
        return {"roi": (channels,), "roi_map": (channels, self.grid, self.grid)}

    def regions(self, size: tuple[int, int], boxes: Sequence[Tensor]) -> Tensor:
        """`[persons, 5]` of a batch: number of the clip, and the box in pixels of the input.

        Args:
            size: height and width of the network's input.
            boxes: `[n, 4]` of each clip, in fractions of the input's sides.
        """
        height, width = size
        clips = [torch.full((len(of_clip), 1), float(n)) for n, of_clip in enumerate(boxes)]
        pixels = torch.cat(list(boxes)) * torch.tensor([width, height, width, height])
        return torch.cat([torch.cat(clips), pixels.float()], dim=1)

    def pool(self, maps: Mapping[str, Tensor], regions: Tensor) -> dict[str, Tensor]:
        """Features of the persons of a batch, one clip's after the other's.

        Args:
            maps: tap to `[N, t, C, h, w]` or `[N, C, h, w]`, float32.
            regions: as `regions` gives them; where the maps are.

        Returns:
            `{"roi": [persons, C], "roi_map": [persons, C, grid, grid]}`.
        """
        parts = []
        for tap, stride in zip(self.maps, self.strides, strict=True):
            of_tap = maps[tap]
            if of_tap.ndim == 5:
                of_tap = of_tap.mean(dim=1)
            parts.append(
                roi_align(
                    of_tap.contiguous(),
                    regions,
                    self.grid,
                    spatial_scale=1 / stride,
                    sampling_ratio=self.sampling,
                    aligned=self.aligned,
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
                f"tap {tap} has no maps to cut boxes from: choose --maps with taps that have some"
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
