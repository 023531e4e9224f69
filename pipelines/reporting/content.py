"""What a page tells of a comparison, as the object that its script draws."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from egofeat.errors import StoreError
from egofeat.pipelines.comparing.compare import Compared, Line, in_words
from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import Finished
from egofeat.pipelines.comparing.runs import heading
from egofeat.pipelines.comparing.settings import SEED
from egofeat.pipelines.comparing.statistics import FEWEST
from egofeat.pipelines.figures import style
from egofeat.pipelines.reporting.curves import columns_of, curves_of
from egofeat.pipelines.reporting.origin import commands_of, features_of, operations_of, stores_of
from egofeat.store import Table
from egofeat.store.sidecar.segments import read_segments


def overview(compared: Compared, split: str | None, segments: Table | None) -> dict[str, Any]:
    """All but classes, pictures and notes.

    Args:
        compared: the runs.
        split: that was asked for; None is the validation split.
        segments: of their store, where it is still there.
    """
    comparison, ranked = compared.comparison, compared.ranked
    runs = [run for of in ranked for run in of.runs]
    config = runs[0].config
    columns = columns_of(runs, comparison.figure)
    operations = operations_of(runs)
    units = "clips" if comparison.sessions == comparison.clips else "groups of clips"
    if comparison.sessions and comparison.sessions < FEWEST:
        units = f"clips, since {comparison.sessions} groups are too few: it may be too narrow"
    return {
        "dataset": config.dataset,
        "figure": comparison.figure,
        "words": in_words(comparison.figure).removesuffix(" (%)"),
        "short": heading(comparison.figure).removesuffix(" %"),
        "split": comparison.split,
        "clips": comparison.clips,
        "units": units,
        "reference": comparison.reference,
        "colours": style.COLOURS,
        "curves": columns,
        "classes": _classes(runs),
        "taught": _taught(segments, config.splits.train),
        "stores": stores_of(runs),
        "command": shlex.join(["egofeat", *sys.argv[1:]]) if "report" in sys.argv[1:2] else "",
        "versions": f"egofeat {version('egofeat')}",
        "configurations": [
            _configuration(place, line, of, comparison.figure, split)
            | {"curves": curves_of(of, columns), "operations": operations[features_of(of.runs[0])]}
            for place, (line, of) in enumerate(zip(comparison.lines_, ranked, strict=True))
        ],
    }


def _classes(runs: Sequence[Finished]) -> dict[str, tuple[str, ...]]:
    """Target to class names, as the first run has it that has the target."""
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        if not run.config.of_persons:
            found = run.config.classes | found
    return found


def _configuration(
    place: int, line: Line, of: Configuration, figure: str, split: str | None
) -> dict[str, Any]:
    kept = asdict(line)
    names = dict.fromkeys(name for run in of.runs for name in run.metrics)
    return {
        **{name: kept[name] for name in kept if name not in ("configuration", "runs")},
        "label": line.configuration,
        "place": place,
        "n": len(of.runs),
        "metrics": {
            name: float(np.mean([run.metrics[name] for run in of.runs]))
            for name in names
            if all(name in run.metrics for run in of.runs)
        },
        "runs": [
            {
                "path": str(run.path),
                "seed": int(run.settings[SEED]),
                "value": run.metrics[figure],
                "epochs": run.epochs,
                "best": run.best_epoch,
                "seconds": run.seconds,
                "segments": run.segments,
                "ofSplit": run.segments_of_split,
                "version": run.config.egofeat,
                "commands": commands_of(run, split),
            }
            for run in of.runs
        ],
    }


def find_segments(runs: Sequence[Finished]) -> Table | None:
    """Segments of the first store that is still there."""
    for run in runs:
        try:
            if segments := read_segments(Path(run.config.sources[0].store)):
                return segments
        except StoreError:
            continue
    return None


def _taught(segments: Table | None, split: str) -> dict[str, list[int]]:
    """Target to how many segments of the training split each class has."""
    if segments is None:
        return {}
    rows = segments.rows(split)
    return {
        target: np.bincount(
            of[rows][of[rows] >= 0], minlength=len(segments.classes[target])
        ).tolist()
        for target, of in segments.labels.items()
        if of.ndim == 1
    }
