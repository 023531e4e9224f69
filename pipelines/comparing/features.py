"""`egofeat compare-features`: whether two stores hold the same features, segment by segment."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.bench.tables import table
from egofeat.pipelines.comparing.options import CompareFeaturesConfig
from egofeat.pipelines.comparing.settings import leaves, said
from egofeat.recipe import Recipe
from egofeat.store import FeatureStore, open_store
from egofeat.store.files import replace_file
from egofeat.store.table import intersect
from egofeat.words import counted

_WORST = 5
"""Segments that are listed."""


@dataclass(frozen=True)
class Likeness:
    """How alike the features of one segment are."""

    id: str
    cosine: float
    """Of all values of the segment as one vector."""
    largest: float
    """Greatest absolute difference of two values."""
    relative: float
    """Norm of the difference, in parts of the norm of the first."""

    @classmethod
    def of(cls, id_: str, first: NDArray[Any], second: NDArray[Any]) -> "Likeness":
        """Compare the values of a segment, in double precision."""
        one, other = (values.astype(np.float64).ravel() for values in (first, second))
        norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
        apart = one - other
        distance = float(np.linalg.norm(apart))
        alike = float(one @ other / (norms[0] * norms[1])) if all(norms) else float(not distance)
        return cls(
            id=id_,
            cosine=min(alike, 1.0),
            largest=float(np.abs(apart).max(initial=0)),
            relative=distance / norms[0] if norms[0] else float(distance > 0),
        )


@dataclass(frozen=True, kw_only=True)
class FeatureComparison:
    """Two stores side by side."""

    first: str
    second: str
    tap: str
    segments: int
    """In both."""
    left_out: tuple[int, int]
    """In one alone: of the first, of the second."""
    identical: int
    """Segments of these whose every value is the same."""
    recipes_differ: tuple[str, ...]
    """`path: first, second` of what the recipes say otherwise."""
    likeness: dict[str, dict[str, float]]
    """`cosine`, `largest` and `relative`, each its worst, median and best over segments."""
    worst: tuple[Likeness, ...]
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)

    def lines(self) -> Iterator[str | Table]:
        """What is alike, then the segments that are least so."""
        left_out = sum(self.left_out)
        aside = f"; {counted(left_out, 'segments')} in one of them alone" if left_out else ""
        yield f"{counted(self.segments, 'segments')} of tap {self.tap} in both{aside}"
        same = "all" if self.identical == self.segments else f"{self.identical:,}"
        yield f"identical to the last bit: {same}"
        for difference in self.recipes_differ:
            yield f"recipe: {difference}"
        cells = [
            [name, *(f"{of[which]:.7g}" for which in ("worst", "median", "best"))]
            for name, of in self.likeness.items()
        ]
        yield table(["", "worst", "median", "best"], cells)
        if self.identical < self.segments:
            rows = [
                [one.id, f"{one.cosine:.7f}", f"{one.largest:.3g}", f"{one.relative:.3g}"]
                for one in self.worst
            ]
            yield table(["least alike", "cosine", "largest", "relative"], rows)
        yield f"files: {', '.join(self.files)}"


def compare_features(asked: CompareFeaturesConfig) -> FeatureComparison:
    """Compare the features of the segments that two stores have, by id, start and stop.

    Raises:
        RequestError: they have no segment in common, or rows of other shapes.
        StoreError: one is absent or damaged; or the disk refuses.
    """
    first, second = (open_store(path, asked.tap) for path in (asked.first, asked.second))
    if first.row_shape != second.row_shape:
        raise RequestError(
            f"{first.path} holds rows of {first.row_shape} and {second.path} of "
            f"{second.row_shape}: compare stores of one backbone, tap and plan"
        )
    rows, others = intersect([first.table, second.table])
    if not len(rows):
        raise RequestError(
            f"{first.path} and {second.path} have no segment in common: ids, starts and stops are "
            "compared"
        )
    found = list(_each(first, second, first.ids[rows].tolist()))
    worst = sorted(found, key=lambda one: (one.cosine, -one.largest))
    file = asked.out / "features.csv"
    asked.out.mkdir(parents=True, exist_ok=True)
    replace_file(file, _as_csv(worst).encode())
    return FeatureComparison(
        first=str(first.path),
        second=str(second.path),
        tap=first.tap,
        segments=len(found),
        left_out=(len(first) - len(rows), len(second) - len(others)),
        identical=sum(one.largest == 0 for one in found),
        recipes_differ=tuple(_differences(first.recipe, second.recipe)),
        likeness={
            "cosine": _spread([-one.cosine for one in found], sign=-1),
            "largest difference": _spread([one.largest for one in found]),
            "relative difference": _spread([one.relative for one in found]),
        },
        worst=tuple(worst[:_WORST]),
        files=(str(file),),
    )


def _each(first: FeatureStore, second: FeatureStore, ids: Sequence[str]) -> Iterator[Likeness]:
    for id_ in ids:
        one, other = first[id_], second[id_]
        if one.shape != other.shape:
            raise RequestError(
                f"segment '{id_}' has features of {one.shape} in {first.path} and of "
                f"{other.shape} in {second.path}: compare stores of one plan"
            )
        yield Likeness.of(id_, one, other)


def _spread(values: Sequence[float], sign: int = 1) -> dict[str, float]:
    """Worst (greatest), median and best of some values."""
    return {
        "worst": sign * max(values),
        "median": sign * float(np.median(values)),
        "best": sign * min(values),
    }


def _differences(first: Recipe, second: Recipe) -> Iterator[str]:
    """What two recipes say otherwise: `precision: float32, fp16`."""
    one, other = (dict(leaves(recipe.to_dict())) for recipe in (first, second))
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            values = (said(of.get(name)) or "–" for of in (one, other))
            yield f"{name}: {', '.join(values)}"


def _as_csv(found: Sequence[Likeness]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "cosine", "largest", "relative"])
    writer.writeheader()
    writer.writerows(map(asdict, found))
    return text.getvalue()
