"""From a decoded frame to a network's input, and from its output to what is kept: the values.

What computes them is in `egofeat.extract.transforms`. Names: `squash` fits the whole frame into a
square (the MobileNetV2 + temporal head recipe); `weights` resizes and crops as the weights'
publisher does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe.form import Channels, Count, Part
from egofeat.recipe.motion import Motion


@dataclass(frozen=True)
class Transform(Part):
    """One way from a decoded frame to a network's input, and from its output to what is kept."""

    resize: Literal["squash", "short-side", "stretch", "whole", "unknown"]
    """`squash`: height and width become `size`, in uint8 arithmetic;
    `short-side`: the shorter does, `stretch`: height and width become `size`'s two, both in
    float32 and rounded, as the publishers' presets do; `whole`: as `short-side`, and nothing is cut
    off, so that the height and width of the input are those of the video; `unknown`: of imported
    features."""
    size: Count | tuple[Count, Count]
    """Pixels after resizing."""
    crop: Count
    """Pixels of the square crop, the network's input; of `whole`, of its shorter side."""
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    """RGB, on values scaled to [0, 1]."""
    interpolation: str = "bilinear-antialias"
    arithmetic: Literal["uint8"] | None = None
    """Of bilinear resizing, in place of float32: several times as fast on a CPU, and at most one
    level away. None: as `resize` says."""
    crops: Literal[1, 3] = 1
    """1: the centre; 3: start, centre and end of the longer side."""
    channels: Literal["RGB", "BGR", "UV"] = "RGB"
    """Order in which the network takes the colours; `UV`: it takes flow."""
    motion: Motion | None = None
    """What the network sees in place of colours."""
    pool_grid: Count | None = None
    """Places a side that maps are pooled to; None keeps them as they are."""
    pool_time: bool = False
    """Whether maps of clips are averaged over their steps."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; motion and pooling stand in it only where there is some."""
        if self.resize == "unknown":
            return {"resize": self.resize}
        form = super().to_dict()
        if self.motion:
            form["motion"] = self.motion.to_dict()
        if not self.pool_time:
            del form["pool_time"]
        return form

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """See `Part.from_dict`."""
        if form == {"resize": "unknown"}:
            return cls("unknown", 1, 1)
        plain = super().from_dict({n: value for n, value in form.items() if n != "motion"})
        if "motion" not in form:
            return plain
        try:
            return replace(plain, motion=Motion.from_dict(form["motion"]))
        except (AttributeError, ValueError) as error:
            raise ValueError(f"motion: {error}") from None

    @property
    def pixels(self) -> tuple[Any, ...]:
        """What decides the prepared frame: equal for transforms that can share it."""
        return (
            self.resize,
            self.size,
            self.crop,
            self.crops,
            self.interpolation,
            self.arithmetic,
        )

    @property
    def neighbours(self) -> tuple[int, int]:
        """Frames before and after each view that its motion is measured against."""
        return self.motion.neighbours if self.motion else (0, 0)

    def corners(self, width: int, height: int) -> list[tuple[int, int]]:
        """Left and top pixel of each square crop of a resized frame."""
        right, bottom = width - self.crop, height - self.crop
        middle = round(right / 2), round(bottom / 2)
        if self.crops == 1:
            return [middle]
        if height > width:
            return [(middle[0], top) for top in (0, middle[1], bottom)]
        return [(left, middle[1]) for left in (0, middle[0], right)]

    def crops_of(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Left, top, width and height of each crop, in fractions of the frame's sides, [crops, 4].

        Args:
            size: width and height of the frame, in pixels.
        """
        if self.resize in ("squash", "whole", "unknown"):
            return np.array([[0.0, 0.0, 1.0, 1.0]])
        width, height = self._resized(*size)
        pixels = [(left, top, self.crop, self.crop) for left, top in self.corners(width, height)]
        return np.array(pixels) / (width, height, width, height)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing; the longer is rounded down, as torchvision does."""
        if not isinstance(self.size, int):
            return self.size[1], self.size[0]
        if width <= height:
            return self.size, int(self.size * height / width)
        return int(self.size * width / height), self.size


def squash(side: int, *, mean: tuple[float, ...], std: tuple[float, ...]) -> Transform:
    """The whole frame into a square of `side` pixels."""
    return Transform(resize="squash", size=side, crop=side, mean=mean, std=std)


def as_published(
    crop: int, resize: int | tuple[int, int], size: int | None, **others: Any
) -> Transform:
    """Resize and crop as the weights' publisher does.

    Args:
        crop: pixels of the published crop.
        resize: short side, or (height, width), that it is taken from.
        size: pixels of another crop; the resize keeps its ratio to it.
        others: further fields of the transform.
    """
    scale = (size or crop) / crop
    if isinstance(resize, int):
        return Transform("short-side", round(resize * scale), size or crop, **others)
    height, width = (round(side * scale) for side in resize)
    return Transform("stretch", (height, width), size or crop, **others)


def whole(resize: int | tuple[int, int], size: int | None, **others: Any) -> Transform:
    """All of the frame, as large as the weights' publisher makes it before the crop.

    Args:
        resize: short side, or (height, width), that the publisher crops from.
        size: pixels of another short side.
        others: further fields of the transform.
    """
    side = size or (resize if isinstance(resize, int) else min(resize))
    return Transform("whole", side, side, **others)
