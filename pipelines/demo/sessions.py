"""Plans the demo's videos: who does what to which thing, and when. Pure.

Each video is one session of a participant who walks along a worktop and does about ten
things, one after the other. Annotated times are loose, as people's are: they begin
somewhat early and end somewhat late, so that some segments overlap their neighbours and
some leave a gap. Participants of `val` are in no other split.
"""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from egofeat.pipelines.demo.actions import CANVAS, FAR, NEAR, NOUNS, VERBS, Action, Colour
from egofeat.pipelines.demo.kitchen import PATTERNS, Person

FPS = 25

_PARTICIPANTS = 12
_VAL_EVERY = 4
"""Every fourth participant, and so every fourth video, is for validation."""
_SKINS: tuple[Colour, ...] = (
    (236, 188, 156),
    (141, 92, 62),
    (217, 164, 124),
    (92, 60, 44),
    (196, 140, 100),
    (245, 205, 180),
    (166, 114, 80),
    (118, 76, 54),
)


@dataclass(frozen=True, slots=True)
class Session:
    """What one video shows; times are frame numbers."""

    name: str
    participant: int
    split: str
    actions: tuple[Action, ...]
    begins: tuple[int, ...]
    """First frame of each action."""
    ends: tuple[int, ...]
    """Frame after the last of each action."""
    annotated: tuple[tuple[float, float], ...]
    """Seconds `[start, stop)` of each segment, around its action."""
    frames: int


def plan_sessions(clips: int, seed: int) -> list[Session]:
    """Which actions each video shows, and when; every verb with every noun in turn."""
    count = max(_VAL_EVERY, round(clips / 10))
    rng = np.random.default_rng([seed, 0])
    decks = {split: _deck(rng) for split in ("train", "val")}
    sessions = []
    for number in range(count):
        person = number % _PARTICIPANTS
        split = "val" if number % _VAL_EVERY == _VAL_EVERY - 1 else "train"
        share = len(range(number, clips, count))
        actions = tuple(_action(*next(decks[split]), rng) for _ in range(share))
        name = f"P{person + 1:02d}_{number // _PARTICIPANTS + 1:02d}"
        sessions.append(_timed(name, person, split, actions, rng))
    return sessions


def _deck(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Verb and noun, each pair once before any comes again, in a random order."""
    pairs = [(verb, noun) for verb in VERBS for noun in NOUNS]
    while True:
        yield from (pairs[i] for i in rng.permutation(len(pairs)))


def _action(verb: str, noun: str, rng: np.random.Generator) -> Action:
    """Make an action with everything but its labels at random."""
    side = 1 if rng.random() < 0.75 else -1
    hue = rng.random()
    return Action(
        verb=verb,
        noun=noun,
        x=CANVAS[0] / 2 - side * rng.uniform(20, 90),
        y=rng.uniform(FAR + 50, NEAR - 20),
        side=1 if side == 1 else -1,
        size=rng.uniform(0.9, 1.15),
        yaw=rng.uniform(-0.35, 0.35),
        body=_hue(hue, rng.uniform(0.25, 0.75), rng.uniform(0.6, 0.95)),
        lid=_hue(hue + rng.uniform(0.25, 0.75), rng.uniform(0.3, 0.8), rng.uniform(0.6, 0.95)),
        food=_hue(rng.choice([0.0, 0.06, 0.12, 0.28, 0.36, 0.8]), 0.75, rng.uniform(0.7, 0.95)),
    )


def _hue(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _timed(
    name: str,
    participant: int,
    split: str,
    actions: tuple[Action, ...],
    rng: np.random.Generator,
) -> Session:
    begins, ends, frame = [], [], 6
    for _ in actions:
        begins.append(frame)
        ends.append(frame + int(rng.integers(36, 47)))
        frame = ends[-1] + int(rng.integers(7, 13))
    annotated = tuple(
        (round(begin / FPS - rng.uniform(0, 0.2), 2), round(end / FPS + rng.uniform(0, 0.2), 2))
        for begin, end in zip(begins, ends, strict=True)
    )
    return Session(name, participant, split, actions, tuple(begins), tuple(ends), annotated, frame)


def person_of(participant: int, seed: int) -> Person:
    """Worktop, wall, skin and sleeves of a participant."""
    rng = np.random.default_rng([seed, 2, participant])
    return Person(
        worktop=_hue(rng.uniform(0.03, 0.14), rng.uniform(0.08, 0.42), rng.uniform(0.55, 0.85)),
        pattern=PATTERNS[participant % len(PATTERNS)],
        wall=_hue(rng.random(), rng.uniform(0.05, 0.2), rng.uniform(0.75, 0.92)),
        skin=_SKINS[participant % len(_SKINS)],
        sleeve=_hue(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.25, 0.8)),
    )
