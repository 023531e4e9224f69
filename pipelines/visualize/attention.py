"""`egofeat visualize attention`: where a run's head looks, beside where the wearer looked."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.transforms import prepare
from egofeat.extract.video import open_video
from egofeat.heads.fusion import for_members
from egofeat.heads.gaze import Attentive, gaze_maps
from egofeat.manifest import load_manifest
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.training.gaze import attend, points_of
from egofeat.pipelines.training.options import Places
from egofeat.pipelines.training.predict import features_of
from egofeat.pipelines.training.run import Run, load_run
from egofeat.pipelines.training.run_rows import open_run_store, refuse_persons
from egofeat.pipelines.visualize.backbones import Pictures
from egofeat.recipe import Recipe, Transform
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


def attention(
    run: Path,
    out: Path,
    *,
    video: Path | None = None,
    segment: str | None = None,
    manifest: Path = Path("data_manifest.yaml"),
    store: Places | None = None,
    weights: str | None = None,
    device: str = "auto",
) -> Pictures:
    """Draw where a run's head looks in a video or in a segment: a strip (PNG) and a video (mp4).

    Of a segment, attention is that on the store's own features, and gaze is shown where the
    store has it; the frames are read again. Of a video, features are made as the store's were.
    A run of a head a store has a strip and a video for each head that attends.

    Args:
        run: folder that `fit_head` made.
        out: folder of the pictures.
        video: file, taken as one segment.
        segment: id, in place of a video.
        manifest: that says where the segment's video lies.
        store: where the run's store lies, if not where it was.
        weights: backbone weights file, where the store's were a user's own.
        device: where to run.

    Raises:
        RequestError: no such run or segment, a run on persons, both or neither of video and
            segment, or a head without attention over places.
        StoreError: the store is absent, or holds features of another recipe.
        WeightsError: the backbone's weights are not those of the run.
        MediaError: the video cannot be read.
    """
    if (video is None) == (segment is None):
        raise RequestError("name one thing to look at: `video` FILE, or `segment` ID")
    loaded = load_run(run)
    refuse_persons(loaded)
    if not any(isinstance(member, Attentive) for member in loaded.head.members):
        raise RequestError(
            f"head '{loaded.config.head}' of run {run} has no attention over places: draw that of "
            "stam or flow_attention"
        )
    loaded.head.to(choose_device(device))
    if video is not None:
        looked = _of_video(loaded, video, weights, device)
        name = video.stem.replace(" ", "_")
    else:
        assert segment is not None
        looked = _of_segment(loaded, open_run_store(loaded, store), segment, manifest)
        name = segment.replace("/", "_")
    drawn = []
    for number, one in enumerate(looked, start=1):
        stem = f"attention-{name}" + (f"-{number}" if len(looked) > 1 else "")
        drawn.append(draw_strip(one, out / f"{stem}.png", f"{run.name} looks at {name}"))
        drawn.append(write_video(one, out / f"{stem}.mp4"))
    return Pictures(tuple(map(str, drawn)))


def _of_segment(run: Run, store: Rows, segment: str, manifest: Path) -> list[Looked]:
    row = store.table.of([segment])
    if row[0] < 0:
        raise RequestError(f"store {store.path} has no segment '{segment}'")
    dataset = load_manifest(manifest).dataset(store.dataset)
    looked = []
    for (member, features), of, source in zip(
        run.branches(store), store.stores, run.config.sources, strict=False
    ):
        if not isinstance(member, Attentive):
            continue
        (there,) = of.table.of([segment])
        points = points_of(features, row)
        recipe, tap = source.recipe, source.tap
        steps = _of_middle_crop(recipe, tap)
        looked.append(
            Looked(
                media=dataset.media[str(of.videos[there])],
                start=float(of.starts[there]),
                stop=float(of.stops[there]),
                attention=attend(member, features, row)[0][torch.from_numpy(steps)],
                moments=_moments(recipe, tap, of.times[[there]], of.starts[[there]])[steps],
                transform=recipe.transform,
                points=None if points is None else points[0][steps],
            )
        )
    return looked


def _of_video(run: Run, video: Path, weights: str | None, device: str) -> list[Looked]:
    memories = features_of(run, [video], weights, device)
    for memory in memories:
        if memory.failures:
            raise RequestError(f"{video} could not be read: {memory.failures[0].reason}")
    blocks = [torch.from_numpy(memory.features[str(video)])[None] for memory in memories]
    of_members = zip(run.head.members, for_members(run.head, blocks), strict=True)
    looked = []
    with open_video(Media(video)) as source:
        times, end = source.times, source.stop
    for (member, features), origin in zip(of_members, run.config.sources, strict=False):
        if not isinstance(member, Attentive):
            continue
        recipe, tap = origin.recipe, origin.tap
        views = recipe.plan.plan(0.0, np.inf, times, end)
        seconds = views.times[None].repeat(recipe.transform.crops, 1)
        steps = _of_middle_crop(recipe, tap)
        with torch.inference_mode():
            seen = member.attention(features.to(choose_device(device)))
        looked.append(
            Looked(
                media=Media(video),
                start=0.0,
                stop=np.inf,
                attention=seen[0].float().cpu()[torch.from_numpy(steps)],
                moments=_moments(recipe, tap, seconds, np.zeros(1))[steps],
                transform=recipe.transform,
            )
        )
    return looked


def _moments(
    recipe: Recipe, tap: str, times: NDArray[np.float64], starts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Middle of each step of one row, `[T]`, from the times `[1,V]` of its views."""
    crops = recipe.transform.crops
    middles, _ = recipe.plan.stretches(recipe.steps_of(tap), starts, times[:, ::crops])
    return np.repeat(middles, crops, axis=1).ravel()


