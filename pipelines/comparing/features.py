"""`egofeat compare-features`: whether two stores hold the same features, segment by segment."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.bench.tables import tables
from egofeat.pipelines.comparing.options import CompareFeaturesConfig
from egofeat.pipelines.comparing.settings import leaves, said
from egofeat.recipe import Recipe
from egofeat.store import FeatureStore, open_store
from egofeat.store.description import Description
from egofeat.store.files import replace_file
from egofeat.store.reading.opening import find_store
from egofeat.store.table import intersect
from egofeat.words import counted

_WORST = 5
"""Segments that are listed."""
_ROUNDING = 2.0**-10
"""Relative difference of features of which one was rounded to float16: half of this each."""


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
    """Of the first; with that of the other where it has another name."""
    segments: int
    """In both, and compared."""
    other_shapes: tuple[str, ...]
    """In both, with other numbers of rows: id, and both shapes."""
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

    @property
    def verdict(self) -> str:
        """Whether they are the same features."""
        if self.identical == self.segments:
            same = "the same features, bit for bit"
        elif (apart := self.likeness["relative difference"]["worst"]) <= _ROUNDING:
            same = f"the same features, up to rounding (relative difference {apart:.2g} at most)"
        else:
            least = self.likeness["cosine"]["worst"]
            same = f"different features: the cosine of the least alike segment is {least:.6f}"
        return same

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self) | {"verdict": self.verdict}

    def lines(self) -> Iterator[str | Table]:
        """What is alike, then the segments that are least so."""
        left_out = sum(self.left_out)
        aside = f"; {counted(left_out, 'segments')} in one of them alone" if left_out else ""
        yield f"{counted(self.segments, 'segments')} of tap {self.tap} in both{aside}"
        same = "all" if self.identical == self.segments else f"{self.identical:,}"
        yield self.verdict
        yield f"identical to the last bit: {same}"
        if self.other_shapes:
            number = counted(len(self.other_shapes), "segments")
            some = "; ".join(self.other_shapes[:_WORST])
            yield f"not compared, of other numbers of rows: {number} ({some})"
        for difference in self.recipes_differ:
            yield f"recipe: {difference}"
        cells = [
            [name, *(f"{of[which]:.7g}" for which in ("worst", "median", "best"))]
            for name, of in self.likeness.items()
        ]
        yield from tables(["", "worst", "median", "best"], cells)
        if self.identical < self.segments:
            rows = [
                [one.id, f"{one.cosine:.7f}", f"{one.largest:.3g}", f"{one.relative:.3g}"]
                for one in self.worst
            ]
            yield from tables(["least alike", "cosine", "largest", "relative"], rows)
        yield f"files: {', '.join(self.files)}"


def compare_features(asked: CompareFeaturesConfig) -> FeatureComparison:
    """Compare the features of the segments that two stores have, by id, start and stop.

    Raises:
        RequestError: they have no segment in common, or rows of other shapes in all of them.
        StoreError: one is absent or damaged; or the disk refuses.
    """
    first = open_store(asked.first, asked.tap)
    second = open_store(asked.second, asked.other_tap or _tap_of(asked.second, first.tap))
    channels = [store.row_shape[not store.flat :] for store in (first, second)]
    if channels[0] != channels[1]:
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
    other_shapes: list[str] = []
    found = list(_likenesses(first, second, first.ids[rows].tolist(), other_shapes))
    if not found:
        raise RequestError(
            f"no segment has as many rows in {first.path} as in {second.path} ({other_shapes[0]}): "
            "compare stores of one plan"
        )
    worst = sorted(found, key=lambda one: (one.cosine, -one.largest))
    file = asked.out / "features.csv"
    asked.out.mkdir(parents=True, exist_ok=True)
    replace_file(file, _as_csv(worst).encode())
    return FeatureComparison(
        first=str(first.path),
        second=str(second.path),
        tap=first.tap if first.tap == second.tap else f"{first.tap} against {second.tap}",
        segments=len(found),
        other_shapes=tuple(other_shapes),
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


def _tap_of(store: Path, tap: str) -> str | None:
    """The tap of that name, if the store has it; None leaves the choice."""
    return tap if tap in Description.read(find_store(store)).recipe.taps else None


def _likenesses(
    first: FeatureStore, second: FeatureStore, ids: Sequence[str], other_shapes: list[str]
) -> Iterator[Likeness]:
    """How alike each segment is; those of which the number of rows differs are noted."""
    for id_ in ids:
        one, other = first[id_], second[id_]
        if one.shape != other.shape:
            other_shapes.append(f"{id_} {list(one.shape)} and {list(other.shape)}")
            continue
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
