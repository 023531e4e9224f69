"""`egofeat visualize flow`: u, v, magnitude, and direction by the colour wheel."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import resize
from torchvision.utils import flow_to_image

from egofeat import console
from egofeat.adapters.videos import one_video
from egofeat.device import choose_device
from egofeat.errors import MediaError
from egofeat.extract.backbones import spec_of
from egofeat.extract.flow import beside_decoder, choose_motion, on_device
from egofeat.extract.flow.encoding import decode
from egofeat.extract.video import FlowSource, open_video
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.visualize.options import FlowConfig
from egofeat.pipelines.visualize.pictures import Pictures, moment_of, place
from egofeat.recipe import Uniform
from egofeat.recipe.motion import Method, Motion
from egofeat.segments import Media

_MOMENTS = 6
"""Columns of a picture."""
_APART = 0.25
"""Seconds from one column to the next."""
_SHORT_SIDE = 256
"""Pixels that larger frames are made before flow is computed, as for most networks."""
_TILE = 160
"""Height of a tile, pixels."""


@dataclass(frozen=True)
class Moments:
    """Frames, and where their pixels go until the next."""

    frames_NHWC: Tensor | None
    """RGB, uint8; None where the media are flow."""
    flows_NHWC: Tensor
    """(u, v), pixels at a short side of 256, or the frame's own where that is smaller; of shipped
    flow, as shipped."""
    times: NDArray[np.float64]
    """`[N]` seconds."""


def flow(asked: FlowConfig) -> Pictures:
    """Draw the optical flow of a few frames, one PNG; see `draw_flow`.

    Raises:
        RequestError: no such method, or what it needs is not there.
        WeightsError: RAFT's weights are not to be had.
        MediaError: the video cannot be read, or ends before the start.
    """
    video, method = asked.video, asked.method
    motion = choose_motion(spec_of("flow_grid"), method, note=console.note)
    assert motion is not None
    media = one_video(video, asked.fps or 30.0)
    moments = read_moments(media, motion.method, asked.start, choose_device(asked.device))
    out = place(asked.out, "flow", method, moment_of(video, asked.start))
    return Pictures.of([draw_flow(moments, out, f"optical flow of {video.name} by {method}")])


def read_moments(media: Media, method: Method, start: float, device: torch.device) -> Moments:
    """Six moments a quarter of a second apart, from `start` seconds on, fewer near the end.

    Raises:
        MediaError: the video cannot be read, ends before, or is not what the method takes.
        RequestError: the method's library is not there.
        WeightsError: RAFT's weights are not there.
    """
    motion = Motion(method, values="float32")
    with open_video(media) as source:
        if isinstance(source, FlowSource) != motion.of_flow_frames:
            shipped = isinstance(source, FlowSource)
            holds = "flow: give `method` frames" if shipped else "colours, and no flow"
            raise MediaError(f"{media.path} holds {holds}")
        stop = min(start + _MOMENTS * _APART, source.stop)
        plan = Uniform(_MOMENTS).plan(
            start, stop, source.times, source.stop, motion.neighbours, source.lasting
        )
        views = np.unique(plan.indices, axis=0)
        frames = torch.from_numpy(source.frames(views.ravel().tolist()))
        times = source.times[views[:, 0]]
    if motion.of_flow_frames:
        return Moments(None, decode(frames[..., :2]), times)
    if min(frames.shape[1:3]) > _SHORT_SIDE:
        frames = _resized(frames, [_SHORT_SIDE])
    compute, finish = beside_decoder(motion), on_device(motion, device)
    flows = []
    with console.progress("computing flow", len(views), "frames") as progress:
        for number, view in enumerate(views.tolist()):
            pair = frames[2 * number : 2 * number + 2, None]
            moved = finish(compute(tuple(view), pair)[None].to(device))
            flows.append(decode(moved[0, 0, 0].cpu()))
            progress(1)
    return Moments(frames[::2], torch.stack(flows), times)


def draw_flow(moments: Moments, out: Path, title: str) -> Path:
    """Draw one column a moment; at the end of the last row, the wheel that its colours are of.

    The strongest colours stand for the 99th percentile of the magnitude, 1 pixel at least.

    Args:
        moments: what is drawn.
        out: PNG to write.
        title: above the picture.
    """
    flows: NDArray[np.float32] = moments.flows_NHWC.numpy()
    magnitude: NDArray[np.float32] = np.hypot(flows[..., 0], flows[..., 1])
    strongest = max(1.0, float(np.percentile(magnitude, 99)))
    scaled = (flows / np.float32(strongest)).astype(np.float32)
    centred = (scaled + np.float32(1)) / np.float32(2)  # from [-1, 1] to [0, 1]
    rows: dict[str, Pixels] = {
        "u, to the right": coloured(centred[..., 0], "RdBu_r"),
        "v, downwards": coloured(centred[..., 1], "RdBu_r"),
        "magnitude": coloured(np.hypot(scaled[..., 0], scaled[..., 1]), "magma"),
        "direction": wheel_colours(scaled),
    }
    if moments.frames_NHWC is not None:
        frames: Pixels = (moments.frames_NHWC.float() / 255).numpy()
        rows = {"frame": frames, **rows}
    sides = [_TILE, round(_TILE * flows.shape[2] / flows.shape[1])]
    # Rounding goes beyond 1.
    tiles = np.stack(
        [_resized(torch.from_numpy(row), sides).clip(0, 1).numpy() for row in rows.values()]
    )
    legend = np.full_like(tiles[:, :1], np.nan)
    wheel = draw_wheel(min(tiles.shape[2:4]))
    top, left = ((side - len(wheel)) // 2 for side in tiles.shape[2:4])
    legend[-1, 0, top : top + len(wheel), left : left + len(wheel)] = wheel
    return draw_mosaic(
        np.concatenate([tiles, legend], axis=1),
        out,
        title=title,
        rows=list(rows),
        columns=[*(f"{time:.2f} s" for time in moments.times), ""],
        captions=[*[""] * (tiles.shape[0] * (tiles.shape[1] + 1) - 1), "the wheel"],
        note=f"pixels to the next frame; the strongest colours are {strongest:.1f} pixels: "
        "u and v red to the right and down, blue to the left and up",
        gap=4,
    )


def wheel_colours(flows: NDArray[np.float32]) -> Pixels:
    """Hue by direction, saturation by length: `[n, H, W, 2]`, 1 the longest, to RGB `[n, H, W, 3]`.

    Red points to the right; clockwise, as the eye sees it, follow yellow, green, blue.
    """
    longest = np.hypot(flows[..., :1], flows[..., 1:]).clip(min=1)
    ways = F.pad(torch.from_numpy(flows / longest).movedim(-1, 1), (0, 1))
    ways[:, 0, :, -1] = 1  # a column of the longest, by which the wheel is scaled
    colours: NDArray[np.uint8] = flow_to_image(ways)[..., :-1].movedim(1, -1).numpy()
    return colours.astype(np.float32) / np.float32(255)


def draw_wheel(side: int) -> Pixels:
    """The wheel itself, `[side, side, 3]`: what colour stands for the way from the middle."""
    ways = np.linspace(-1, 1, side, dtype=np.float32)
    flows = np.stack(np.meshgrid(ways, ways), axis=-1)
    wheel: Pixels = wheel_colours(flows[np.newaxis])[0]
    wheel[np.hypot(flows[..., 0], flows[..., 1]) > 1] = np.nan
    return wheel


def _resized(pictures_NHWC: Tensor, sides: list[int]) -> Tensor:
    pictures = pictures_NHWC.movedim(-1, 1)
    resized: Tensor = resize(pictures, sides, antialias=True)
    return resized.movedim(1, -1)
