"""Clips for the studies of temporal order: each of 49 frames, and those that judge also backwards.

    python studies/data/order.py            # three minutes of a core; HandWash/ too, where it is

writes `order/<drawn|handwash>/<split>/<class>/<clip>.mp4`, 128 × 96 pixels at 25 frames a second,
without loss. `test` and `reversed` hold the same clips: frame n of one is frame 48 - n of the
other, to the bit. Drawn clips are the demo's of two pairs of verbs, each the other's reverse; those
of three participants judge.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from egofeat.manifest import load_manifest
from egofeat.pipelines.drawn.clips import FPS, plan_sessions, session_frames

ROOT = Path(__file__).parents[2]
FRAMES, WIDTH, HEIGHT = 49, 128, 96
"""Of a clip: the fewest frames that all networks take."""
_VERBS = ("open", "close", "take", "put")
_SPLITS = {**dict.fromkeys(range(7), "train"), 7: "val", 8: "val"}
"""Of participants of the drawn clips; the others judge."""

Pictures = NDArray[np.uint8]
Clip = tuple[str, str, str, Pictures]
"""Split, class, name, frames [n, height, width, 3]."""


def main() -> None:
    """Write what is not there yet."""
    sets = {"drawn": drawn}
    if (ROOT / "HandWash").exists():
        sets["handwash"] = handwash
    for name, clips in sets.items():
        out = ROOT / "order" / name
        if (out / "done").exists():
            continue
        for split, of_class, clip, frames in clips():
            chosen = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
            write(chosen, out / split / of_class / f"{clip}.mp4")
            if split == "test":
                write(chosen[::-1], out / "reversed" / of_class / f"{clip}.mp4")
        (out / "done").touch()


def drawn() -> Iterator[Clip]:
    """Each thing done in the demo's films, from where it is annotated to begin."""
    for session in plan_sessions(240):
        frames = list(session_frames(session))
        split = _SPLITS.get(session.participant, "test")
        for number, clip in enumerate(session.clips):
            first, last = max(round(clip.start * FPS), 0), round(clip.stop * FPS)
            if clip.verb in _VERBS:
                name = f"{session.video[:-4]}_{number}"
                yield split, clip.verb, name, np.stack(frames[first:last])


def handwash() -> Iterator[Clip]:
    """The segments of handwash.yaml whose videos are there."""
    dataset = load_manifest(ROOT / "studies/data/handwash.yaml").dataset("handwash")
    for segment in dataset.segments:
        path = Path(dataset.media[segment.video].path)
        if path.exists():
            step = dataset.classes["step"][segment.labels["step"]]
            with av.open(str(path)) as film:
                frames = [
                    frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT)
                    for frame in film.decode(video=0)
                    if segment.start <= frame.time < segment.stop
                ]
            yield segment.split, step, segment.id, np.stack(frames)


def write(frames: Pictures, path: Path) -> None:
    """Encode frames without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", Fraction(FPS), options={"qp": "0", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            film.mux(stream.encode(frame.reformat(WIDTH, HEIGHT)))
        film.mux(stream.encode())


if __name__ == "__main__":
    main()
