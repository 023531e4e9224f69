"""`egofeat visualize activation-maximisation`: what a channel responds to most, image or clip."""

import math
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, Spec, spec_of
from egofeat.extract.backbones.backbone import check_taps
from egofeat.extract.backbones.inside import shapes_of
from egofeat.pipelines.figures.mosaics import Pixels, draw_mosaic
from egofeat.pipelines.visualize.ascent import maximise
from egofeat.pipelines.visualize.options import MaximisationConfig
from egofeat.pipelines.visualize.pictures import (
    Pictures,
    file_of,
    load_inside,
    middles,
    remark_of,
)

SIZE, CLIP_SIZE = 128, 96
"""Pixels of a side: several receptive fields of the middle blocks."""
FRAMES = 16
_STEPS, _CLIP_STEPS = 160, 64
_BLOCKS = (1, 4, 8, 12)
_CHANNELS, _CLIP_CHANNELS = 12, 4
"""Channels of a tap whose images are made where none are named."""
_COLUMNS, _MOMENTS = 6, 8
"""Images on a line; frames of a clip."""
_OF_CLIPS = ("clip_frames", "slowness")
"""Options that have no meaning for images."""
_RATE = 8
"""Frames a second of a video."""


def activation_maximisation(asked: MaximisationConfig) -> Pictures:
    """Draw what channels of chosen taps answer to most: a PNG a tap.

    Of images, there is an overview of several taps; of clips, each tap has a video too.

    Raises:
        RequestError: no such backbone, tap, layer, block or channel, one without maps, a size or
            a number of frames that the network does not take, or a backbone of flow.
        WeightsError: see `load`.
    """
    spec = spec_of(asked.backbone)
    if spec.channels != 3:
        raise RequestError(
            f"{asked.backbone} sees flow, and images are made of colours: choose another `backbone`"
        )
    if not spec.clip and (idle := [name for name in _OF_CLIPS if _given(asked, name)]):
        ends = "is of clips, and changes" if len(idle) == 1 else "are of clips, and change"
        names = " and ".join(f"`{name}`" for name in idle)
        console.note(f"{spec.called} sees single images: {names} {ends} nothing")
    size = asked.size or (CLIP_SIZE if spec.clip else SIZE)
    frames, steps = _frames(asked, spec), asked.steps or (_CLIP_STEPS if spec.clip else _STEPS)
    network = load_inside(asked, _taps(asked, spec), asked.device)
    taps = _taps(asked, spec) or _middle(network, size, frames)
    chosen = _channels(network, taps, asked, size, frames)
    drawn, made = [], {}
    with console.progress(
        "maximising", steps * sum(map(len, chosen.values())), "steps"
    ) as progress:
        for tap in taps:
            alone = load_inside(asked, [tap], asked.device)
            made[tap] = maximise(
                alone,
                tap,
                chosen[tap],
                size=size,
                steps=steps,
                frames=frames,
                slowness=asked.slowness,
                seed=asked.seed,
                on_step=progress,
            )
            drawn += _draw(made[tap], chosen[tap], asked, tap, remark_of(network))
    if not spec.clip:
        drawn.append(_overview(made, chosen, asked, remark_of(network)))
    return Pictures.of(drawn)


def _given(asked: MaximisationConfig, name: str) -> bool:
    """Whether an option has another value than its default."""
    default = next(one.default for one in fields(asked) if one.name == name)
    return bool(getattr(asked, name) != default)


