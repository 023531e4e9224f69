"""Made data with a known answer: two figures in each film, each moving in one of four ways.

A figure is a patch of random colours before a random background. Where in its motion it is, how
it looks and at which side it stands are chosen by chance, so that neither a single frame nor the
film as a whole says who moves how.
"""

from pathlib import Path

import av
import numpy as np

from egofeat.boxes import Boxes, key_frame_id
from egofeat.segments import Dataset, Media, Segment

MOTIONS = ("sway", "bob", "swell", "turn")
WIDTH, HEIGHT, FPS, SECONDS = 128, 96, 15, 2
MOMENT, SIDE, REACH = 1.0, 24, 24
"""Second of the key frame; pixels of a figure, and of its box from the middle to each side."""


def patches(random: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    colours = random.uniform(0, 255, (cells, cells, 3))
    block = np.ones((-(-height // cells), -(-width // cells), 1))
    return np.kron(colours, block)[:height, :width]


def paint(frame, look, middle, side, angle):
    """Put a square patch, turned by `angle`, onto a frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = columns - middle[0], rows - middle[1]
    along = (x * np.cos(angle) + y * np.sin(angle)) / side + 0.5
    across = (y * np.cos(angle) - x * np.sin(angle)) / side + 0.5
    inside = (along >= 0) & (along < 1) & (across >= 0) & (across < 1)
    cells = len(look)
    frame[inside] = look[(across[inside] * cells).astype(int), (along[inside] * cells).astype(int)]


def film(path: Path, motions: tuple[int, int], seed: int) -> list[list[float]]:
    """Film two figures; returns their boxes in fractions of the frame."""
    random = np.random.default_rng(seed)
    background = 60 + patches(random, HEIGHT, WIDTH, 8) * 0.55
    looks = [patches(random, 4, 4, 4) for _ in motions]
    phases = random.uniform(0, 2 * np.pi, 2)
    homes = [(WIDTH * side, HEIGHT * random.uniform(0.4, 0.6)) for side in (0.27, 0.73)]
    if random.random() < 0.5:
        homes.reverse()
    with av.open(str(path), "w") as output:
        options = {"crf": "18", "x264-params": "log-level=none"}
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            frame = background.copy()
            for motion, look, phase, (x, y) in zip(motions, looks, phases, homes, strict=True):
                swing = np.sin(2 * np.pi * number / FPS + phase)
                middle = (x + 9 * swing * (motion == 0), y + 9 * swing * (motion == 1))
                side = SIDE * (1 + 0.35 * swing * (motion == 2))
                paint(frame, look, middle, side, 0.7 * swing * (motion == 3))
            picture = frame.clip(0, 255).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    sides = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return [list(np.array([x - REACH, y - REACH, x + REACH, y + REACH]) / sides) for x, y in homes]


def figures(folder: Path, films: int) -> Dataset:
    """Half of the films train, a quarter chooses the epoch, and a quarter is judged.

    All sixteen pairs of motions come up alike.
    """
    media, segments, boxes = {}, [], {}
    for number in range(films):
        motions = (number % 4, number // 4 % 4)
        path = folder / f"film{number:02}.mp4"
        id_ = key_frame_id(path.stem, str(MOMENT))
        boxes[id_] = Boxes.of(film(path, motions, number), actions=[[motion] for motion in motions])
        split = ("train", "train", "val", "test")[number * 4 // films]
        segments.append(Segment(id_, path.stem, MOMENT, MOMENT + 1, split=split))
        media[path.stem] = Media(path)
    return Dataset(
        "figures",
        media,
        tuple(segments),
        {"action": MOTIONS},
        key_frames=True,
        boxes=boxes,
    )
