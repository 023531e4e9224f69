"""Paints what moves: things with their lids and food, and the wearer's two arms.

Everything is drawn with flat shaded polygons on a canvas of twice the frame's size and
then halved, which smooths the edges.
"""

import itertools
import math
from collections.abc import Sequence

from PIL import ImageDraw

from egofeat.pipelines.demo.actions import (
    CANVAS,
    REST_Y,
    THINGS,
    Action,
    Colour,
    Point,
    Pose,
    heap_place,
    scale_at,
)
from egofeat.pipelines.demo.kitchen import Person, shade

_TILT = 0.46
"""Height of a circle that lies on the worktop, as a part of its width."""
_FINGERS = ((52, -23, 12, -20), (56, -8, 1, -7), (56, 7, 0, 6), (52, 21, 8, 18))
"""Where each finger begins and ends: pixels behind the tips and to the right, twice."""


def draw_action(
    pen: ImageDraw.ImageDraw, person: Person, action: Action, now: Pose, shift: Point
) -> None:
    """Draw the thing with what belongs to it; `shift` moves the site into the view."""
    thing, (x, y) = THINGS[action.noun], _plus(now.thing, shift)
    dark = shade(person.worktop, 0.5)
    pen.polygon(_ring((x + 10, y + 4), thing.waist * now.scale * 1.1, 20, 0.0), fill=dark)
    if now.heap:
        heap = _plus(heap_place(action), shift)
        pen.polygon(_ring((heap[0] + 6, heap[1] + 2), 44, 20, 0.0), fill=dark)
        _food(pen, heap, 6 * now.heap, 36, action.food)
    _body(pen, action, (x, y), now.scale, now.inside)
    if now.lid:
        _lid(pen, action, _plus(now.lid, shift), now.scale)


def _body(pen: ImageDraw.ImageDraw, action: Action, foot: Point, scale: float, full: float) -> None:
    """Draw the thing itself, filled to the part `full`."""
    thing = THINGS[action.noun]
    rim, height = thing.rim * scale, thing.height * scale
    top = foot[0], foot[1] - height
    rings = [
        _ring(foot, thing.base * scale, thing.corners, action.yaw),
        _ring((foot[0], foot[1] - height / 2), thing.waist * scale, thing.corners, action.yaw),
        _ring(top, rim, thing.corners, action.yaw),
    ]
    if thing.handle:
        _handle(pen, action, top, scale)
    pen.polygon(rings[0], fill=shade(action.body, 0.6))
    pen.polygon(rings[2], fill=shade(action.body, 0.42))
    if full:
        _food(pen, (top[0], top[1] + 4 * scale), round(24 * full), rim * 0.7, action.food)
    for lower, upper in itertools.pairwise(rings):
        _wall_strips(pen, lower, upper, foot[0], action.body)
    if thing.band:
        _band(pen, action, rings, foot[0])
    pen.line(
        [*rings[2], rings[2][0]], fill=shade(action.body, 1.25), width=max(2, round(4 * scale))
    )


def _ring(centre: Point, radius: float, corners: int, yaw: float) -> list[Point]:
    """Outline a flat shape that lies level, as it is seen from above."""
    turn = yaw if corners > 4 else yaw + math.pi / 4
    stretch = 1.0 if corners > 4 else 1.18
    return [
        (
            centre[0] + stretch * radius * math.cos(turn + 2 * math.pi * i / corners),
            centre[1] + stretch * radius * _TILT * math.sin(turn + 2 * math.pi * i / corners),
        )
        for i in range(corners)
    ]


def _wall_strips(
    pen: ImageDraw.ImageDraw,
    lower: Sequence[Point],
    upper: Sequence[Point],
    middle: float,
    colour: Colour,
) -> None:
    """Draw the sides that face the camera, lit from the left."""
    count = len(lower)
    radius = max(abs(x - middle) for x, _ in upper) or 1.0
    for i in range(count):
        j = (i + 1) % count
        if upper[j][0] >= upper[i][0]:
            continue  # turned away: outlines run clockwise, near sides from right to left
        across = ((upper[i][0] + upper[j][0]) / 2 - middle) / radius
        lit = 0.98 - 0.34 * across - 0.16 * across * across
        pen.polygon([lower[i], lower[j], upper[j], upper[i]], fill=shade(colour, lit))


def _band(
    pen: ImageDraw.ImageDraw, action: Action, rings: Sequence[Sequence[Point]], middle: float
) -> None:
    """Draw what goes around the thing: a label, or the weave of a basket."""

    def level(part: float) -> list[Point]:
        low, high = (rings[0], rings[1]) if part < 0.5 else (rings[1], rings[2])
        mix = part * 2 % 1 if part < 1 else 1.0
        return [
            (a[0] + (b[0] - a[0]) * mix, a[1] + (b[1] - a[1]) * mix)
            for a, b in zip(low, high, strict=True)
        ]

    if THINGS[action.noun].band == "label":
        _wall_strips(pen, level(0.25), level(0.7), middle, shade(action.lid, 1.1))
        return
    for part in (0.15, 0.35, 0.55, 0.75):
        points = level(part)
        near = [p for i, p in enumerate(points) if points[(i + 1) % len(points)][0] < p[0]]
        pen.line(near, fill=shade(action.body, 0.55), width=4)
        for x, y in near[::2]:
            pen.line((x, y - 7, x, y + 7), fill=shade(action.body, 1.3), width=4)


