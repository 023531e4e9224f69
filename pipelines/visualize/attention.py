"""`egofeat visualize attention`: where a run's head looks, beside where the wearer looked."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from egofeat.adapters.videos import one_video
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.transforms import prepare
from egofeat.extract.video import open_video
from egofeat.heads.fusion import for_members
from egofeat.heads.gaze import Attentive, gaze_maps
from egofeat.manifest import load_manifest
from egofeat.pipelines.extraction.in_memory import unread
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.runs.config import Source
from egofeat.pipelines.runs.rows import open_run_store, refuse_persons
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.pipelines.training.gaze import attend, points_of
from egofeat.pipelines.training.predict import features_of
from egofeat.pipelines.visualize.options import AttentionConfig
from egofeat.pipelines.visualize.pictures import Pictures, middles, place
from egofeat.recipe import Transform
from egofeat.recipe.moments import frames_at
from egofeat.segments import Media
from egofeat.store import Rows

_COLUMNS = 8
_TILE = 128
"""Pixels of a side of a tile of the strip."""
_SIDE = 256
"""Pixels of a side of a picture of the video."""
_DIM = 0.45
"""Of a frame's light, what is left where nothing is looked at."""
_GLOW = 0.35
"""Of a place that is looked at most, what is colour in place of frame."""


@dataclass(frozen=True)
class Looked:
    """Where one head looks in one stretch of video."""

    media: Media
    start: float
    stop: float
    """Seconds, exclusive; infinity means the end of the video."""
    attention: Tensor
    """`[T,h,w]`, of sum 1 over space."""
    moments: NDArray[np.float64]
    """`[T]` seconds that each step speaks of."""
    transform: Transform
    """Of the features: what the network sees of a frame."""
    points: NDArray[np.float32] | None = None
    """`[T,3]` where the wearer looked, as `egofeat.heads.gaze` has them."""

    @property
    def gaze(self) -> Tensor | None:
        """Gaze drawn on the grid of the attention, `[T,h,w]`; all nought where there is none."""
        if self.points is None:
            return None
        points = torch.from_numpy(self.points)
        size = (self.attention.shape[1], self.attention.shape[2])
        drawn = gaze_maps(points[None].nan_to_num(), size, 1.0)[0]
        return torch.where(points[:, 2, None, None] > 0, drawn, 0.0)


def attention(asked: AttentionConfig) -> Pictures:
    """Draw where a run's head looks in a video or in a segment: a strip (PNG) and a video (mp4).

    Of a segment, attention is that on the store's own features, and gaze is shown where the
    store has it; the frames are read again. Of a video, features are made as the store's were.
    A run of a head a store has a strip and a video for each head that attends.

    Raises:
        RequestError: no such run or segment, a run on persons, both or neither of video and
            segment, frames without a rate, or a head without attention over places.
        StoreError: the store is absent, or holds features of another recipe.
        WeightsError: the backbone's weights are not those of the run.
        MediaError: the video cannot be read.
    """
    video, segment = asked.video, asked.segment
    if (video is None) == (segment is None):
        raise RequestError("name one thing to look at: `video` FILE, or `segment` ID")
    run = load_run(asked.run)
    refuse_persons(run)
    if not any(isinstance(member, Attentive) for member in run.head.members):
        raise RequestError(
            f"head '{run.config.head}' of run {run.path} has no attention over places: draw that "
            "of stam or flow_attention"
        )
    run.head.to(choose_device(asked.device))
    if video is not None:
        looked, name = _of_video(run, video, asked), video.stem
    else:
        assert segment is not None
        store = open_run_store(run, asked.store)
        media = load_manifest(asked.manifest).dataset(store.dataset).media
        looked, name = looks_at(run, store, segment, media), segment
    drawn = []
    of_run = "/".join(run.path.absolute().parts[-2:])  # of seeds, the folder above says whose
    title = f"{run.config.head} of {of_run} looks at {name}"
    for number, one in enumerate(looked, start=1):
        which = [str(number)] if len(looked) > 1 else []
        out = place(asked.out, "attention", of_run, name, *which)
        drawn += [draw_strip(one, out, title), write_video(one, out.with_suffix(".mp4"))]
    return Pictures.of(drawn)


def looks_at(run: Run, store: Rows, segment: str, media: Mapping[str, Media]) -> list[Looked]:
    """Where each head of a run that attends looks in a segment, by the store's own features.

    Args:
        run: not of persons.
        store: of the run, opened.
        segment: its id.
        media: video to where it lies.

    Raises:
        RequestError: no such segment.
        StoreError: the features cannot be read.
    """
    row = store.table.of([segment])
    if row[0] < 0:
        raise RequestError(f"store {store.path} has no segment '{segment}'")
    looked = []
    for (member, features), of, source in zip(
        run.branches(store), store.stores, run.config.sources, strict=False
    ):
        if isinstance(member, Attentive):
            (there,) = of.table.of([segment])
            video, times = media[str(of.videos[there])], of.times[there]
            start, stop = float(of.starts[there]), float(of.stops[there])
            points = points_of(features, row)
            one = _looked(source, video, start, stop, times, attend(member, features, row), points)
            looked.append(one)
    return looked


