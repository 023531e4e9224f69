"""Which stores and runs are meant by a path, and `egofeat verify` of each."""

from collections.abc import Sequence
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.store import Problem, open_store
from egofeat.store import verify as verify_store
from egofeat.store.description import NAME as STORE_JSON
from egofeat.store.description import Description, find_stores
from egofeat.store.reading.opening import find_deeper, some
from egofeat.store.sidecar.segments import NAME as SEGMENTS_JSON

CONFIG = "config.yaml"
"""What makes a folder a run."""


def find_kept(paths: Sequence[Path]) -> list[Path]:
    """Stores and runs that are meant by some paths: themselves, or all up to two folders below.

    Raises:
        RequestError: there is none at one of them.
    """
    found: dict[Path, None] = {}
    for path in paths:
        here = [path] if (path / CONFIG).exists() or (path / STORE_JSON).exists() else []
        below = here or [*find_stores(path, superseded=True), *find_runs(path)]
        if not below:
            deeper = find_deeper(path)
            mend = (
                f"name one of those below: {some(deeper)}" if deeper else "name the folder of one"
            )
            raise RequestError(f"there is no feature store and no run at {path}: {mend}")
        found |= dict.fromkeys(below)
    return list(found)


def find_runs(root: Path) -> list[Path]:
    """Runs at a folder, or up to two folders below it, sorted."""
    return sorted(
        path.parent
        for pattern in (CONFIG, f"*/{CONFIG}", f"*/*/{CONFIG}")
        for path in root.glob(pattern)
    )


def verify(path: Path) -> list[Problem]:
    """Check one store or one run; see `egofeat.store.verify` and `verify_run`."""
    if (path / STORE_JSON).exists():
        return [*verify_store(path), *_without_segments(path)]
    from egofeat.pipelines.training.verify_run import verify_run  # noqa: PLC0415  torch is slow to import

    return verify_run(path)


def lacking(path: Path) -> str:
    """Say of a sound store how many of the manifest's segments it has; empty where it has all.

    A shard that is gone leaves no trace but this.
    """
    if not (path / STORE_JSON).exists():
        return ""
    store = open_store(path, next(iter(Description.read(path).recipe.taps)))
    asked = store.asked
    count = 0 if asked is None else len(asked) - len(store)
    if asked is None or not count:
        return ""
    return (
        f"; of the {len(asked):,} segments of the manifest {count:,} are without "
        "features: not extracted, failed, or lost with their shards"
    )


def _without_segments(store: Path) -> list[Problem]:
    """Every command writes segments.json before its first shard."""
    if (store / SEGMENTS_JSON).exists() or not any((store / "shards").glob("[!.]*")):
        return []
    mend = "give the command that made the store again, which keeps the features"
    return [
        Problem(SEGMENTS_JSON, None, f"is missing, and labels, classes and splits with it: {mend}")
    ]
