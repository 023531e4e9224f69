"""results.csv and results.parquet: a row a fit."""

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.pipelines.comparing.finished import read_finished
from egofeat.pipelines.comparing.settings import SEED, differences, settings_of
from egofeat.pipelines.sweeping.costs import cost_of
from egofeat.pipelines.sweeping.fitting import Fit
from egofeat.store.files import replace_file

_FIRST = ("head", "features")
"""Settings that are columns in any case, beside those that differ."""


def rows_of(fits: Sequence[Fit], val: str, test: str | None) -> list[dict[str, Any]]:
    """A row a fit; all have the same columns, what is not known is None.

    Args:
        fits: done or failed.
        val: split of validation.
        test: split that judges; None where that of validation does.
    """
    settings = [_settings(fit) for fit in fits]
    named = dict.fromkeys([*_FIRST, *differences(settings)])
    said = [
        {
            "run": str(fit.path) if fit.path else None,
            **{name: of.get(name, "") for name in named if name != SEED},
            "seed": fit.seed,
            "chosen": fit.chosen,
            **_found(fit, val, test),
            "failure": fit.failure or None,
        }
        for fit, of in zip(fits, settings, strict=True)
    ]
    columns = list(dict.fromkeys(name for row in said for name in row if name != "failure"))
    return [{name: row.get(name) for name in [*columns, "failure"]} for row in said]


def _settings(fit: Fit) -> dict[str, str]:
    if fit.asked:
        return settings_of(fit.asked)
    features = "+".join(one.name for one in fit.candidate.features)
    return {"head": fit.config.head, "features": features, SEED: str(fit.seed)}


def _found(fit: Fit, val: str, test: str | None) -> dict[str, Any]:
    """What a run's folder tells of it; of a failed one, nothing."""
    if fit.failure or fit.path is None:
        return {}
    run = read_finished(fit.path)
    figures = {f"{val}/{name}": of for name, of in run.metrics.items()}
    if test and (fit.path / f"metrics-{test}.json").exists():
        judged = read_finished(fit.path, test).metrics
        figures |= {f"{test}/{name}": of for name, of in judged.items()}
    own = ("best_epoch", "epochs", "seconds", "parameters")
    return {
        **figures,
        **{name: getattr(run, name) for name in own},
        **vars(cost_of(run.config.sources)),
    }


def write_results(rows: Sequence[Mapping[str, Any]], out: Path) -> list[Path]:
    """Write the rows as CSV, and as Parquet where pyarrow is installed, which is said where not.

    Raises:
        StoreError: the disk refuses.
    """
    files = [out / "results.csv"]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    replace_file(files[0], text.getvalue().encode())
    if importlib.util.find_spec("pyarrow") is None:
        console.note_once("pyarrow", "results are written as CSV alone: pyarrow is not installed")
        return files
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    files.append(out / "results.parquet")
    replace_file(files[1], buffer.getvalue().to_pybytes())
    return files
