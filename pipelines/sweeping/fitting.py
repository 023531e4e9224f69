"""One training of a sweep: done, gone on with, or found done; what fails is a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from egofeat.device import is_out_of_memory
from egofeat.errors import EgofeatError
from egofeat.pipelines.comparing.settings import said
from egofeat.pipelines.figures import style
from egofeat.pipelines.runs.config import RunConfig, read_config
from egofeat.pipelines.runs.run import Run, RunFolder, load_run
from egofeat.pipelines.sweeping.candidates import Candidate
from egofeat.pipelines.sweeping.planning import OpenedRows, Part, place_of
from egofeat.pipelines.training.evaluate import evaluate_run
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A candidate, trained with one seed and one choice of the grid."""

    candidate: Candidate = field(repr=False)
    tried: Mapping[str, Any]
    seed: int
    part: str
    """Name of the splits, where the study has several."""
    test: str | None
    """Split that the run is judged on beside that of validation."""
    config: FitConfig
    """Its `out` is the run's folder."""
    asked: RunConfig | None
    """What config.yaml of the run says; None of one that cannot be."""
    failure: str = ""
    chosen: bool = True
    """Whether it is in the table: other choices of a search were only tried."""

    @property
    def path(self) -> Path | None:
        """Folder of the run; None of one that cannot be."""
        return self.config.out

    @property
    def name(self) -> str:
        """Of the file that says who trains it: alike for alike runs, and short."""
        return sha256(str(self.path).encode()).hexdigest()[:24]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name_of_line}, seed {self.seed}"

    @property
    def name_of_line(self) -> str:
        """For people: all but the seed."""
        tried = "".join(f", {name} {said(value)}" for name, value in self.tried.items())
        part = f", split {self.part}" if self.part else ""
        return f"{self.candidate.label}{tried}{part}"

    @property
    def training(self) -> "Training":
        """What is to be carried out."""
        return Training(self.config, self.test)

    def done(self) -> bool:
        """Whether the run is finished and judged, on the test split too where there is one."""
        return self.asked is not None and is_done(self.path, self.asked, self.test)


@dataclass(frozen=True)
class Training:
    """What is trained, and the split that it is judged on beside that of validation."""

    config: FitConfig
    test: str | None


def make_fit(part: Part, candidate: Candidate, seed: int, tried: Mapping[str, Any]) -> Fit:
    """What is trained, where; features are there."""
    config = candidate.config(part.study, seed, tried)
    own: dict[str, Any] = {"candidate": candidate, "tried": tried, "seed": seed}
    own |= {"part": part.name, "test": part.study.split.test}
    try:
        asked = part.rows.asked(config)
    except EgofeatError as error:
        return Fit(**own, config=config, asked=None, failure=str(error))
    place = place_of(part.out, candidate, asked, tried)
    return Fit(**own, config=replace(config, out=place), asked=asked)


def is_done(path: Path | None, asked: RunConfig, test: str | None) -> bool:
    """Whether a folder holds this run, finished and judged."""
    if path is None or not RunFolder(path).metrics.exists():
        return False
    if test and not (path / f"metrics-{test}.json").exists():
        return False
    try:
        return read_config(path).asks_the_same(asked)
    except EgofeatError:
        return False


def carry_out(training: Training, rows: OpenedRows) -> str:
    """Train, or go on, and judge on the test split; say why that could not be, or nothing.

    Args:
        training: what, and on which split it is judged.
        rows: opens those of the config.
    """
    config = training.config
    try:
        learnt_from = rows.of(config)
        with style.undrawn():
            run = _finished(config.out, rows.asked(config))
            run = run or fit_head(config, rows=learnt_from)
            if training.test:
                evaluate_run(run, learnt_from.store, training.test)
    except EgofeatError as error:
        return str(error)
    except Exception as error:  # of a head that is not egofeat's, or of the machine
        if is_out_of_memory(error):
            return "there was not enough memory: choose smaller options"
        said = " ".join(str(error).split())[:200]
        return (
            f"it ended in {type(error).__name__}: {said or 'nothing more is said'}: give "
            "egofeat fit-head the same options to see where"
        )
    return ""


def _finished(path: Path | None, asked: RunConfig) -> Run | None:
    """The run of a folder that lacks nothing but to be judged on another split."""
    if path is None or not is_done(path, asked, None):
        return None
    for checkpoint in path.glob("checkpoint*.safetensors"):  # left by one that was killed
        checkpoint.unlink()
    return load_run(path)