def _frames(asked: MaximisationConfig, spec: Spec) -> int:
    """Of a clip; 1 of an image."""
    clip = spec.clip
    if clip is None:
        return 1
    frames = asked.clip_frames or -(-max(FRAMES, clip.fewest) // clip.multiple) * clip.multiple
    if frames < clip.fewest or frames % clip.multiple:
        several = f", in multiples of {clip.multiple}" if clip.multiple > 1 else ""
        raise RequestError(
            f"`clip_frames` {frames}: {spec.called} needs at least {clip.fewest}{several}"
        )
    return frames


def _taps(asked: MaximisationConfig, spec: Spec) -> list[str]:
    """Those that are asked for, or blocks; none of a network that has no blocks.

    Raises:
        RequestError: a block that the network has not.
    """
    numbered = "block0" in spec.taps
    if asked.blocks and not numbered:
        raise RequestError(f"{spec.called} has no numbered blocks: give `taps`")
    blocks = asked.blocks or (_BLOCKS if numbered and not asked.taps else ())
    return [*asked.taps, *check_taps([f"block{number}" for number in blocks], spec)]


def _middle(network: Backbone, size: int, frames: int) -> list[str]:
    """Three of the taps of maps, evenly spread."""
    shapes = network.tap_shapes(size, frames)
    taps = [tap for tap, shape in shapes.items() if len(shape) >= 3]
    if not taps:
        raise RequestError(f"{network.spec.called} has no taps of maps: choose another `backbone`")
    return [taps[place] for place in middles(len(taps), min(3, len(taps)))]


def _channels(
    network: Backbone, taps: Sequence[str], asked: MaximisationConfig, size: int, frames: int
) -> dict[str, list[int]]:
    spec, wanted = network.spec, asked.channels
    shapes = network.tap_shapes(size, frames)
    shapes |= shapes_of(network, [tap for tap in taps if tap not in spec.taps], size, frames)
    chosen = {}
    for tap in taps:
        if len(shapes[tap]) != (4 if spec.clip else 3):
            raise RequestError(f"the tap '{tap}' of {spec.called} is no maps: choose one that is")
        count = shapes[tap][-3]
        for channel in wanted:
            if channel >= count:
                raise RequestError(
                    f"`channels` {channel}: {tap} of {spec.called} has channels 0 to {count - 1}"
                )
        few = min(count, _CLIP_CHANNELS if spec.clip else _CHANNELS)
        chosen[tap] = list(dict.fromkeys(wanted or middles(count, few).tolist()))
    return chosen


def _draw(
    made: Pixels, channels: Sequence[int], asked: MaximisationConfig, tap: str, remark: str
) -> list[Path]:
    out = file_of(asked, "activation-maximisation", tap)
    kind = "images" if made.shape[1] == 1 else "clips"
    title = f"{asked.backbone} {tap}: {kind} that a channel responds to most"
    if made.shape[1] == 1:
        rows = [""] * math.ceil(len(made) / _COLUMNS)
        return [_mosaic(made[:, 0], channels, out, title, rows, remark)]
    moments = middles(made.shape[1], min(_MOMENTS, made.shape[1]))
    picture = draw_mosaic(
        made[:, moments],
        out,
        title=title,
        rows=[f"channel {channel}" for channel in channels],
        columns=[f"frame {moment}" for moment in moments],
        note=f"{made.shape[1]} frames; change over time weighs {asked.slowness:g} × that over space"
        + remark,
        gap=4,
    )
    return [picture, _write(made, out.with_suffix(".mp4"))]


def _overview(
    made: dict[str, Pixels],
    chosen: dict[str, list[int]],
    asked: MaximisationConfig,
    remark: str,
) -> Path:
    width = min(_COLUMNS, *map(len, made.values()))
    first = [channel for of_tap in chosen.values() for channel in of_tap[:width]]
    images = np.concatenate([images[:width, 0] for images in made.values()])
    title = f"{asked.backbone}: images that a channel of each tap responds to most"
    out = file_of(asked, "activation-maximisation")
    return _mosaic(images, first, out, title, list(made), remark)


def _mosaic(
    images: Pixels, channels: Sequence[int], out: Path, title: str, rows: Sequence[str], remark: str
) -> Path:
    captions, note = list(map(str, channels)), f"the number is the channel's{remark}"
    return draw_mosaic(images, out, title=title, rows=rows, captions=captions, note=note, gap=4)


def _write(clips_NTHWC: Pixels, out: Path) -> Path:
    """Write clips side by side as a video (mp4), forward twice."""
    out.parent.mkdir(parents=True, exist_ok=True)
    frames = np.concatenate(list((clips_NTHWC * 255).round().astype(np.uint8)), axis=2)
    high, wide = (side - side % 2 for side in frames.shape[1:3])
    with av.open(str(out), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(_RATE))
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        for frame in [*frames, *frames]:
            shown = np.ascontiguousarray(frame[:high, :wide])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        output.mux(stream.encode(None))
    return out
