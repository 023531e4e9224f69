"""Draws the demo's data set: first-person kitchen videos with their annotations.

    <folder>/videos/P01_01.mp4 …    H.264, 320 × 240, 25 frames/s, about 20 s each
    <folder>/segments.csv           video,start,stop,split,verb,noun,participant

Nothing of a segment's labels shows but its motion and its thing.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from egofeat.errors import RequestError
from egofeat.pipelines.demo.actions import CANVAS, Point, Pose, pose, smooth
from egofeat.pipelines.demo.drawing import draw_action, draw_arms
from egofeat.pipelines.demo.kitchen import MARGIN, Person, draw_kitchen
from egofeat.pipelines.demo.sessions import FPS, Session, person_of, plan_sessions

FRAME = (CANVAS[0] // 2, CANVAS[1] // 2)
"""Width and height of a frame, pixels."""
COLUMNS = ("video", "start", "stop", "split", "verb", "noun", "participant")

_DRAWING = "egofeat demo 1"
"""Raised when the drawing changes, so that older files are drawn again."""


def draw_demo(
    folder: Path,
    *,
    clips: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw what is not there yet of a data set of `clips` segments; return its CSV file.

    Videos that were drawn with the same `clips` and `seed` stay as they are. Files appear
    whole or not at all. `progress` is told the videos done and the videos in all.

    Raises RequestError for fewer than 8 clips, which would leave a split without a verb pair.
    """
    if clips < 8:
        raise RequestError(f"the demo cannot be drawn with {clips} clips: ask for 8 or more")
    sessions = plan_sessions(clips, seed)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)

    def draw(number: int) -> None:
        session = sessions[number]
        mark = f"{_DRAWING} clips={clips} seed={seed}"
        path = videos / f"{session.name}.mp4"
        if not _is_drawn(path, mark):
            _write_video(path, session, mark, np.random.default_rng([seed, 1, number]), seed)

    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(pool.map(draw, range(len(sessions))), start=1):
            if progress:
                progress(done, len(sessions))
    return _write_segments(folder / "segments.csv", sessions)


def session_frames(
    session: Session, person: Person, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Draw a session's frames [240, 320, 3] (RGB), in order."""
    kitchen = draw_kitchen(person, len(session.actions), rng)
    sway = _waves(session.frames, rng, (0.2, 1.0), 10.0)
    shake = _shake(session.frames, rng)
    for frame in range(session.frames):
        place = _place(session, frame)
        left = round(MARGIN + place * CANVAS[0] + shake[frame, 0])
        up = round(MARGIN + shake[frame, 1])
        view = kitchen.crop((left, up, left + CANVAS[0], up + CANVAS[1]))
        pen = ImageDraw.Draw(view)
        seen = range(math.floor(place), math.ceil(place) + 1)
        poses = {site: _pose(session, site, frame) for site in seen}
        shifts = {site: (site * CANVAS[0] + MARGIN - left, MARGIN - up) for site in seen}
        for site in seen:
            draw_action(pen, person, session.actions[site], poses[site], shifts[site])
        site = round(place)
        draw_arms(
            pen,
            person,
            session.actions[site],
            poses[site],
            shift=shifts[site],
            sway=(sway[frame, 0], sway[frame, 1]),
        )
        yield np.asarray(view.reduce(2))


def _pose(session: Session, site: int, frame: int) -> Pose:
    begin, end = session.begins[site], session.ends[site]
    return pose(session.actions[site], min(max(frame - begin, 0), end - begin - 1), end - begin)


def _place(session: Session, frame: int) -> float:
    """Where along the worktop the wearer looks, in views: whole numbers are the sites."""
    site = sum(frame >= end for end in session.ends)
    if site == 0:
        return 0.0
    if site == len(session.actions):
        return site - 1.0
    gap = session.begins[site] - session.ends[site - 1]
    return site - 1 + smooth((frame - session.ends[site - 1]) / gap)


def _shake(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ego-motion in canvas pixels [frames, 2], within the margin: slow drift and tremble."""
    drift = _waves(frames, rng, (0.1, 0.6), 14.0)
    tremble = _waves(frames, rng, (1.5, 5.0), 2.5)
    return np.clip(drift + tremble, -MARGIN, MARGIN)


def _waves(
    frames: int, rng: np.random.Generator, hertz: Point, strength: float
) -> NDArray[np.float64]:
    seconds = np.arange(frames)[:, None, None] / FPS
    rate, phase = rng.uniform(*hertz, (2, 4)), rng.uniform(0, 2 * math.pi, (2, 4))
    waves: NDArray[np.float64] = np.sin(2 * math.pi * rate * seconds + phase).sum(-1)
    return waves * strength / 2


def _is_drawn(path: Path, mark: str) -> bool:
    try:
        with av.open(path) as container:
            return bool(container.metadata.get("comment") == mark)
    except (FileNotFoundError, av.FFmpegError):
        return False


def _write_video(
    path: Path, session: Session, mark: str, rng: np.random.Generator, seed: int
) -> None:
    part = path.with_suffix(".part")
    with av.open(part, "w", format="mp4") as container:
        container.metadata["comment"] = mark
        # One thread: the pool already draws as many videos as there are cores, and the
        # bytes are then the same everywhere.
        stream = container.add_stream(
            "libx264", FPS, options={"preset": "superfast", "crf": "21", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = *FRAME, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for image in session_frames(session, person_of(session.participant, seed), rng):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    part.replace(path)


def _write_segments(path: Path, sessions: Sequence[Session]) -> Path:
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for session in sessions:
            who = session.name.partition("_")[0]
            for action, (start, stop) in zip(session.actions, session.annotated, strict=True):
                clip = f"{session.name}.mp4", f"{start:.2f}", f"{stop:.2f}"
                rows.writerow([*clip, session.split, action.verb, action.noun, who])
    part.replace(path)
    return path
