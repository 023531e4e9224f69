"""`egofeat visualize maps`: a clip, and below it what channels of chosen layers make of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from egofeat import console
from egofeat.adapters.videos import one_video
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, spec_of
from egofeat.extract.backbones.inside import outputs_of, shapes_of
from egofeat.extract.transforms import normalise, prepare
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import options
from egofeat.pipelines.extraction.choices import choose_transform
from egofeat.pipelines.figures.style import short
from egofeat.pipelines.visualize.options import MapsConfig
from egofeat.pipelines.visualize.pictures import (
    Pictures,
    file_of,
    load_inside,
    middles,
    moment_of,
    remark_of,
)
from egofeat.pipelines.visualize.strips import Excerpt, Strip, draw_strips, write_strips
from egofeat.recipe import Clips
from egofeat.recipe.transform import Transform
from egofeat.segments import Media

CHANNELS = 8
"""Of each tap, where none are named."""
_MOST = 40
"""Channels in one picture."""
_SECONDS = 2.0
"""What image networks are shown of a video."""


def maps(asked: MapsConfig) -> Pictures:
    """Draw the feature maps of a clip, a PNG a tap or one of all; with `mp4`, a video of each.

    A layer that is no tap is named as in the published checkpoint. It is looked at in the network
    as published, whose batch norms are layers of their own.

    Raises:
        RequestError: no such video, backbone, layer or channel, frames without a rate, a layer
            without maps, more channels than a picture has room for, or a backbone of flow.
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
    if asked.channels and asked.random_channels:
        raise RequestError("choose `channels` or `random_channels`, not both")
    media = one_video(video, asked.fps)
    network = load_inside(asked, asked.taps, asked.device)
    transform = choose_transform(network.spec, network.published, options.Pixels())
    plan = plan_of(network, asked.columns)
    chosen = choose_channels(asked, _shapes(asked, network, transform.crop, plan.frames))
    own = asked.consecutive and network.spec.clip is None
    excerpt = read_excerpt(media, plan, transform, asked.start, own_frames=own)
    if excerpt.clipped:
        console.note(f"{video} ends before the clip does: its last frame is repeated")
    made = maps_of(network, asked.taps, transform, excerpt)
    strips = [
        strip_of(network, tap, made[tap], chosen.get(tap) or strongest(made[tap]), excerpt)
        for tap in asked.taps or made
    ]
    drawn, title = [], f"{backbone} on {short(video.name, 40)}"
    for some in [strips] if asked.together and len(strips) > 1 else [[one] for one in strips]:
        words = some[0].tap if len(some) == 1 else "together"
        out = file_of(asked, "maps", moment_of(video, asked.start), words)
        spread = asked.columns, asked.consecutive
        drawn.append(draw_strips(some, excerpt, out, title, *spread, remark_of(network)))
        if asked.mp4:
            drawn.append(write_strips(some, excerpt, out.with_suffix(".mp4")))
    return Pictures.of(drawn)


def _shapes(
    asked: MapsConfig, network: Backbone, size: int, frames: int
) -> dict[str, tuple[int, ...]]:
    """Shape of what is asked for, if it is maps; of no tap in particular, of those that have them.

    Raises:
        RequestError: a tap or a layer is a vector.
    """
    layers = [tap for tap in asked.taps if tap not in network.spec.taps]
    shapes = network.tap_shapes(size, frames) | shapes_of(network, layers, size, frames)
    axes = 3 if network.spec.clip is None else 4
    for tap in asked.taps:
        if len(shapes[tap]) != axes:
            kind = "a vector" if len(shapes[tap]) == 1 else "no row of maps"
            raise RequestError(f"the tap '{tap}' of {asked.backbone} is {kind}: choose one of maps")
    return {tap: shapes[tap] for tap in asked.taps or shapes if len(shapes[tap]) == axes}


