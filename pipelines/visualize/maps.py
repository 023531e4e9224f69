"""`egofeat visualize maps`: a clip, and below it maps of the strongest channels over time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, spec_of
from egofeat.extract.transforms import normalise, prepare
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import options
from egofeat.pipelines.extraction.choices import choose_transform
from egofeat.pipelines.figures.mosaics import coloured, draw_mosaic
from egofeat.pipelines.visualize.options import MapsConfig
from egofeat.pipelines.visualize.pictures import (
    Pictures,
    file_of,
    load_network,
    maps_and_vectors,
    middles,
)
from egofeat.recipe import Clips
from egofeat.recipe.transform import Transform
from egofeat.segments import Media

CHANNELS = 8
"""Rows of a picture."""
_STEPS = 8
"""Most columns of a picture."""
_TILE = 128
"""Pixels of a side of a tile; a map is shown by squares of whole pixels where it is smaller."""


@dataclass(frozen=True)
class Excerpt:
    """The frames of one clip, as a network is given them."""

    frames_THWC: NDArray[np.uint8]
    times: NDArray[np.float64]
    """`[T]` seconds at which each is first shown."""


def maps(asked: MapsConfig) -> Pictures:
    """Draw the feature maps of a clip, a PNG a tap.

    Raises:
        RequestError: no such video, backbone or tap, a tap without maps, or a backbone of flow.
        WeightsError: see `load`.
        MediaError: the video cannot be read, or ends before the start.
    """
    backbone, video, spec = asked.backbone, asked.video, spec_of(asked.backbone)
    if not video.exists():
        raise RequestError(f"there is no video {video}: give `video` a file that exists")
    if spec.channels != 3:
        raise RequestError(
            f"{backbone} sees flow, and visualize maps draws what networks make of colours: see "
            "flow itself with egofeat visualize flow, or choose another `backbone`"
        )
    network = load_network(asked, asked.taps or maps_and_vectors(spec), asked.device)
    transform = choose_transform(network.spec, network.published, options.Pixels())
    plan = plan_of(network)
    shapes = network.tap_shapes(transform.crop, plan.frames)
    for tap in asked.taps:
        if len(shapes[tap]) == 1:
            raise RequestError(f"the tap '{tap}' of {backbone} is a vector: choose one with maps")
    excerpt = read_excerpt(video, plan, transform, asked.start)
    drawn = []
    for tap, of_tap in maps_of(network, transform, excerpt).items():
        seen = list(network.frames_seen(tap, len(excerpt.times)))
        of_frames = Excerpt(excerpt.frames_THWC[seen], excerpt.times[seen])
        title = f"{backbone} on {video.name}: {tap}"
        drawn.append(draw_maps(of_tap, of_frames, file_of(asked, "maps", tap), title))
    return Pictures.of(drawn)


def plan_of(backbone: Backbone) -> Clips:
    """One clip as the network was trained on; image networks see 8 frames of two seconds."""
    clip = backbone.spec.clip
    if clip is None:
        return Clips(clips=1, frames=_STEPS, stride=8, fps=30.0)
    return Clips(clips=1, frames=clip.frames, stride=clip.stride, fps=clip.fps)


def read_excerpt(video: Path, plan: Clips, transform: Transform, start: float) -> Excerpt:
    """Read and prepare the clip that begins at `start` seconds; a short one repeats its last frame.

    Raises:
        MediaError: the video cannot be read, or ends before.
    """
    stop = start + plan.frames * plan.stride / plan.fps
    with open_video(Media(video)) as source:
        indices = plan.plan(start, stop, source.times, source.stop).indices[0]
        wanted, places = np.unique(indices, return_inverse=True)
        frames = [prepare(transform, frame)[0] for _, frame in source.scan(wanted.tolist())]
        return Excerpt(np.stack(frames)[places], source.times[indices])


def maps_of(backbone: Backbone, transform: Transform, excerpt: Excerpt) -> dict[str, Tensor]:
    """Maps `[t, C, h, w]` of every tap of the backbone that has them."""
    frames = torch.from_numpy(excerpt.frames_THWC).to(backbone.device)
    if backbone.spec.clip is None:
        outputs = backbone(normalise(transform, frames))
    else:
        of_clip = backbone(normalise(transform, frames[None]))
        outputs = {tap: maps[0] for tap, maps in of_clip.items()}
    return {tap: maps for tap, maps in outputs.items() if maps.ndim == 4}


def draw_maps(maps_tChw: Tensor, excerpt: Excerpt, out: Path, title: str) -> Path:
    """Draw the frames and, below them, the channels that vary most over the clip.

    A channel's colours run from its smallest to its largest value in the whole clip. Of
    more than 8 time steps, as many are shown, evenly spread; the frame above a step is
    the one in the middle of its share of the frames.

    Args:
        maps_tChw: of one clip.
        excerpt: the frames that they were made of.
        out: PNG to write.
        title: above the picture; the shape is added.
    """
    maps = maps_tChw.float().cpu()
    strongest = maps.std(dim=(0, 2, 3), correction=0).argsort(descending=True, stable=True)
    strongest = strongest[:CHANNELS]
    steps = middles(len(maps), min(_STEPS, len(maps)))
    frames = middles(len(excerpt.times), len(maps))[steps]

    chosen = maps[:, strongest]
    low, high = chosen.amin((0, 2, 3), keepdim=True), chosen.amax((0, 2, 3), keepdim=True)
    scaled = ((chosen - low) / (high - low).clamp_min(1e-12))[torch.from_numpy(steps)]
    painted = coloured(_fitted(scaled).transpose(0, 1).numpy(), "viridis")
    pictures = torch.from_numpy(excerpt.frames_THWC[frames]).permute(0, 3, 1, 2) / 255
    above = _fitted(pictures).permute(0, 2, 3, 1).numpy()
    shape = " × ".join(map(str, maps.shape))
    return draw_mosaic(
        np.concatenate([above[np.newaxis], painted]),
        out,
        title=f"{title}, {shape} (time × channels × height × width)",
        rows=["", *(f"channel {channel}" for channel in strongest.tolist())],
        columns=[f"{excerpt.times[frame]:.2f} s" for frame in frames],
        note="channels that vary most; each from its smallest value (dark) to its largest (bright)",
        gap=4,
    )


def _fitted(pictures_NCHW: Tensor) -> Tensor:
    """To the size of a tile: squares where they are smaller, means where they are larger."""
    mode = "area" if pictures_NCHW.shape[-1] > _TILE else "nearest"
    return F.interpolate(pictures_NCHW, (_TILE, _TILE), mode=mode)
