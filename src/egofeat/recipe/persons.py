"""Persons as rows: which maps their boxes are cut out of, and how."""

from collections.abc import Mapping
from dataclasses import dataclass

from egofeat.recipe.form import Count, Part

TAPS = ("roi", "roi_map")
"""What a person's features can be: a vector `[C]`, or a map `[C, grid, grid]`."""


@dataclass(frozen=True)
class RoiAlign(Part):
    """How boxes are cut out of maps."""

    maps: tuple[str, ...]
    """The backbone's taps, side by side in this order."""
    strides: tuple[Count, ...]
    """Pixels of the network's input that a place of each stands for."""
    grid: Count = 7
    """Places a side."""
    sampling: int = 0
    """Points a side whose mean is a place's value; 0 takes as many as the place has pixels of the
    map, rounded up."""
    aligned: bool = False
    """Whether boxes are moved by half a pixel of the map, as RoIAlign was mended later; the
    published weights were trained without."""
    of: str | None = None
    """Where the maps were read from a store: the dtype that they were kept as."""

    def shapes(self, maps: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Shape of each of `TAPS` for one person, from those of a clip's maps."""
        channels = sum(maps[tap][-3] for tap in self.maps)
        return {"roi": (channels,), "roi_map": (channels, self.grid, self.grid)}
