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
from egofeat.pipelines.sweeping.planning import OpenedRows, Plan, place_of
from egofeat.pipelines.training.evaluate import evaluate_run
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A candidate, trained with one seed and one choice of the grid."""

    candidate: Candidate = field(repr=False)
    tried: Mapping[str, Any]
    seed: int
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
        tried = "".join(f", {name} {said(value)}" for name, value in self.tried.items())
        return f"{self.candidate.label}{tried}, seed {self.seed}"

    def done(self, test: str | None) -> bool:
        """Whether the run is finished and judged, on the test split too where there is one."""
        return self.asked is not None and is_done(self.path, self.asked, test)


def make_fit(plan: Plan, candidate: Candidate, seed: int, tried: Mapping[str, Any]) -> Fit:
    """What is trained, where; features are there."""
    config = candidate.config(plan.study, seed, tried)
    own: dict[str, Any] = {"candidate": candidate, "tried": tried, "seed": seed}
    try:
        asked = plan.rows.asked(config)
    except EgofeatError as error:
        return Fit(**own, config=config, asked=None, failure=str(error))
    place = place_of(plan.out, candidate, asked, tried)
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


def carry_out(config: FitConfig, test: str | None, rows: OpenedRows) -> str:
    """Train, or go on, and judge on the test split; say why that could not be, or nothing.

    Args:
        config: of the training.
        test: split that the run is judged on beside that of validation.
        rows: opens those of the config.
    """
    try:
        learnt_from = rows.of(config)
        with style.undrawn():
            run = _finished(config.out, rows.asked(config))
            run = run or fit_head(config, rows=learnt_from)
            if test:
                evaluate_run(run, learnt_from.store, test)
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
