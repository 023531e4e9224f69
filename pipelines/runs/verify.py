"""Going through a run's folder, every byte of it, and saying what is wrong."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from egofeat.errors import EgofeatError
from egofeat.heads.checkpoint import read_extent
from egofeat.heads.training.history import History
from egofeat.pipelines.runs import CONFIG
from egofeat.pipelines.runs.config import read_config
from egofeat.pipelines.runs.files import SUMS, digests
from egofeat.pipelines.runs.run import RunFolder, load_run
from egofeat.pipelines.runs.trained_on import NAME as TRAINED_ON
from egofeat.store import Problem
from egofeat.store.damage import open_plain
from egofeat.store.files import PREFIX, is_of_the_living

_KEPT = (
    *("head.safetensors", "history*.csv", "metrics*.json", "predictions*.npz", "detections*.csv"),
    *("classes-*.csv", "confusion-*.csv", TRAINED_ON),
)
_AGAIN = "run `egofeat evaluate` again, or of the head and its history `egofeat fit-head` into "
_AGAIN += "another folder"


def verify_run(path: Path) -> list[Problem]:
    """Compare every file of a run with its digest, and see whether its head can be used.

    A head that is `module:NAME` is not built: its bytes alone are compared. Changes nothing.
    An empty list is a sound, finished run.
    """
    try:
        named = digests(path)
    except EgofeatError as error:
        return [Problem(SUMS, None, str(error))]
    problems = [*_altered(path, named), *_without(path, named), *_leftovers(path)]
    if any(problem.shard in ("head.safetensors", CONFIG) for problem in problems if named):
        return problems
    if not RunFolder(path).metrics.exists():
        unfinished = "its training is not finished: give its fit-head command again"
        return [*problems, Problem("", None, unfinished), *_checkpoints(path)]
    try:
        if ":" not in read_config(path).head:  # a module that a file names is not imported
            load_run(path)
    except EgofeatError as error:
        problems.append(Problem("", None, str(error)))
    return problems


def _altered(folder: Path, named: dict[str, str]) -> Iterator[Problem]:
    for name, digest in named.items():
        try:
            descriptor, _ = open_plain(folder / name)
            with open(descriptor, "rb") as file:  # noqa: PTH123
                if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                    continue
            wrong = "was altered after it was written"
        except FileNotFoundError:
            wrong = "is not there any more"
        except (OSError, ValueError) as error:
            wrong = f"cannot be read ({error})"
        yield Problem(name, None, f"{wrong}: restore a copy of it, or {_AGAIN}")


def _without(folder: Path, named: dict[str, str]) -> Iterator[Problem]:
    if not named:
        unknown = f"it has no {SUMS}, an earlier egofeat made it: nothing shows whether its files "
        yield Problem("", None, unknown + "were altered")
        return
    finished = RunFolder(folder).metrics.exists()
    for pattern in (CONFIG, *_KEPT):
        for path in sorted(folder.glob(pattern)):
            growing = path.match("history*.csv") and not finished
            if path.name not in named and not growing:
                unlisted = (
                    f"is not in {SUMS}: its command was interrupted, or somebody deleted the line"
                )
                yield Problem(path.name, None, f"{unlisted}: {_AGAIN}")


def _checkpoints(folder: Path) -> Iterator[Problem]:
    """Whether an unfinished training can go on."""
    for path in sorted(folder.glob("checkpoint*.safetensors")):
        member = path.stem.removeprefix("checkpoint")
        try:
            History(RunFolder(folder).history(member), 1).check(read_extent(path))
        except EgofeatError as error:
            yield Problem(path.name, None, str(error))


def _leftovers(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.glob(f"{PREFIX}*")):
        if not is_of_the_living(path):
            yield Problem(path.name, None, "is half written: delete it")
