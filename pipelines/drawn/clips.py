"""Draws the demo's data set: first-person videos of things on a table, and their annotations.

    <folder>/videos/P01_01.mp4 …    H.264, 320 × 240, 25 frames/s, about 20 s each
    <folder>/segments.csv           video,start,stop,split,verb,noun,participant

Verbs come in pairs, each the other's time reversal: what a frame shows depends on how far the
pair's forward verb has come, and the backward verb runs through the same from the end. The mean
over time of anything in the frames is therefore the same for both, and only a head that sees
order can tell them apart.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from egofeat.errors import RequestError
from egofeat.store.files import replace_file

FPS = 25
PAIRS = (("open", "close"), ("fill", "empty"), ("push", "pull"), ("take", "put"))
"""Forward verb and its time reversal."""
VERBS = tuple(verb for pair in PAIRS for verb in pair)
THINGS: dict[str, tuple[float, float, float, int, str]] = {
    "basket": (96, 70, 76, 40, "hoop"),
    "bowl": (106, 44, 68, 40, ""),
    "box": (112, 112, 84, 4, ""),
    "cup": (56, 44, 90, 40, "ring"),
    "jar": (54, 54, 140, 40, ""),
    "pan": (108, 96, 28, 40, "bar"),
}
"""Noun to half-widths of rim and foot, height (pixels of the canvas), corners, and handle."""
NOUNS = tuple(THINGS)

_WIDTH, _HEIGHT = 640, 480
"""Of the canvas, on which all is drawn at twice the size of a frame; y runs downwards."""
_MARGIN = 40
"""Pixels that the camera may stray."""
_PARTICIPANTS, _VAL_EVERY = 12, 4
"""Every fourth participant, and so every fourth video, is for validation."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One verb done to one noun, and everything else about it, which is random."""

    verb: str
    noun: str
    frames: range
    """Of the video, in which it is done."""
    start: float
    stop: float
    """Seconds as annotated, loosely around the frames, as people do."""
    side: int
    """From which the hand comes: 1 is the right, -1 the left."""
    place: Point
    size: float
    body: str
    shade: str
    """Of the body's left side."""
    lid: str
    food: str


@dataclass(frozen=True)
class Session:
    """One video: a participant does about ten things, one beside the other on a long table."""

    participant: int
    video: str
    split: str
    clips: tuple[Clip, ...]
    seed: tuple[int, ...]


def plan_sessions(clips: int) -> list[Session]:
    """Which actions each video shows, and when; every verb with every noun in turn.

    Raises:
        RequestError: fewer than 8 clips, which would leave a split without a pair of verbs.
    """
    if clips < 8:
        raise RequestError(f"the demo cannot be drawn with {clips} clips: ask for 8 or more")
    rng = np.random.default_rng(0)
    count = max(_VAL_EVERY, round(clips / 10))
    decks = {split: _deck(rng) for split in ("train", "val")}
    sessions = []
    for number in range(count):
        of_group, participant = divmod(number, _PARTICIPANTS)
        split = "val" if number % _VAL_EVERY == _VAL_EVERY - 1 else "train"
        end, done = -2, []
        for _ in range(number, clips, count):
            done.append(_clip(*next(decks[split]), end + int(rng.integers(7, 13)), rng))
            end = done[-1].frames.stop
        video = f"P{participant + 1:02d}_{of_group + 1:02d}.mp4"
        sessions.append(Session(participant, video, split, tuple(done), seed=(0, number)))
    return sessions


