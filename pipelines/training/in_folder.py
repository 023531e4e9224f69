"""A training in its folder: begun, or found done; trained to its end, written and evaluated."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from egofeat import console
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.losses import class_counts
from egofeat.heads.training.replicas import DivergedError
from egofeat.pipelines.figures.classes import instances_per_class
from egofeat.pipelines.figures.style import form
from egofeat.pipelines.runs.config import RunConfig, write_config
from egofeat.pipelines.runs.files import SUMS
from egofeat.pipelines.runs.run import Run, RunFolder, load_run, write_run
from egofeat.pipelines.runs.trained_on import NAME as TRAINED_ON
from egofeat.pipelines.training.evaluate import evaluate_run
from egofeat.pipelines.training.evaluation import Evaluation
from egofeat.pipelines.training.members import Begun, fit_members
from egofeat.pipelines.training.tail import start
from egofeat.pipelines.training.tensorboard import Board
from egofeat.pipelines.training.training_rows import TrainingRows
from egofeat.store.files import replace_file


@dataclass(frozen=True, kw_only=True, repr=False)
class Fitted(Run):
    """A run that was trained, and how good it is on the validation split."""

    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """A seed whose training came to nothing."""

    seed: int
    path: Path
    error: DivergedError


def fit_in(
    paths: Sequence[Path],
    asked: Sequence[RunConfig],
    rows: TrainingRows,
    log: str | None,
) -> list["Fitted | Diverged"]:
    """Train in folders that are this process's to write to, and show nothing.

    Args:
        paths: of the runs.
        asked: of each, what its config.yaml is to say: seeds of one training.
        rows: that they learn from.
        log: see `FitConfig`.
    """
    examples = examples_of(asked[0], rows)
    runs = [begin(path, one, rows, examples) for path, one in zip(paths, asked, strict=True)]
    return end_all(runs, asked, rows, log, lambda left: fit_members(left, examples(), _untold))


def end_all(
    runs: Sequence[Run | Begun],
    asked: Sequence[RunConfig],
    rows: TrainingRows,
    log: str | None,
    fit: Callable[[Sequence[Begun]], None],
) -> list["Fitted | Diverged"]:
    """Train those that are begun, and write and evaluate each; see `fit_in`.

    Args:
        runs: begun, or trained already.
        asked: see there.
        rows: see there.
        log: see there.
        fit: trains.
    """
    left = [run for run in runs if isinstance(run, Begun)]
    with ExitStack() as stack:
        if log:
            for run in left:
                run.board = stack.enter_context(Board(run.folder.path))
        if left:
            fit(left)
        if done := [run.folder.path for run in left if not run.failed]:
            draw_instances(rows, done)
        return [end(run, of, rows) for run, of in zip(runs, asked, strict=True)]


def examples_of(asked: RunConfig, rows: TrainingRows) -> Callable[[], list[Examples]]:
    """What gives, made once, what each head of a run learns from."""
    return cache(lambda: rows.examples(asked.make_head(), asked.trainer))


def _untold(record: Mapping[str, float]) -> None:
    """Who follows the history sees it there."""


def begin(
    path: Path, asked: RunConfig, rows: TrainingRows, examples: Callable[[], object]
) -> Run | Begun:
    """Make a fresh head in a folder that is this training's own; or load what is trained there."""
    folder = RunFolder(path)
    if folder.metrics.exists():
        run = load_run(path)
        console.note(f"{path} is trained already: it is only evaluated again")
        rows.trained_on.write(path)
        return run
    head = asked.make_head()
    if asked.init is not None:
        start(head, asked)
    examples()  # are refused before anything is written
    write_config(path, asked)
    rows.trained_on.write(path)
    return Begun(head, asked.trainer, folder)


def end(run: Run | Begun, asked: RunConfig, rows: TrainingRows) -> Fitted | Diverged:
    """Write a trained head, and evaluate it."""
    board = run.board if isinstance(run, Begun) else None
    if isinstance(run, Begun):
        folder = run.folder
        if run.failed:
            if run.board:
                run.board.withdraw()
            withdraw(folder)
            return Diverged(seed=asked.trainer.seed, path=folder.path, error=run.failed)
        run = write_run(folder.path, asked, run.head, run.trained, rows.coverage)
    evaluation = evaluate_run(run, rows.store, asked.splits.val)
    if board:
        board.conclude(asked, evaluation.metrics)
    for checkpoint in run.path.glob("checkpoint*.safetensors"):
        checkpoint.unlink()
    return Fitted(**vars(run), evaluation=evaluation)


def withdraw(folder: RunFolder) -> None:
    """Remove a training that came to nothing, which would come to the same again.

    What is not a run's stays.
    """
    own = (folder.config.name, TRAINED_ON, SUMS, "checkpoint*", "history*.csv", "loss*.png")
    for path in [path for pattern in own for path in folder.path.glob(pattern)]:
        path.unlink()


def draw_instances(rows: TrainingRows, folders: Sequence[Path]) -> None:
    """Draw how many rows of each class train and validate, a picture a target, into each folder."""
    first, *others = folders
    for target, labels in rows.labels.items():
        names = rows.store.classes[target]
        counts = {
            split: class_counts(labels[those], len(names)).numpy()
            for split, those in ((rows.splits.train, rows.train), (rows.splits.val, rows.val))
        }
        # A person may do several things at once, and is then counted with each.
        counted = "labels of persons" if rows.store.unit == "persons" else "segments"
        title = f"{counted} a class: {target}"
        out = first / f"instances-{target}.png"
        instances_per_class(counts, names, out, title, counted)
        for kind in {"png", form()} if form() else ():
            picture = out.with_suffix(f".{kind}")
            for other in others:
                replace_file(other / picture.name, picture.read_bytes())
