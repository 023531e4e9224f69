"""Films and rows of features that the scripts make for themselves."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import ShardRows, StoreWriter

SHAPE = (20, 1280)
"""A row of features: 20 frames of MobileNetV2."""
CLASSES = {"verb": 97, "noun": 300}
"""Of EPIC-KITCHENS-100."""
A_SHARD = 128


def film(path: Path, frames: int = 300, width: int = 456, height: int = 256) -> Path:
    """Ten seconds of moving texture, 30 frames/s, in the size of EPIC-KITCHENS frames."""
    rng = np.random.default_rng(len(path.name))
    coarse = rng.integers(0, 256, (height // 8 + 1, 96, 3)).astype(np.float32)
    texture = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (height + 8, width + 312), mode="bicubic"
    )
    texture_HWC = texture[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"x264-params": "keyint=60:log-level=none"}
        for number in range(frames):
            picture = np.ascontiguousarray(texture_HWC[:height, number : number + width])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def films(folder: Path, count: int, starts: Iterable[float], seconds: float) -> Dataset:
    """Films with a segment of so many seconds at each of the starts."""
    paths = [film(folder / f"{number}.mp4") for number in range(count)]
    segments = [
        Segment(f"{path.stem}-{start:g}", path.stem, start, start + seconds)
        for path in paths
        for start in starts
    ]
    return Dataset("bench", {path.stem: Media(path) for path in paths}, tuple(segments), {})


def write_store(
    out: Path,
    dataset: Dataset,
    shards: Iterable[tuple[Sequence[Segment], NDArray[np.float16]]],
    form: str = "hdf5",
) -> Path:
    """Write a store of rows `[n, *SHAPE]`, a shard after the other; returns its folder."""
    recipe = Recipe(
        backbone="mobilenetv2",
        weights="random:0",
        transform=Transform("squash", 256, 256),
        plan=Uniform(SHAPE[0]),
        taps={"gap": SHAPE},
        dtype="float16",
    )
    writer = StoreWriter.open(out, dataset, recipe, format=form, made_with={})
    for number, (segments, features) in enumerate(shards):
        rows = ShardRows(
            ids=[segment.id for segment in segments],
            videos=[segment.video for segment in segments],
            starts=np.array([segment.start for segment in segments]),
            stops=np.array([segment.stop for segment in segments]),
            clipped=np.zeros(len(segments), np.bool_),
            times=np.zeros((len(segments), SHAPE[0])),
            taps={"gap": features},
        )
        writer.write_shard(f"{number:05}", rows)
    writer.close()
    return writer.path


def write_rows(folder: Path, rows: int) -> Path:
    """Write a store of rows like features after ReLU6."""
    rng = np.random.default_rng(0)
    segments = [Segment(f"s{row}", "v", row, row + 1.0, split="train") for row in range(rows)]
    parts = [segments[first : first + A_SHARD] for first in range(0, rows, A_SHARD)]
    features = (
        np.maximum(rng.standard_normal((len(part), *SHAPE), np.float32), 0).astype(np.float16)
        for part in parts
    )
    dataset = Dataset("bench", {"v": Media(folder / "v.mp4")}, tuple(segments), classes={})
    return write_store(folder, dataset, zip(parts, features, strict=True))