def _of_video(run: Run, video: Path, asked: AttentionConfig) -> list[Looked]:
    media = one_video(video, asked.fps)
    memories = features_of(run, {str(video): media}, asked.weights, asked.device)
    for memory in memories:
        if memory.failures:
            raise RequestError(unread(str(video), memory.failures[0].reason))
    blocks = [torch.from_numpy(memory.features[str(video)])[None] for memory in memories]
    of_members = zip(run.head.members, for_members(run.head, blocks), strict=True)
    with open_video(media) as opened:
        frames, end = opened.times, opened.stop
    looked = []
    for (member, features), source in zip(of_members, run.config.sources, strict=False):
        if isinstance(member, Attentive):
            views = source.recipe.plan.plan(0.0, np.inf, frames, end)
            times = views.times.repeat(source.recipe.transform.crops)
            with torch.inference_mode():
                seen = member.attention(features.to(choose_device(asked.device)))
            looked.append(_looked(source, media, 0.0, np.inf, times, seen.float().cpu()))
    return looked


def _looked(
    source: Source,
    media: Media,
    start: float,
    stop: float,
    times: NDArray[np.float64],
    attention: Tensor,
    points: NDArray[np.float32] | None = None,
) -> Looked:
    """Of one row, the steps that see the middle crop: all of them where there is one crop.

    Args:
        source: of the row.
        media: where its frames are.
        start: seconds.
        stop: seconds, exclusive.
        times: `[views × crops]` seconds of its views.
        attention: `[1,T,h,w]`.
        points: `[1,T,3]`, or None.
    """
    recipe, steps = source.recipe, source.recipe.steps_of(source.tap)
    crops = recipe.transform.crops
    middles, _ = recipe.plan.stretches(steps, np.array([start]), times[np.newaxis, ::crops])
    places = np.arange(crops * middles.size).reshape(-1, crops, steps)[:, crops // 2].ravel()
    return Looked(
        media=media,
        start=start,
        stop=stop,
        attention=attention[0][torch.from_numpy(places)],
        moments=middles.ravel(),
        transform=recipe.transform,
        points=None if points is None else points[0][places],
    )


def draw_strip(looked: Looked, out: Path, title: str) -> Path:
    """Draw frames, attention over them and gaze over them, of at most 8 steps, evenly spread."""
    steps = middles(len(looked.moments), min(_COLUMNS, len(looked.moments)))
    frames = frames_of(looked, steps, _TILE)
    shown = {"frame": frames, "attention": lit(frames, looked.attention[steps])}
    gaze = looked.gaze
    if gaze is not None:
        shown["gaze"] = lit(frames, gaze[steps])
    return draw_mosaic(
        np.stack(list(shown.values())),
        out,
        title=title,
        rows=list(shown),
        columns=[f"{moment:.2f} s" for moment in looked.moments[steps]],
        note="each step from nothing (dark) to its most looked-at place (bright)",
        gap=4,
    )


def frames_of(looked: Looked, steps: NDArray[np.int64], side: int) -> Pixels:
    """What the network saw at some steps, `[steps,side,side,3]` in 0…1.

    Raises:
        MediaError: the video cannot be read.
    """
    with open_video(looked.media) as source:
        indices = frames_at(looked.moments[steps].clip(source.times[0]), source.times)
        wanted, places = np.unique(indices, return_inverse=True)
        seen = [_seen(frame, looked, side) for _, frame in source.tensors(wanted.tolist())]
    return np.stack(seen)[places]


def write_video(looked: Looked, out: Path) -> Path:
    """Write every frame with the attention over it and, where there is gaze, the gaze beside it.

    A frame is lit by the step that is nearest to it in time.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    maps = [looked.attention] + ([] if looked.gaze is None else [looked.gaze])
    with open_video(looked.media) as source, av.open(str(out), "w") as output:
        stop = min(looked.stop, source.stop)
        wanted = np.flatnonzero((source.times >= looked.start) & (source.times < stop))
        rate = Fraction(len(wanted) / max(stop - looked.start, 1e-3)).limit_denominator(1001)
        stream = output.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = _SIDE * len(maps), _SIDE, "yuv420p"
        for index, frame in source.tensors(wanted.tolist()):
            step = int(np.abs(looked.moments - source.times[index]).argmin())
            seen = _seen(frame, looked, _SIDE)[None]
            beside = np.concatenate([lit(seen, of[[step]])[0] for of in maps], axis=1)
            picture = av.VideoFrame.from_ndarray((beside * 255).astype(np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return out


def _seen(frame: Tensor, looked: Looked, side: int) -> Pixels:
    """What the network saw of a frame (of three crops, the middle one), `[side,side,3]`."""
    crops = prepare(looked.transform, frame)
    whole = crops[len(crops) // 2].permute(2, 0, 1)[None].float() / 255
    sized = F.interpolate(whole, (side, side), mode="bilinear", antialias=True)[0]
    pixels: Pixels = sized.clamp(0, 1).permute(1, 2, 0).numpy()
    return pixels


def lit(frames: Pixels, maps: Tensor) -> Pixels:
    """Dim frames `[n,H,W,3]` and light them by maps `[n,h,w]`, each up to its largest value."""
    scaled = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    heat = F.interpolate(scaled[:, None].float(), frames.shape[1:3], mode="nearest")[:, 0].numpy()
    light = heat[..., None]
    glow = coloured(heat, "inferno")
    lit = frames * (_DIM + (1 - _DIM) * light)
    mixed: Pixels = ((1 - _GLOW * light) * lit + _GLOW * light * glow).astype(np.float32)
    return mixed
