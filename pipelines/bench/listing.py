"""`egofeat backbones`: what each frozen network is, costs and sees, and where its weights are."""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields

from rich.table import Table

from egofeat import console
from egofeat.extract.backbones import BACKBONES, find_backbone
from egofeat.extract.backbones.backbone import Builder, Clip, Spec
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.weights import Weights, at_hand

_WIDTH = 80
_LABEL = 16


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One set of published weights, as its publisher describes it."""

    name: str
    file: str
    url: str
    hosted: bool
    """Whether `url` gives the file; otherwise it gives what the file was converted from."""
    licence: str
    trained_on: str
    accuracy: float | None
    """As published, percent."""
    metric: str
    views: tuple[int, int]
    """(clips, crops) a video that the accuracy was averaged over."""
    multiply_adds: float | None
    """Of one view, as published, in units of 10^9."""
    at_hand: str | None
    """Where the file lies on this machine."""

    def score(self) -> str:
        """`77.0 % top-1`, or that nobody published one."""
        if self.accuracy is None:
            return "no published accuracy"
        return f"{self.accuracy:.1f} % {self.metric}"

    def lines(self) -> list[str]:
        """How it was measured, its licence, and where it is."""
        clips, crops = self.views
        views = "one view" if clips * crops == 1 else f"{clips} × {crops} views"
        missing = f"not here{'' if self.hosted else ', to be converted from'}: {self.url}"
        where = f"at hand: {self.at_hand}" if self.at_hand else missing
        return [
            f"{self.name}: {self.score()}, {self.trained_on}, {views}",
            f"  {self.licence}",
            f"  {where}",
        ]


@dataclass(frozen=True, kw_only=True)
class Description:
    """One backbone."""

    name: str
    parameters: int | None
    """With the classifier, as trained; None of what a package adds."""
    multiply_adds: int | None
    """Of one view, counted; None of what a package adds."""
    package: str
    """Name and version of the package that adds it; empty of egofeat's own."""
    clip: Clip | None
    """None: a network of single images."""
    pixels: int
    taps: tuple[str, ...]
    default_tap: str
    weights: tuple[PublishedWeights, ...]
    """The default first."""

    def giga(self) -> str:
        """Multiply-adds in units of 10^9, three digits."""
        if self.multiply_adds is None:
            return "–"
        value = self.multiply_adds / 1e9
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    def mega(self) -> str:
        """Parameters in units of 10^6."""
        return "–" if self.parameters is None else f"{self.parameters / 1e6:.2f}"

    def input(self) -> str:
        """`32×2@30 256`: frames × stride @ frames a second, pixels."""
        clip = f"{self.clip.frames}×{self.clip.stride}@{self.clip.fps:g} " if self.clip else ""
        return f"{clip}{self.pixels}"

    def where(self) -> str:
        """`at hand` for the default weights; otherwise `not here`, and which others are."""
        if self.weights[0].at_hand:
            return "at hand"
        others = [weights.name for weights in self.weights if weights.at_hand]
        return f"not here, but {', '.join(others)} at hand" if others else "not here"

    def cells(self) -> list[str]:
        """A line of the table."""
        weights = self.weights[0] if self.weights else None
        at_hand = [weights.at_hand for weights in self.weights]
        return [
            self.name,
            "–" if self.parameters is None else f"{self.parameters / 1e6:.1f}",
            self.giga(),
            self.input(),
            str(len(self.taps)),
            f"{weights.accuracy:.1f} {weights.metric}" if weights and weights.accuracy else "–",
            weights.licence.split(" (", maxsplit=1)[0] if weights else "–",
            ("yes" if at_hand[0] else "other") if any(at_hand) else "no",
        ]

    def line(self) -> str:
        """One plain line."""
        cost = [f"{self.mega()} M parameters", f"{self.giga()} G multiply-adds a view"]
        parts = [
            *([f"added by {self.package or 'your module'}"] if self.parameters is None else cost),
            f"{self.input()} px",
            f"{self.default_tap} of {len(self.taps)} taps",
        ]
        if self.weights:
            default = self.weights[0]
            parts += [default.score(), default.licence, f"weights {self.where()}"]
        else:
            parts.append("no published weights")
        return f"{self.name}: {', '.join(parts)}"

    def lines(self) -> list[str]:
        """All of it, 80 columns wide."""
        cost = f"{self.giga()} G a view, counted"
        if self.weights and self.weights[0].multiply_adds:
            cost += f" ({self.weights[0].multiply_adds:g} G as published)"
        seen = f"{self.pixels} pixels a side"
        if self.clip:
            seen = f"{self.clip.frames} frames (at least {self.clip.fewest}), stride "
            seen += f"{self.clip.stride} at {self.clip.fps:g} fps, {self.pixels} pixels a side"
        return [
            self.name,
            *(_entry("package", [self.package]) if self.package else []),
            *_entry("parameters", ["–" if self.parameters is None else f"{self.parameters:,}"]),
            *_entry("multiply-adds", [cost]),
            *_entry("input", [seen]),
            *_entry("taps", textwrap.wrap(", ".join(self.taps), _WIDTH - _LABEL)),
            *_entry("default tap", [self.default_tap]),
            *_entry(
                "weights", [line for w in self.weights for line in w.lines()] or ["none published"]
            ),
        ]


@dataclass(frozen=True)
class Listing:
    """Every backbone that has a name of its own."""

    backbones: tuple[Description, ...]

    def lines(self) -> list[str | Table]:
        """A table on a terminal, else a line each; and what else there is."""
        if sys.stdout.isatty():
            return [self.table(), OTHERS]
        return [*(backbone.line() for backbone in self.backbones), OTHERS]

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


OTHERS = "tv:NAME is any other image classifier of torchvision, as tv:vit_b_16"


def describe(name: str) -> Description:
    """One backbone, by its name or as `tv:NAME`.

    Raises:
        RequestError: there is no such backbone.
    """
    return _description(*find_backbone(name))


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
    return Description(
        name=spec.name,
        parameters=spec.parameters,
        multiply_adds=None if spec.parameters is None else multiply_adds(spec, build),
        package=spec.package,
        clip=spec.clip,
        pixels=spec.size,
        taps=spec.taps,
        default_tap=spec.default_tap,
        weights=tuple(_published(record) for record in spec.weights),
    )


def _published(weights: Weights) -> PublishedWeights:
    path = at_hand(weights)
    shown = {one.name for one in fields(PublishedWeights)} - {"at_hand"}
    published = {name: getattr(weights, name) for name in shown}
    return PublishedWeights(**published, at_hand=str(path) if path else None)


def _entry(label: str, lines: Sequence[str]) -> list[str]:
    first, *rest = lines
    indent = " " * _LABEL
    return [f"  {label:<{_LABEL - 2}}{first}", *(f"{indent}{line}" for line in rest)]
