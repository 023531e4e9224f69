"""What happens in the demo's clips: verbs are motions, nouns are things.

Pure geometry. Verbs come in pairs, each the other's time reversal: a `Pose` depends on
how far the pair's forward verb has got, and the backward verb runs through the same
poses from the end. The average over time of anything that a frame shows is therefore
the same for both, and only a head that sees order can tell them apart.

Lengths are pixels of the canvas, which is twice the size of a frame, from its upper
left corner with y downwards; the camera looks at a worktop from above, so that smaller
y is farther away.
"""

import math
from dataclasses import dataclass
from typing import Literal

CANVAS = (640, 480)
"""Width and height that things are drawn on before they are halved to a frame."""

PAIRS = (("open", "close"), ("fill", "empty"), ("push", "pull"), ("take", "put"))
"""Forward verb and its time reversal."""
VERBS = tuple(verb for pair in PAIRS for verb in pair)

FAR, NEAR = 215.0, 375.0
"""Where a thing stands after a push and after a pull."""
HANDFULS = 3
"""How often the hand goes between the heap and the thing to fill or empty it."""
REST_Y = 640.0
"""Where an idle hand waits, below the lower edge of the view."""

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Thing:
    """A container's shape; lengths are canvas pixels at `scale_at(y) == 1`."""

    rim: float
    waist: float
    base: float
    """Half-widths of the upper edge, half-way down, and of the foot."""
    height: float
    corners: int = 28
    """Corners of the outline: 4 is a box, many are round."""
    handle: Literal["", "ring", "bar", "hoop"] = ""
    band: Literal["", "label", "weave"] = ""


THINGS = {
    "basket": Thing(96, 84, 72, 84, handle="hoop", band="weave"),
    "bowl": Thing(106, 92, 44, 68),
    "box": Thing(106, 106, 106, 84, corners=4, band="label"),
    "cup": Thing(56, 52, 44, 90, handle="ring"),
    "jar": Thing(52, 58, 52, 138, band="label"),
    "pan": Thing(108, 104, 96, 28, handle="bar"),
}
NOUNS = tuple(THINGS)


@dataclass(frozen=True, slots=True)
class Action:
    """One verb done to one noun, with everything that varies from clip to clip."""

    verb: str
    noun: str
    x: float
    y: float
    side: Literal[-1, 1]
    """Which hand acts, and where the lid or the heap lies: 1 is the right."""
    size: float
    yaw: float
    """Turn of the thing about its upright axis, radians."""
    body: Colour
    lid: Colour
    food: Colour


@dataclass(frozen=True, slots=True)
class Pose:
    """Everything that moves, at one moment."""

    thing: Point
    """Middle of the thing's foot."""
    scale: float
    lid: Point | None
    """Middle of the lid; None where no lid takes part."""
    inside: float
    """How full the thing is, from 0 to 1."""
    heap: int
    """Handfuls of food that lie beside the thing."""
    carried: bool
    """Whether the hand holds food."""
    hand: Point
    """Finger tips of the acting hand."""


def smooth(value: float) -> float:
    """Ease from 0 at value ≤ 0 to 1 at value ≥ 1, at rest on both ends."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)


def scale_at(y: float) -> float:
    """Size of what stands at `y`, 1 in the middle of the worktop."""
    return 0.6 + 0.8 * (y - FAR) / (NEAR - FAR)


def between(a: Point, b: Point, part: float, lift: float = 0.0) -> Point:
    """Point at `part` of the way from a to b, along an arc `lift` pixels high."""
    arc = lift * math.sin(math.pi * part)
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part - arc


def pose(action: Action, step: int, steps: int) -> Pose:
    """Pose at frame `step` of `steps`; a backward verb has its pair's poses in reverse.

    The hand reaches in during the first fifth, moves, and withdraws in the last fifth.
    """
    forward = next(pair[0] for pair in PAIRS if action.verb in pair)
    done = (step if action.verb == forward else steps - 1 - step) / (steps - 1)
    moved = (done - 0.2) / 0.6
    still = _MOTIONS[forward](action, min(max(moved, 0.0), 1.0))
    reach = smooth(done / 0.2) * smooth((1 - done) / 0.2)
    rest = (CANVAS[0] / 2 + action.side * 200, REST_Y)
    return Pose(*still[:-1], hand=between(rest, still[-1], reach))


_Still = tuple[Point, float, Point | None, float, int, bool, Point]
"""The fields of a Pose, in its order, with the hand at its work."""


def _top(action: Action, foot: Point, scale: float) -> Point:
    return foot[0], foot[1] - THINGS[action.noun].height * scale


def _open(action: Action, moved: float) -> _Still:
    foot, scale = (action.x, action.y), action.size * scale_at(action.y)
    aside = action.x + action.side * (40 + 1.9 * THINGS[action.noun].rim * scale), action.y + 10
    lid = between(_top(action, foot, scale), aside, smooth(moved), lift=90)
    return foot, scale, lid, 0.5, 0, False, (lid[0], lid[1] - 12)


def _fill(action: Action, moved: float) -> _Still:
    foot, scale = (action.x, action.y), action.size * scale_at(action.y)
    top, heap = _top(action, foot, scale), heap_place(action)
    trip = min(int(moved * HANDFULS), HANDFULS - 1)
    part = moved * HANDFULS - trip
    carrying = part < 0.5
    way = smooth(2 * part) if carrying else smooth(2 - 2 * part)
    if trip == HANDFULS - 1 and not carrying:
        way = 1.0  # after the last handful the hand goes home from the thing itself
    hand = between(heap, (top[0], top[1] - 14), way, lift=60)
    done = trip if carrying else trip + 1
    held = carrying and moved > 0
    return foot, scale, None, done / HANDFULS, HANDFULS - done - held, held, hand


def _push(action: Action, moved: float) -> _Still:
    foot = action.x, NEAR + (FAR - NEAR) * smooth(moved)
    scale = action.size * scale_at(foot[1])
    thing = THINGS[action.noun]
    grip = foot[0] + action.side * 0.7 * thing.rim * scale, foot[1] - 0.3 * thing.height * scale
    return foot, scale, None, 0.5, 0, False, grip


def _take(action: Action, moved: float) -> _Still:
    thing = THINGS[action.noun]
    gone = CANVAS[0] / 2 + action.side * 150, REST_Y + thing.height * 1.6
    foot = between((action.x, action.y), gone, smooth(moved), lift=40)
    scale = action.size * (scale_at(action.y) + 0.35 * smooth(moved))
    grip = foot[0] + action.side * 0.8 * thing.rim * scale, foot[1] - 0.6 * thing.height * scale
    return foot, scale, None, 0.5, 0, False, grip


def heap_place(action: Action) -> Point:
    """Where the food lies that fills the thing."""
    reach = THINGS[action.noun].rim * action.size * scale_at(action.y)
    return action.x + action.side * (85 + reach), action.y + 14


_MOTIONS = {"open": _open, "fill": _fill, "push": _push, "take": _take}