def _deck(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Verb and noun, each pair once before any comes again, in a random order."""
    pairs = [(verb, noun) for verb in VERBS for noun in NOUNS]
    while True:
        yield from (pairs[i] for i in rng.permutation(len(pairs)))


def _clip(verb: str, noun: str, begin: int, rng: np.random.Generator) -> Clip:
    frames = range(begin, begin + int(rng.integers(36, 47)))
    side = 1 if rng.random() < 0.75 else -1
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(25, 75), rng.uniform(60, 95)
    return Clip(
        verb=verb,
        noun=noun,
        frames=frames,
        start=round(frames.start / FPS - rng.uniform(0, 0.2), 2),
        stop=round(frames.stop / FPS + rng.uniform(0, 0.2), 2),
        side=side,
        place=(_WIDTH / 2 - side * rng.uniform(20, 90), rng.uniform(265, 355)),
        size=rng.uniform(0.9, 1.15),
        body=_hsv(hue, saturation, value),
        shade=_hsv(hue, saturation, 0.85 * value),
        lid=_hsv(hue + rng.uniform(90, 270), rng.uniform(30, 80), rng.uniform(60, 95)),
        food=_hsv(rng.choice([0, 22, 43, 100, 130, 290]), 75, rng.uniform(70, 95)),
    )


def draw_demo(
    folder: Path, clips: int = 240, progress: Callable[[int], None] = lambda _: None
) -> Path:
    """Draw a data set of `clips` segments, unless it is there; return its CSV file.

    Args:
        folder: of the data set.
        clips: segments in all.
        progress: told of each video drawn.

    Raises:
        RequestError: fewer than 8 clips.
        StoreError: the disk refuses.
    """
    sessions = plan_sessions(clips)
    table, videos = folder / "segments.csv", folder / "videos"
    text = _table(sessions)
    # The table is written last: where it stands, its videos do.
    if table.is_file() and table.read_text(encoding="utf-8") == text:
        sessions = [one for one in sessions if not (videos / one.video).is_file()]
    videos.mkdir(parents=True, exist_ok=True)

    def draw(session: Session) -> None:
        replace_file(videos / session.video, encoded(session))

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(draw, sessions):
            progress(1)
    replace_file(table, text.encode())
    return table


def _table(sessions: list[Session]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("video", "start", "stop", "split", "verb", "noun", "participant"))
    for one in sessions:
        for clip in one.clips:
            times = f"{clip.start:.2f}", f"{clip.stop:.2f}"
            rows.writerow([one.video, *times, one.split, clip.verb, clip.noun, one.video[:3]])
    return text.getvalue()


def encoded(session: Session) -> bytes:
    """The film of a session, an MP4 file."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # One thread gives the same bytes everywhere; two videos are drawn at a time.
        options = {"preset": "superfast", "crf": "21", "threads": "1"}
        stream = container.add_stream("libx264", FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = _WIDTH // 2, _HEIGHT // 2, "yuv420p"
        for image in session_frames(session):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def session_frames(session: Session) -> Iterator[NDArray[np.uint8]]:
    """Draw a session's frames [240, 320, 3] (RGB), in order."""
    rng = np.random.default_rng(session.seed)
    table = _table_top(session, rng)
    skin = _hsv(24, 35 + 4 * (session.participant % 6), 95 - 11 * (session.participant % 6))
    count = session.clips[-1].frames.stop + 6
    # The wearer stands before one thing after the other, and walks in between.
    moments = [time for clip in session.clips for time in (clip.frames.start, clip.frames.stop)]
    steps = np.interp(range(count), moments, np.arange(len(session.clips)).repeat(2)) * _WIDTH
    sway = _sway(count, rng) + np.stack([steps, np.zeros(count)], axis=1)
    for frame, (left, top) in enumerate(sway.round()):
        x, y = left + _MARGIN, top + _MARGIN
        view = table.crop((x, y, x + _WIDTH, y + _HEIGHT))
        pen, seen = ImageDraw.Draw(view), max(0, int(left // _WIDTH))
        for site, clip in enumerate(session.clips[seen : seen + 2], start=seen):
            draw_clip(pen, clip, frame, (site * _WIDTH - left, -top), skin)
        yield np.asarray(view.reduce(2))


def _table_top(session: Session, rng: np.random.Generator) -> Image.Image:
    """The empty table and the wall behind it, as wide as the session needs."""
    width, height = len(session.clips) * _WIDTH + 2 * _MARGIN, _HEIGHT + 2 * _MARGIN
    wood = _hsv(rng.uniform(10, 50), rng.uniform(8, 42), rng.uniform(55, 85))
    table = Image.new("RGB", (width, height), wood)
    grain = rng.normal(128, 16, (height // 6, width // (6, 24, 60)[session.participant % 3]))
    coarse = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    light = coarse.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    table = Image.blend(table, light, 0.4)
    pen = ImageDraw.Draw(table)
    wall = _hsv(rng.uniform(0, 360), rng.uniform(5, 20), rng.uniform(75, 92))
    pen.rectangle((0, 0, width, 130), wall, "#444444", 5)
    for x in range(40, width, 150):  # things along the wall that take no part
        high, wide = rng.uniform(20, 80), rng.uniform(15, 45)
        colour = _hsv(rng.uniform(0, 360), rng.uniform(10, 50), rng.uniform(40, 80))
        pen.rounded_rectangle((x, 145 - high, x + wide, 145), 8, colour)
    return table


def _sway(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Pixels [frames, 2] that the camera strays: slow drift and tremble."""
    hertz = np.array([0.1, 0.25, 0.4, 0.6, 2.0, 4.0])
    strength = np.array([9.0, 7.0, 7.0, 5.0, 1.5, 1.0])
    begins = rng.uniform(0, 2 * math.pi, (2, 6))
    phases = begins + 2 * math.pi * hertz * np.arange(frames)[:, None, None] / FPS
    strayed: NDArray[np.float64] = (np.sin(phases) * strength).sum(-1)
    return strayed.clip(-_MARGIN, _MARGIN)


def draw_clip(pen: ImageDraw.ImageDraw, clip: Clip, frame: int, shift: Point, skin: str) -> None:
    """Draw the thing and the hand of one clip, as they are in a frame of the video."""
    forward = next(pair[0] for pair in PAIRS if clip.verb in pair)
    done = np.clip((frame - clip.frames.start) / (len(clip.frames) - 1), 0, 1)
    done = done if clip.verb == forward else 1 - done
    # The hand reaches in during the first fifth, moves, and withdraws in the last.
    moved = smooth((done - 0.2) / 0.6)
    reach = smooth(done / 0.2) * smooth((1 - done) / 0.2)
    rim, _, high, corners, _ = THINGS[clip.noun]
    x, y = clip.place[0] + shift[0], clip.place[1] + shift[1]
    rest = (_WIDTH / 2 + 200 * clip.side + shift[0], 640 + shift[1])
    full, lid = 0.5, None
    if forward == "push":
        y = between((x, 375 + shift[1]), (x, 215 + shift[1]), moved)[1]
    elif forward == "fill":
        full = moved
    size = clip.size * (0.6 + 0.8 * (y - shift[1] - 215) / 160)
    if forward == "take":
        x, y = between((x, y), (rest[0], 660 + 1.6 * high), moved, lift=40)
        size += 0.35 * moved
    rim, high = rim * size, high * size
    hand = x + 0.7 * clip.side * rim, y - 0.5 * high
    beside = x + clip.side * (70 + 1.2 * rim), y + 12
    if forward == "open":
        lid = between((x, y - high), (beside[0] + 0.7 * clip.side * rim, beside[1]), moved, lift=90)
        hand = lid[0], lid[1] - 14
    elif forward == "fill":  # three handfuls
        part = 0.5 - 0.5 * math.cos(6 * math.pi * moved)
        hand = between(beside, (x, y - high - 14), part, lift=60)
        _disc(pen, beside, 0.5 * rim * math.sqrt(1 - moved), clip.food)
    _draw_thing(pen, clip, (x, y), size, full)
    if lid:
        pen.polygon(_ring(lid, 1.08 * rim, corners), clip.lid, "black")
        _disc(pen, (lid[0], lid[1] - 6), 12, "#333333")
    hand = between(rest, hand, reach)
    pen.line([rest, hand], skin, 54)
    _disc(pen, hand, 42, skin, flat=0.8)


def _draw_thing(pen: ImageDraw.ImageDraw, clip: Clip, at: Point, size: float, full: float) -> None:
    """Draw a thing that stands with its foot at a point, `full` of food from 0 to 1."""
    rim, foot, high, corners, handle = THINGS[clip.noun]
    rim, foot, top = rim * size, foot * size, (at[0], at[1] - high * size)
    half, quarter = corners // 2 + 1, corners // 4
    _disc(pen, (at[0] + 8, at[1] + 4), 1.15 * foot, "#4a443d")
    if handle == "ring":
        side = at[0] + 0.7 * foot, top[1] + 15, at[0] + 2 * foot, at[1] - 15
        pen.ellipse(side, None, clip.body, 14)
    elif handle == "bar":
        pen.line([top, (at[0] + 2.2 * rim, top[1] + 10)], clip.body, 18)
    below, above = _ring(at, foot, corners)[:half], _ring(top, rim, corners)[:half]
    pen.polygon(below + above[::-1], clip.body, "black", 2)
    pen.polygon(below[quarter:] + above[quarter:][::-1], clip.shade)
    pen.polygon(_ring(top, rim, corners), clip.body, "black", 2)
    pen.polygon(_ring(top, 0.88 * rim, corners), "#332c28")
    if full > 0:
        pen.polygon(_ring((top[0], top[1] + 4), 0.8 * rim * math.sqrt(full), corners), clip.food)
    if handle == "hoop":
        pen.arc((at[0] - rim, top[1] - rim, at[0] + rim, top[1] + rim), 180, 360, clip.body, 9)


def _ring(at: Point, radius: float, corners: int) -> list[Point]:
    """A circle (or of 4 corners a square) that lies flat, from its right corner clockwise."""
    x, y, down = *at, 0.32 * radius
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(x + radius * math.cos(turn), y + down * math.sin(turn)) for turn in turns]


def _disc(pen: ImageDraw.ImageDraw, at: Point, radius: float, ink: str, flat: float = 0.32) -> None:
    (x, y), high = at, flat * radius
    pen.ellipse((x - radius, y - high, x + radius, y + high), ink)


def smooth(value: float) -> float:
    """Ease from 0 at value ≤ 0 to 1 at value ≥ 1, at rest on both ends."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)


def between(a: Point, b: Point, part: float, lift: float = 0.0) -> Point:
    """Point at `part` of the way from a to b, along an arc `lift` pixels high."""
    arc = lift * math.sin(math.pi * part)
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part - arc


def _hsv(hue: float, saturation: float, value: float) -> str:
    return f"hsv({hue % 360},{saturation}%,{value}%)"
