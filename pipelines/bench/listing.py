"""`egofeat backbones`: what each frozen network is, costs and sees, and where its weights are."""

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, find_backbone
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.building import blank, unfolded
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.inside import convolutions
from egofeat.extract.backbones.registry import PREFIXES, VARIANTS
from egofeat.extract.weights import Weights, at_hand
from egofeat.names import VARIANT

_WIDTH = 80
_LABEL = 16
_PUBLISHED = (
    *("name", "file", "url", "hosted", "licence", "trained_on"),
    *("accuracy", "metric", "views", "multiply_adds"),
)
"""What `--json` tells of published weights, beside where their file lies on this machine."""
OTHERS = (*(f"{prefix}:NAME is {what}" for prefix, (what, _) in PREFIXES.items()), VARIANTS)


@dataclass(frozen=True)
class Description:
    """One backbone."""

    spec: Spec
    multiply_adds: int | None
    """Of one view, counted; None of what a package adds."""
    places: tuple[Path | None, ...]
    """Where each of its published weights lies on this machine."""

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        spec = self.spec
        weights = [
            {name: getattr(record, name) for name in _PUBLISHED}
            | {"at_hand": str(place) if place else None}
            for record, place in zip(spec.weights, self.places, strict=True)
        ]
        own = {name: getattr(spec, name) for name in ("name", "parameters", "package", "taps")}
        return own | {
            "multiply_adds": self.multiply_adds,
            "clip": spec.clip and asdict(spec.clip),
            "pixels": spec.size,
            "default_tap": spec.default_tap,
            "weights": weights,
        }

    @property
    def giga(self) -> str:
        """Multiply-adds in units of 10^9, three digits."""
        if self.multiply_adds is None:
            return "–"
        value = self.multiply_adds / 1e9
        return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"

    @property
    def input(self) -> str:
        """`32×2@30 256`: frames × stride @ frames a second, pixels."""
        clip = self.spec.clip
        seen = f"{clip.frames}×{clip.stride}@{clip.fps:g} " if clip else ""
        return f"{seen}{self.spec.size}"

    @property
    def where(self) -> str:
        """`at hand` for the default weights; otherwise `not here`, and which others are."""
        if self.places[0]:
            return "at hand"
        found = [w.name for w, place in zip(self.spec.weights, self.places, strict=True) if place]
        return f"not here, but {', '.join(found)} at hand" if found else "not here"

    def cells(self) -> list[str]:
        """A line of the table."""
        spec = self.spec
        accuracy = licence = "–"
        if spec.weights:
            default = spec.weights[0]
            licence = default.licence.split(" (", maxsplit=1)[0]
            accuracy = f"{default.accuracy:.1f} {default.metric}" if default.accuracy else "–"
        return [
            spec.called,
            "–" if spec.parameters is None else f"{spec.parameters / 1e6:.1f}",
            self.giga,
            self.input,
            str(len(spec.taps)),
            accuracy,
            licence,
            "no" if not any(self.places) else "yes" if self.places[0] else "other",
        ]

    def line(self) -> str:
        """One plain line."""
        spec = self.spec
        cost = f"added by {spec.package or 'your module'}"
        if spec.parameters is not None:
            cost = f"{spec.parameters / 1e6:.2f} M parameters, {self.giga} G multiply-adds a view"
        weights = "no published weights"
        if spec.weights:
            default = spec.weights[0]
            weights = f"{_score(default)}, {default.licence}, weights {self.where}"
        tap = f"{spec.default_tap} of {len(spec.taps)} taps"
        return f"{spec.called}: {cost}, {self.input} px, {tap}, {weights}"

    def lines(self) -> list[str]:
        """All of it, 80 columns wide."""
        spec = self.spec
        cost = "–" if self.multiply_adds is None else f"{self.giga} G a view, counted"
        if spec.weights and spec.weights[0].multiply_adds:
            cost += f" ({spec.weights[0].multiply_adds:g} G as published)"
        seen = f"{spec.size} pixels a side"
        if clip := spec.clip:
            seen = f"{clip.frames} frames (at least {clip.fewest}), stride {clip.stride} at "
            seen += f"{clip.fps:g} fps, {spec.size} pixels a side"
        pairs = zip(spec.weights, self.places, strict=True)
        weights = [line for record, place in pairs for line in _lines_of(record, place)]
        described = ""
        if spec.name.startswith(VARIANT):
            described = json.dumps(json.loads(spec.name.removeprefix(VARIANT)))
        return [
            spec.called,
            *_entry("described", textwrap.wrap(described, _WIDTH - _LABEL)),
            *_entry("package", [spec.package] if spec.package else []),
            *_entry("parameters", ["–" if spec.parameters is None else f"{spec.parameters:,}"]),
            *_entry("multiply-adds", [cost]),
            *_entry("input", [seen]),
            *_entry("taps", textwrap.wrap(", ".join(spec.taps), _WIDTH - _LABEL)),
            *_entry("default tap", [spec.default_tap]),
            *_entry("weights", weights or ["none published"]),
            *_entry("note", textwrap.wrap(spec.note, _WIDTH - _LABEL)),
        ]


