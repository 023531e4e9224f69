"""Maps of layers over time, each below the frames that it saw: pictures and videos.

All strips of a picture share their moments: a step stands in the column that its frame is nearest
to, so that a pathway of fewer frames has gaps where it saw nothing new.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from egofeat.pipelines.figures.fonts import usual
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.figures.style import INK, short
from egofeat.pipelines.visualize.pictures import middles

_TILE, _LEAST = 128, 40
"""Pixels of a side of a tile: at most, and where there are many."""
_WIDTH, _HEIGHT = 1150, 1800
"""Pixels that the tiles of a sheet may take."""
_GAP = 4
_LABEL = 56
"""Pixels that a time takes above a column."""
_SLOWEST, _FASTEST = 4, 60
"""Pictures a second of a video."""


@dataclass(frozen=True)
class Excerpt:
    """The frames of one clip, as a network is given them."""

    frames_THWC: Tensor
    """RGB, uint8."""
    times: NDArray[np.float64]
    """`[T]` seconds at which each is first shown."""
    rate: float
    """Frames a second at which the clip is sampled."""
    clipped: bool = False
    """Whether the video ends before the clip does, whose last frames are all the last one."""


@dataclass(frozen=True)
class Strip:
    """What chosen channels of one layer make of a clip."""

    tap: str
    maps_tChw: Tensor
    """Of all channels, float32."""
    channels: tuple[int, ...]
    """That are shown."""
    frames: NDArray[np.int64]
    """`[t]` the frame of the clip that each step is shown with, ascending."""

    @property
    def shape(self) -> str:
        """In words."""
        return " × ".join(map(str, self.maps_tChw.shape))

    @functools.cached_property
    def scaled(self) -> Tensor:
        """The chosen channels `[t, n, h, w]`, each from 0 to 1 over the clip."""
        chosen = self.maps_tChw[:, list(self.channels)]
        low, high = chosen.amin((0, 2, 3), keepdim=True), chosen.amax((0, 2, 3), keepdim=True)
        return (chosen - low) / (high - low).clamp_min(1e-12)

    def tiles(self, steps: Sequence[int], excerpt: Excerpt, side: int) -> Pixels:
        """Frames and maps of steps, `[1 + n, steps, side, side, 3]`; of step -1 nothing."""
        known = [max(step, 0) for step in steps]
        shown = excerpt.frames_THWC[torch.from_numpy(self.frames[known])]
        pictures = shown.permute(0, 3, 1, 2) / 255
        above = _fitted(pictures, side).permute(0, 2, 3, 1).numpy()
        maps = _fitted(self.scaled[known], side).transpose(0, 1).numpy()
        tiles: Pixels = np.concatenate([above[np.newaxis], coloured(maps, "viridis")])
        tiles[:, [step < 0 for step in steps]] = np.nan
        return tiles


def columns_of(strips: Sequence[Strip], most: int, *, consecutive: bool) -> NDArray[np.int64]:
    """Frames of the clip that columns stand for.

    Consecutive ones are the first of the strip with the most steps; others are evenly spread over
    the one with the fewest, so that no strip has gaps.
    """
    if consecutive:
        return max(strips, key=lambda strip: len(strip.frames)).frames[:most]
    few = min(strips, key=lambda strip: len(strip.frames)).frames
    return few[middles(len(few), min(most, len(few)))]


def steps_at(strip: Strip, columns: NDArray[np.int64], *, consecutive: bool) -> list[int]:
    """The step of a strip whose frame is nearest to each column's.

    In consecutive columns it stands in the one that its frame is nearest to, if that is not
    further than half a column; others have -1.
    """
    apart = np.abs(strip.frames[:, None] - columns)
    steps = apart.argmin(axis=0)
    if consecutive and len(columns) > 1:
        near = apart.min(axis=0) <= np.diff(columns).min() / 2
        own = apart[steps].argmin(axis=1) == np.arange(len(columns))
        steps = np.where(near & own, steps, -1)
    placed: list[int] = steps.tolist()
    return placed


def draw_strips(
    strips: Sequence[Strip],
    excerpt: Excerpt,
    out: Path,
    title: str,
    columns: int = 8,
    consecutive: bool = False,
    remark: str = "",
) -> Path:
    """Draw frames and, below them, the chosen channels of each strip, as one PNG.

    A channel's colours run from its smallest to its largest value in the whole clip.

    Args:
        strips: of one clip.
        excerpt: the clip.
        out: PNG to write.
        title: above the picture; of one strip, its name and shape are added.
        columns: most moments to show.
        consecutive: the first ones, and not evenly spread ones.
        remark: added to the note below.
    """
    moments = columns_of(strips, columns, consecutive=consecutive)
    lines = sum(1 + len(strip.channels) for strip in strips)
    side = _side(len(moments), lines)
    tiles, rows, captions = [], [], []
    for strip in strips:
        steps = steps_at(strip, moments, consecutive=consecutive)
        tiles.append(strip.tiles(steps, excerpt, side))
        names = [f"channel {channel}" for channel in strip.channels]
        rows += [f"{_wrapped(strip.tap)}\n{strip.shape}" if len(strips) > 1 else "", *names]
        times = [
            f"{excerpt.times[strip.frames[step]]:.2f}"
            if step >= 0 and strip.frames[step] != moment
            else ""
            for step, moment in zip(steps, moments, strict=True)
        ]
        captions += [*times, *[""] * len(steps) * len(names)]
    shapes = "time × channels × height × width"
    if len(strips) == 1:
        title = f"{title}: {strips[0].tap}, {strips[0].shape} ({shapes})"
    else:
        title = f"{title}: {len(strips)} layers, each {shapes}"
    return draw_mosaic(
        np.concatenate(tiles),
        out,
        title=title,
        rows=rows,
        columns=_spaced([f"{time:.2f} s" for time in excerpt.times[moments]], side),
        captions=captions,
        note=f"each channel from its smallest value (dark) to its largest (bright){remark}",
        gap=_GAP,
    )


def write_strips(strips: Sequence[Strip], excerpt: Excerpt, out: Path) -> Path:
    """Write a video (mp4), as fast as the clip: a row a strip, its frame and its channels.

    What is shown of a strip is the step whose frame is nearest.
    """
    wide = 1 + max(len(strip.channels) for strip in strips)
    side = _side(wide, len(strips))
    sheet, corners = _background(strips, wide, side)
    out.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(out), "w") as output:
        rate = float(np.clip(excerpt.rate, _SLOWEST, _FASTEST))
        fraction = Fraction(rate).limit_denominator(1001)
        stream = output.add_stream("libx264", rate=fraction)
        stream.width, stream.height, stream.pix_fmt = *sheet.size, "yuv420p"
        for moment in range(len(excerpt.times)):
            picture = sheet.copy()
            for strip, top in zip(strips, corners, strict=True):
                step = int(np.abs(strip.frames - moment).argmin())
                for place, tile in enumerate(strip.tiles([step], excerpt, side)[:, 0]):
                    image = Image.fromarray((tile * 255).round().astype(np.uint8))
                    picture.paste(image, (_GAP + place * (side + _GAP), top))
                seconds = f"{excerpt.times[strip.frames[step]]:.2f} s"
                ImageDraw.Draw(picture).text((_GAP, top + side), seconds, INK, _font())
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return out


def _background(strips: Sequence[Strip], wide: int, side: int) -> tuple[Image.Image, list[int]]:
    """Names of strips and channels on white, and where the tiles of each strip begin."""
    font, line = _font(), 20
    high = line + side + line
    size = wide * (side + _GAP) + _GAP, len(strips) * (high + _GAP) + _GAP
    sheet = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), "white")
    draw, corners = ImageDraw.Draw(sheet), []
    for number, strip in enumerate(strips):
        top = _GAP + number * (high + _GAP)
        letters = sheet.width // 8
        draw.text((_GAP, top), short(f"{strip.tap}, {strip.shape}", letters), INK, font)
        for place, channel in enumerate(strip.channels, start=1):
            draw.text((_GAP + place * (side + _GAP), top + line + side), str(channel), INK, font)
        corners.append(top + line)
    return sheet, corners


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(usual().file, 13)


def _side(columns: int, rows: int) -> int:
    """Pixels of a side of a tile, of so many on a sheet."""
    return max(_LEAST, min(_TILE, _WIDTH // columns - _GAP, _HEIGHT // rows - _GAP))


def _spaced(times: Sequence[str], side: int) -> list[str]:
    """As many of the times as there is room for above tiles of such a side."""
    every = -(-_LABEL // side)
    return [time if place % every == 0 else "" for place, time in enumerate(times)]


def _wrapped(name: str, most: int = 28) -> str:
    """A layer's name in lines of at most so many letters, divided where its parts are."""
    lines = [""]
    for part in name.split("."):
        if lines[-1] and len(lines[-1]) + len(part) >= most:
            lines.append("")
        lines[-1] += part + "."
    return "\n".join(lines).removesuffix(".")


def _fitted(pictures_NCHW: Tensor, side: int) -> Tensor:
    """To the size of a tile: squares where they are smaller, means where they are larger."""
    mode = "area" if pictures_NCHW.shape[-1] > side else "nearest"
    return F.interpolate(pictures_NCHW, (side, side), mode=mode)