def _of_middle_crop(recipe: Recipe, tap: str) -> NDArray[np.int64]:
    """Steps of a row that see the middle crop, all of them where there is one crop."""
    crops, steps = recipe.transform.crops, recipe.steps_of(tap)
    places = np.arange(recipe.taps[tap][0] * steps).reshape(-1, crops, steps)
    middle: NDArray[np.int64] = places[:, crops // 2].ravel()
    return middle


def draw_strip(looked: Looked, out: Path, title: str) -> Path:
    """Draw frames, attention over them and gaze over them, of at most 8 steps, evenly spread."""
    count = min(_COLUMNS, len(looked.moments))
    steps = ((np.arange(count) + 0.5) * len(looked.moments) / count).astype(np.int64)
    with open_video(looked.media) as source:
        indices = frames_at(looked.moments[steps].clip(source.times[0]), source.times)
        wanted, places = np.unique(indices, return_inverse=True)
        seen = [_seen(frame, looked, _TILE) for _, frame in source.scan(wanted.tolist())]
    frames = np.stack(seen)[places]
    shown = {"frame": frames, "attention": _lit(frames, looked.attention[steps])}
    gaze = looked.gaze
    if gaze is not None:
        shown["gaze"] = _lit(frames, gaze[steps])
    return draw_mosaic(
        np.stack(list(shown.values())),
        out,
        title=title,
        rows=list(shown),
        columns=[f"{moment:.2f} s" for moment in looked.moments[steps]],
        note="each step from nothing (dark) to its most looked-at place (bright)",
        gap=4,
    )


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
        for index, frame in source.scan(wanted.tolist()):
            step = int(np.abs(looked.moments - source.times[index]).argmin())
            seen = _seen(frame, looked, _SIDE)[None]
            beside = np.concatenate([_lit(seen, of[[step]])[0] for of in maps], axis=1)
            picture = av.VideoFrame.from_ndarray((beside * 255).astype(np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return out


def _seen(frame: NDArray[np.uint8], looked: Looked, side: int) -> Pixels:
    """What the network saw of a frame (of three crops, the middle one), `[side,side,3]`."""
    crops = torch.from_numpy(prepare(looked.transform, frame))
    whole = crops[len(crops) // 2].permute(2, 0, 1)[None].float() / 255
    sized = F.interpolate(whole, (side, side), mode="bilinear", antialias=True)[0]
    pixels: Pixels = sized.clamp(0, 1).permute(1, 2, 0).numpy()
    return pixels


def _lit(frames: Pixels, maps: Tensor) -> Pixels:
    """Dim frames `[n,H,W,3]` and light them by maps `[n,h,w]`, each up to its largest value."""
    scaled = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    heat = F.interpolate(scaled[:, None].float(), frames.shape[1:3], mode="nearest")[:, 0].numpy()
    light = heat[..., None]
    glow = coloured(heat, "inferno")
    lit = frames * (_DIM + (1 - _DIM) * light)
    mixed: Pixels = ((1 - _GLOW * light) * lit + _GLOW * light * glow).astype(np.float32)
    return mixed