@dataclass(frozen=True)
class Listing:
    """Every backbone that has a name of its own."""

    backbones: tuple[Description, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"backbones": [backbone.to_dict() for backbone in self.backbones]}

    def lines(self) -> list[str | Table]:
        """A table on a terminal that is as wide, else a line each; and what else there is."""
        console, table = Console(), self.table()
        if sys.stdout.isatty() and console.measure(table).minimum <= console.width:
            return [table, *OTHERS]
        return [*(backbone.line() for backbone in self.backbones), *OTHERS]

    def table(self) -> Table:
        """The backbones, a line each."""
        table = Table(
            box=None,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            caption="M: 10⁶ parameters; G: 10⁹ multiply-adds a view, counted; input: frames × "
            "stride @ frames a second, pixels; published: accuracy, %; here: weights at hand",
            caption_justify="left",
        )
        table.add_column("backbone", no_wrap=True)
        for heading in ("M", "G"):
            table.add_column(heading, justify="right", no_wrap=True)
        for heading in ("input", "taps", "published", "licence", "here"):
            table.add_column(heading)
        for backbone in self.backbones:
            table.add_row(*backbone.cells())
        return table


def describe(name: str) -> Description:
    """One backbone, by its name or as `PREFIX:NAME`.

    Raises:
        RequestError: there is no such backbone.
    """
    return _description(*find_backbone(name))


@dataclass(frozen=True)
class Layers:
    """The convolutions of one backbone."""

    layers: tuple[str, ...]

    def lines(self) -> list[str]:
        """A name a line."""
        return list(self.layers)


def layers(name: str | None) -> Layers:
    """Convolutions of a backbone by their names in the published checkpoint.

    Raises:
        RequestError: there is no such backbone, or none is named.
    """
    if name is None:
        raise RequestError("name the backbone whose layers are to be listed")
    spec, build = find_backbone(name)
    with unfolded():
        whole = blank(lambda: build((spec.taps[-1],), None, 0))
    return Layers(tuple(convolutions(whole)))


def listing() -> Listing:
    """All backbones, in the order of their families; of a broken one of a package, a note."""
    names = list(BACKBONES.own)
    for plugin, problem in BACKBONES.plugins():
        if problem:
            console.note(problem)
        else:
            names.append(plugin.name)
    return Listing(tuple(_description(*BACKBONES[name]) for name in names))


def _description(spec: Spec, build: Builder) -> Description:
    counted = None if spec.parameters is None else multiply_adds(spec, build)
    return Description(spec, counted, tuple(map(at_hand, spec.weights)))


def _score(weights: Weights) -> str:
    if weights.accuracy is None:
        return "no published accuracy"
    return f"{weights.accuracy:.1f} % {weights.metric}"


def _lines_of(weights: Weights, place: Path | None) -> list[str]:
    """How published weights were measured, their licence, and where they are."""
    clips, crops = weights.views
    views = "one view" if clips * crops == 1 else f"{clips} × {crops} views"
    missing = f"not here{'' if weights.hosted else ', to be converted from'}: {weights.url}"
    return [
        f"{weights.name}: {_score(weights)}, {weights.trained_on}, {views}",
        f"  {weights.licence}",
        f"  at hand: {place}" if place else f"  {missing}",
    ]


def _entry(label: str, lines: Sequence[str]) -> list[str]:
    labels = [f"  {label}", *[""] * len(lines)]
    return [f"{label:<{_LABEL}}{line}" for label, line in zip(labels, lines, strict=False)]
