"""What the commands of `egofeat visualize` share: network, place of a picture, report."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from egofeat import console
from egofeat.device import choose_device
from egofeat.extract.backbones import Backbone, Spec, load, spec_of
from egofeat.extract.backbones.building import layers_of, unfolded
from egofeat.extract.backbones.inside import check_layer
from egofeat.pipelines.visualize.options import KernelsConfig, MapsConfig, MaximisationConfig

NetworkConfig = KernelsConfig | MapsConfig | MaximisationConfig


@dataclass(frozen=True)
class Pictures:
    """What was drawn."""

    pictures: tuple[str, ...]

    @classmethod
    def of(cls, drawn: Iterable[Path]) -> Self:
        """Of their paths."""
        return cls(tuple(map(str, drawn)))

    def lines(self) -> list[str]:
        """One path a line."""
        return list(self.pictures)


def load_network(asked: NetworkConfig, taps: Sequence[str], device: str) -> Backbone:
    """Load the network that is asked for; see `load`."""
    place = choose_device(device)
    return load(asked.backbone, asked.weights, taps, device=place, note=console.note)


def load_inside(asked: NetworkConfig, names: Sequence[str], device: str) -> Backbone:
    """Load the network as deep as taps and layers need; none means all taps but the classifier.

    Where a layer is named that is no tap, it is the network as published, not folded.

    Raises:
        RequestError: it has neither such a tap nor such a layer.
    """
    spec = spec_of(asked.backbone)
    taps = [name for name in names if name in spec.taps]
    if len(taps) == len(names):
        return load_network(asked, taps or maps_and_vectors(spec), device)
    with unfolded():
        network = load_network(asked, [*taps, spec.default_tap], device)
    known = [*spec.taps, *layers_of(network.module)]
    for name in names:
        check_layer(known, name, asked.backbone, "tap or layer")
    return network


def remark_of(network: Backbone) -> str:
    """What a picture says of the weights: nothing where they were trained."""
    return "; random weights" if network.weights.startswith("random:") else ""


def maps_and_vectors(spec: Spec) -> list[str]:
    """All taps but the classifier, which weights may lack."""
    return [tap for tap in spec.taps if tap != "logits"]


def file_of(asked: NetworkConfig, *words: str) -> Path:
    """Where a picture of the network goes."""
    return place(asked.out, spec_of(asked.backbone).called, *words)


def place(out: Path, *words: str) -> Path:
    """Where a picture goes in a folder: its name says what it shows, as others lie there too."""
    name = re.sub(r"[:/\\@]+", "-", "-".join(words))
    return out / f"{name.replace(' ', '_')}.png"


def moment_of(video: Path, start: float) -> str:
    """What a picture of a video shows, from which second on."""
    return f"{video.stem}-{start:g}s" if start else video.stem


def middles(whole: int, parts: int) -> NDArray[np.int64]:
    """Index in the middle of each of so many equal parts of `range(whole)`."""
    return ((np.arange(parts) + 0.5) * whole / parts).astype(np.int64)