def choose_channels(
    asked: MapsConfig, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, list[int]]:
    """Channels of each tap that are named, or drawn at random; none where the strongest are.

    Raises:
        RequestError: a channel that a tap has not, or more than a picture has room for.
    """
    count, chosen = len(asked.channels) or asked.random_channels or CHANNELS, {}
    if (rows := count * (len(shapes) if asked.together else 1)) > _MOST:
        raise RequestError(
            f"a picture has room for {_MOST} channels, and {rows} are asked for: choose fewer "
            "channels or taps"
        )
    for tap, shape in shapes.items():
        own = shape[-3]
        if wrong := [channel for channel in asked.channels if channel >= own]:
            raise RequestError(
                f"`channels` {wrong[0]}: {tap} of {asked.backbone} has channels 0 to {own - 1}"
            )
        if asked.random_channels:
            draw = np.random.default_rng(asked.seed).permutation(own)
            chosen[tap] = sorted(draw[: asked.random_channels].tolist())
        elif asked.channels:
            chosen[tap] = list(dict.fromkeys(asked.channels))
    return chosen


def plan_of(backbone: Backbone, columns: int = 8) -> Clips:
    """One clip as the network was trained on; image networks see so many frames of two seconds."""
    clip = backbone.spec.clip
    if clip is not None:
        return Clips(clips=1, frames=clip.frames, stride=clip.stride, fps=clip.fps)
    return Clips(clips=1, frames=columns, stride=max(1, round(_SECONDS * 30 / columns)), fps=30.0)


def read_excerpt(
    media: Media, plan: Clips, transform: Transform, start: float, *, own_frames: bool = False
) -> Excerpt:
    """Read and prepare the clip that begins at `start` seconds; a short one repeats its last frame.

    Args:
        media: file, or frames.
        plan: of one clip.
        transform: how frames are prepared.
        start: seconds.
        own_frames: take the video's own frames from there on, as many as the plan has.

    Raises:
        MediaError: the video cannot be read, or ends before.
    """
    stop = start + plan.frames * plan.stride / plan.fps
    with open_video(media) as source:
        planned = plan.plan(start, stop, source.times, source.stop)
        indices, rate = planned.indices[0], plan.fps / plan.stride
        ends = start + (plan.frames - 1) / rate >= source.stop
        clipped = ends and bool((indices[-2:] == indices[-1]).all())
        if own_frames:
            last = len(source.times) - 1
            wanted = indices[0] + np.arange(len(indices))
            indices, clipped = wanted.clip(max=last), bool(wanted[-1] > last)
            rate = 1 / float(np.median(np.diff(source.times))) if last else plan.fps
        wanted, places = np.unique(indices, return_inverse=True)
        seen = [prepare(transform, frame)[0] for _, frame in source.tensors(wanted.tolist())]
        frames = torch.stack(seen)[torch.from_numpy(places)]
        return Excerpt(frames, source.times[indices], rate, clipped)


def maps_of(
    backbone: Backbone, taps: Sequence[str], transform: Transform, excerpt: Excerpt
) -> dict[str, Tensor]:
    """Maps `[t, C, h, w]` of taps, or layers, of a backbone; of none, all that it keeps."""
    frames = excerpt.frames_THWC.to(backbone.device)
    images = backbone.spec.clip is None
    batch = normalise(transform, frames if images else frames[None])
    layers = [tap for tap in taps if tap not in backbone.spec.taps]
    outputs = outputs_of(backbone, layers, batch)
    if not taps or len(layers) < len(taps):
        outputs |= backbone(batch)
    if not images:
        outputs = {tap: of_clip[0] for tap, of_clip in outputs.items()}
    return {tap: of_tap for tap, of_tap in outputs.items() if of_tap.ndim == 4}


def strip_of(
    backbone: Backbone, tap: str, maps_tChw: Tensor, channels: Sequence[int], excerpt: Excerpt
) -> Strip:
    """Chosen channels, and the frame that each step is shown with.

    It is the one in the middle of the step's share of the frames that the tap's pathway is given.
    """
    seen = np.array(backbone.frames_seen(tap, len(excerpt.times)))
    places = middles(len(seen), len(maps_tChw))
    return Strip(tap, maps_tChw.float().cpu(), tuple(channels), seen[places])


def strongest(maps_tChw: Tensor) -> list[int]:
    """The channels that vary most over the clip."""
    spread = maps_tChw.std(dim=(0, 2, 3), correction=0)
    order: list[int] = spread.argsort(descending=True, stable=True).tolist()
    return order[:CHANNELS]
