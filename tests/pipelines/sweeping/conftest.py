"""A study of small heads on a small store."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from egofeat.pipelines.sweeping.options import SweepConfig

COMMON = {"epochs": 3, "lr": 0.02}


@pytest.fixture
def judged_store(labelled_store):
    """Write 40 training, 20 validation and 20 test segments of three verbs; `make(row=…)`."""

    def make(**changes):
        splits = ["train"] * 40 + ["val"] * 20 + ["test"] * 20
        verbs = np.random.default_rng(1).integers(0, 3, 80).tolist()
        return labelled_store(splits, {"verb": verbs}, {"verb": ("take", "put", "cut")}, **changes)

    return make


@pytest.fixture
def study(judged_store, tmp_path):
    """Write a study of two heads and two seeds, with changes: `study(seeds=3) -> config`."""

    def make(asked=None, **changes):
        said = {
            "version": 1,
            "name": "small",
            "features": [{"store": str(judged_store())}],
            "heads": [{"head": ["linear", "lstm"]}],
            "common": COMMON,
            "seeds": 2,
            **changes,
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(said, sort_keys=False))
        return SweepConfig(**{"study": path, "out": tmp_path / "swept", **(asked or {})})

    return make


def rows_of(out: Path) -> list[dict[str, str]]:
    """The rows of results.csv, but for time."""
    with (out / "results.csv").open(newline="") as file:
        return [{n: v for n, v in row.items() if n != "seconds"} for row in csv.DictReader(file)]


def table_of(out: Path) -> list[dict[str, str]]:
    """The lines of the table, but for time."""
    with (out / "comparison.csv").open(newline="") as file:
        return [{n: v for n, v in line.items() if n != "seconds"} for line in csv.DictReader(file)]


def weights_of(out: Path) -> dict[str, bytes]:
    """Name of each run to its head."""
    paths = sorted(out.glob("runs/*/head.safetensors"))
    return {path.parent.name: path.read_bytes() for path in paths}