def _handle(pen: ImageDraw.ImageDraw, action: Action, top: Point, scale: float) -> None:
    thing = THINGS[action.noun]
    x, y = top
    rim, height, dark = thing.rim * scale, thing.height * scale, shade(action.body, 0.7)
    away = -action.side
    if thing.handle == "ring":
        left, right = sorted((x + away * rim * 0.7, x + away * rim * 1.75))
        pen.ellipse(
            (left, y + 0.12 * height, right, y + 0.8 * height),
            outline=dark,
            width=round(12 * scale),
        )
    elif thing.handle == "bar":
        tip = x + away * rim * 2.1, y - 0.5 * rim
        pen.line([(x, y + 4), tip], fill=(52, 48, 48), width=round(20 * scale))
        _dot(pen, tip, 10 * scale, (52, 48, 48))
    else:
        pen.arc((x - rim, y - rim, x + rim, y + rim), 180, 360, fill=dark, width=round(10 * scale))


def _lid(pen: ImageDraw.ImageDraw, action: Action, at: Point, scale: float) -> None:
    thing = THINGS[action.noun]
    radius = thing.rim * scale * 1.05
    lower = _ring((at[0], at[1] + 7 * scale), radius, thing.corners, action.yaw)
    pen.polygon(lower, fill=shade(action.lid, 0.6))
    pen.polygon(_ring(at, radius, thing.corners, action.yaw), fill=action.lid)
    pen.polygon(_ring(at, radius * 0.72, thing.corners, action.yaw), fill=shade(action.lid, 1.18))
    _dot(pen, (at[0], at[1] - 6 * scale), 12 * scale, shade(action.lid, 0.5))


def _food(pen: ImageDraw.ImageDraw, at: Point, pieces: int, radius: float, colour: Colour) -> None:
    """Draw a heap of round pieces, laid out as sunflower seeds are, the far ones first."""
    seeds = [(radius * math.sqrt((i + 0.5) / max(pieces, 8)), 2.39996 * i) for i in range(pieces)]
    spots = sorted((r * math.sin(a) * _TILT, r * math.cos(a), i) for i, (r, a) in enumerate(seeds))
    for dy, dx, i in spots:
        size = 9 + radius * 0.09
        x, y = at[0] + dx, at[1] + dy - size * 0.5
        _dot(pen, (x, y), size, shade(colour, 0.7))
        _dot(pen, (x - 1.5, y - 2), size - 3, shade(colour, 0.95 + 0.08 * (i % 4)))


def draw_arms(
    pen: ImageDraw.ImageDraw,
    person: Person,
    action: Action,
    now: Pose,
    *,
    shift: Point,
    sway: Point,
) -> None:
    """Draw the idle arm at the edge of the view, then the acting one with what it carries."""
    idle = CANVAS[0] / 2 - action.side * (220 - sway[0]), CANVAS[1] - 88 + sway[1]
    _arm(pen, person, idle, -action.side)
    hand = _plus(now.hand, shift)
    if now.carried:
        _food(pen, (hand[0], hand[1] + 6), 6, 24, action.food)
    if now.hand[1] < REST_Y - 10:
        _arm(pen, person, hand, action.side)


def _arm(pen: ImageDraw.ImageDraw, person: Person, tip: Point, side: int) -> None:
    """Draw an arm from below the view to its finger tips; the thumb is on the inner side."""
    root = CANVAS[0] / 2 + side * 300, CANVAS[1] + 190.0
    size = min(max(0.62 * scale_at(tip[1]) + 0.42, 0.7), 1.3)
    length = math.dist(root, tip) or 1.0
    along = (tip[0] - root[0]) / length, (tip[1] - root[1]) / length

    def at(back: float, out: float) -> Point:
        """Point `back` pixels behind the tips and `out` to the arm's right."""
        return (
            tip[0] - along[0] * back * size - along[1] * out * size,
            tip[1] - along[1] * back * size + along[0] * out * size,
        )

    reach = length / size
    for skin, grow in ((shade(person.skin, 0.66), 3.0), (person.skin, 0.0)):
        pen.polygon(
            [at(84, -20 - grow), at(84, 20 + grow), at(reach, 52 + grow), at(reach, -52 - grow)],
            fill=skin,
        )
        thumb = (70, -side * 24, 34, -side * 46)
        for knuckle, out, nail, nail_out in (*_FINGERS, thumb):
            ends = at(knuckle, out), at(nail, nail_out)
            pen.line(ends, fill=skin, width=round((16 + 2 * grow) * size))
            _dot(pen, ends[1], (8 + grow) * size, skin)
        _dot(pen, at(70, 0), (30 + grow) * size, skin)
    cuff = min(185.0, reach)
    sleeve = [at(cuff, -38), at(cuff, 38), at(reach + 40, 62), at(reach + 40, -62)]
    pen.polygon(sleeve, fill=person.sleeve)
    pen.line([at(cuff, -38), at(cuff, 38)], fill=shade(person.sleeve, 0.7), width=7)


def _plus(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1]


def _dot(pen: ImageDraw.ImageDraw, at: Point, radius: float, colour: Colour) -> None:
    pen.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=colour)
