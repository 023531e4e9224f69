"""What an evaluation found, for files and for people."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.pipelines.runs.files import write_file
from egofeat.pipelines.runs.targets import Coverage
from egofeat.pipelines.training.views import Views


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a head is on one split."""

    run: Path
    split: str
    segments: int
    """That the head saw."""
    segments_of_split: int
    """That the split has; the head did not see those without features."""
    trained_on: int | None
    """Of those that the head saw; None where it is not known."""
    metrics: Mapping[str, float]
    """`<target>/top1` and so on, fractions in 0…1; see `egofeat.heads.measures.metrics`."""
    warnings: tuple[str, ...]
    pictures: tuple[Path, ...]
    alone: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Where a head a store gives logits: store to the metrics of its head alone, and its weight."""
    labelled: Mapping[str, int] = field(default_factory=dict)
    """Target to how many of the segments have a label, which its figures are of; `action` to those
    that have a verb and a noun."""
    views: Views | None = None
    """Where the head saw each view of a segment alone: clips and crops."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that metrics.json and `--json` hold."""
        return {
            "run": self.run.absolute().name,
            "split": self.split,
            "segments": self.segments,
            "segments_of_split": self.segments_of_split,
            "trained_on": self.trained_on,
            **({"labelled": dict(self.labelled)} if self.labelled else {}),
            **({"views": str(self.views)} if self.views else {}),
            **self.metrics,
            **({"stores": self.alone} if self.alone else {}),
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return the same for a person: a line a target or subset, then warnings and pictures."""
        figures: dict[str, list[str]] = {}
        named = [*self.metrics.items()]
        for store, metrics_alone in self.alone.items():
            named += [(f"{store} {name}", value) for name, value in metrics_alone.items()]
        for name, value in named:
            subject, figure = name.rsplit("/", 1)
            words = figure.replace("_", " ").replace("top", "top-")
            figures.setdefault(subject, []).append(f"{words} {100 * value:.1f} %")
        width = max(map(len, figures))
        return [
            self.seen(),
            *(f"{subject:<{width}}  {'  '.join(of)}" for subject, of in figures.items()),
            *(f"warning: {self.run.absolute().name} {warning}" for warning in self.warnings),
            f"pictures: {', '.join(map(str, self.pictures))}",
        ]

    def seen(self) -> str:
        """Return what the head was judged on, for people."""
        by_views = f", {self.views.said} a segment ({self.views})" if self.views else ""
        counted = Coverage(split=self.split, there=self.segments, of_split=self.segments_of_split)
        return f"{counted}{by_views}{self._counted()}{self.taught()}"

    def _counted(self) -> str:
        """How many have the labels that figures are of, for people; nothing where all have."""
        counts = set(self.labelled.values())
        if counts <= {self.segments}:
            return ""
        each = ", ".join(f"{target} {count:,}" for target, count in self.labelled.items())
        return f"; labelled and counted: {f'{counts.pop():,}' if len(counts) == 1 else each}"

    def taught(self) -> str:
        """Return how many of these trained the head, for people; nothing where none did."""
        if self.trained_on is None:
            return (
                "; whether they were trained on is not known: the splits or labels have changed, "
                "and the run lists none"
            )
        if not self.trained_on:
            return ""
        all_of_them = self.trained_on == self.segments
        count = f"all {self.segments:,}" if all_of_them else f"{self.trained_on:,} of them"
        return f"; {count} were trained on"


@dataclass(frozen=True)
class Precision:
    """How well one class is found."""

    average_precision: float
    """In [0, 1]."""
    annotated: int
    """Persons of the split that do it."""


@dataclass(frozen=True, kw_only=True)
class PersonsEvaluation(Evaluation):
    """How well a head finds who does what; `segments` are key frames."""

    persons: int
    """Boxes that the head saw."""
    boxes: str
    """Whose they were: `annotated`, or `detected` where one of them or more is not annotated."""
    annotated: int
    """Boxes that are annotated in these key frames."""
    empty: int
    """Key frames of these with somebody annotated and no stored box: their persons are missed."""
    classes: Mapping[str, Precision]
    """Of each evaluated class that somebody annotated does, the best first."""
    detections: Path
    """Boxes and scores, the file that AVA takes as a result."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that metrics.json and `--json` hold."""
        whole = super().to_dict()
        whole |= {"persons": self.persons, "boxes": self.boxes, "annotated": self.annotated}
        whole |= {"without_boxes": self.empty}
        whole["classes"] = {name: vars(precision) for name, precision in self.classes.items()}
        return whole

    def lines(self) -> list[str]:
        """Return the same for a person, with the files written."""
        return [*super().lines(), f"detections: {self.detections}"]

    def seen(self) -> str:
        """Return what the head was judged on, for people."""
        return (
            f"{self.segments} key frames of {self.split} with {self.annotated} annotated persons: "
            f"{self.persons} {self.boxes} boxes, {len(self.classes)} classes"
            f"{f'; {self.empty:,} have no features' if self.empty else ''}{self.taught()}"
        )


def write_evaluation(evaluation: Evaluation, suffix: str) -> None:
    """Write metrics.json into the run's folder, its name with a suffix."""
    text = json.dumps(evaluation.to_dict(), indent=1) + "\n"
    write_file(evaluation.run / f"metrics{suffix}.json", text.encode())


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write predictions by name, as `numpy.load` reads them."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_file(path, buffer.getvalue())
