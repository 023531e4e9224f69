"""A small world to work on: drawn videos of every kind, manifests, weights, stores and runs."""

import io
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.campaigns.process import Child

WIDTH, HEIGHT, FRAMES, RATE = 96, 64, 40, 20
SHARD_ROWS = 2
"""So that a handful of segments fill several shards."""

NETWORK = ("--backbone", "mobilenetv2", "--weights", "random", "--size", "32", "--device", "cpu")
READ = ("--manifest", "manifest.yaml", "--workers", "1")
GAP = ("--frames", "2", "--tap", "gap")

MANIFEST = """\
version: 1
datasets:
  few: {format: csv, media: videos, annotations: few.csv, columns: {labels: {verb: verb}}}
  people:
    format: ava
    media: videos
    annotations: {train: people.csv}
    label_map: map.pbtxt
"""
KINDS = {
    "mp4": "a.mp4",
    "mkv": "b.mkv",
    "ts": "c.ts",
    "avi": "d.avi",
    "frames": "e",
    "tar": "f.tar",
}
"""Kind of video to its name; each is a data set of its own too."""


@dataclass(frozen=True)
class Scene:
    """The folder in which it all lies; a trial works in a copy without the videos' bytes."""

    folder: Path

    @property
    def log(self) -> Path:
        """Where children print to."""
        return self.folder.with_suffix(".log")


def small_shards(work: Callable[[], int]) -> Callable[[], int]:
    """Do a child's work with shards of few rows."""

    def smaller() -> int:
        from egofeat.extract import shards

        assert shards.MAX_ROWS > SHARD_ROWS
        shards.MAX_ROWS = SHARD_ROWS
        return work()

    return smaller


def make_scene(folder: Path) -> Scene:
    """Draw the scene, once: a folder that is there is whole."""
    scene = Scene(folder)
    if folder.exists():
        return scene
    aside = folder.with_suffix(".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    ending = Child(lambda: _draw(aside), scene.log).wait(300)
    if ending.code:
        raise RuntimeError(f"the scene could not be drawn:\n{ending.text}")
    aside.rename(folder)
    return scene


def lay(scene: Scene, folder: Path) -> Path:
    """Lay out a folder to work in: manifests copied, videos linked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in scene.folder.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    (folder / "videos").symlink_to((scene.folder / "videos").resolve())
    return folder


def picture(number: int) -> NDArray[np.uint8]:
    """Frame `number`, [H, W, 3]: a moving texture, noisy so that files stay large."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = 128 + 60 * np.sin((columns + 5 * number) / 9) * np.cos((rows - 3 * number) / 7)
    noise = np.random.default_rng(number).integers(-25, 25, (HEIGHT, WIDTH, 3))
    return np.clip(texture[..., None] + noise, 0, 255).astype(np.uint8)


def _draw(folder: Path) -> int:
    videos = folder / "videos"
    videos.mkdir()
    for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.ts", "libx264")):
        encode(videos / name, codec)
    encode(videos / "d.avi", "mpeg4")
    (videos / "e").mkdir()
    with tarfile.open(videos / "f.tar", "w") as tar:
        for number in range(FRAMES):
            jpeg = _jpeg(picture(number))
            (videos / "e" / f"frame_{number + 1:06d}.jpg").write_bytes(jpeg)
            member = tarfile.TarInfo(f"frame_{number + 1:06d}.jpg")
            member.size = len(jpeg)
            tar.addfile(member, io.BytesIO(jpeg))
    (videos / "broken.mp4").write_bytes(b"no video")
    manifest = MANIFEST
    for kind, name in KINDS.items():
        manifest += (
            f"  {kind}: {{format: csv, media: videos, annotations: {kind}.csv, fps: {RATE}}}\n"
        )
        (folder / f"{kind}.csv").write_text(_table([name]))
    (folder / "manifest.yaml").write_text(manifest)
    (folder / "few.csv").write_text(_table(["a.mp4", "b.mkv", "broken.mp4"]))
    (folder / "people.csv").write_text(_people())
    items = [f'item {{\n  name: "{name}"\n  id: {k}\n}}\n' for k, name in ((1, "sit"), (2, "go"))]
    (folder / "map.pbtxt").write_text("".join(items))
    return 0


def encode(path: Path, codec: str, frames: int = FRAMES) -> None:
    """Encode the drawn pictures, as many as there are; B-frames and several key frames in it."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1
        stream.options = {"g": "12", "bf": "2", "x264-params": "log-level=none:threads=1"}
        stream.bit_rate = 600_000
        for number in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        output.mux(stream.encode(None))


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG")
    return buffer.getvalue()


def _table(videos: Sequence[str]) -> str:
    """Four segments a video, two verbs, two splits; the last is open-ended."""
    lines = ["video,start,stop,split,verb,id"]
    for video in videos:
        for k, (start, stop) in enumerate(
            (("0", "0.6"), ("0.4", "1"), ("0.9", "1.7"), ("1.2", ""))
        ):
            split, verb = ("train", "val")[k == 3], ("take", "put")[k % 2]
            lines.append(f"{video},{start},{stop},{split},{verb},{video}_{k}")
    return "\n".join(lines) + "\n"


def _people() -> str:
    rows = []
    for video in ("a", "b"):
        for stamp in ("0.5", "1", "1.5"):
            rows.append(f"{video},{stamp},0.1,0.1,0.5,0.9,1,0")
            rows.append(f"{video},{stamp},0.4,0.2,0.9,0.8,2,1")
    return "\n".join([*rows, "a,7,0.1,0.1,0.5,0.9,1,0"]) + "\n"
