"""Stage two, stores to heads: `fit-head`, `evaluate`, `predict`, `annotate`, `export-challenge`."""

from collections.abc import Mapping
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from egofeat.cli.command import Printed, Report, command
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.comparing.options import CompareConfig, EnsembleConfig, RunsConfig
from egofeat.pipelines.demo.options import DemoConfig
from egofeat.pipelines.exporting.options import ChallengeConfig, WeightsConfig
from egofeat.pipelines.options import Trial
from egofeat.pipelines.recognition.options import ScoreConfig
from egofeat.pipelines.reporting.options import ReportConfig
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.training.options import EvaluateConfig, FitConfig, PredictConfig

PANEL = "Heads"


def _options_of_head(given: Mapping[str, Any]) -> Panel | None:
    """What the head that was named has for --option, under the preset that was."""
    head, preset = given.get("head"), given.get("preset")
    if not isinstance(head, str):
        return None
    from egofeat.heads.options import describe_options
    from egofeat.heads.registry import choose

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, kind, said in describe_options(*choose(head, preset)):
        table.add_row(f"--option {name}=", kind, Text(said))
    title = f"Options of {head}" + (f", preset {preset}" if preset else "")
    return Panel(table, title=title, title_align="left", border_style="dim")


@command("fit-head", PANEL, resumes=True, more=_options_of_head)
def fit_head(asked: FitConfig) -> Report:
    """Train a head on stored features, evaluate it, and write its run folder.

    A training that was interrupted continues when the same command is given again.
    `egofeat fit-head HEAD --help` also lists the options of a head.
    """
    from egofeat.pipelines.training.fit import fit_head as fit
    from egofeat.pipelines.training.seeds import fit_seeds

    if asked.seeds > 1:
        return fit_seeds(asked, shown=True)
    run = fit(asked, shown=True)
    found = run.evaluation.to_dict() | {"run": str(run.path), "parameters": run.parameters}
    said = f"{asked.head}, {run.parameters:,} parameters: {run.path}"
    return Printed(found, [said, *run.evaluation.lines()])


@command("evaluate", PANEL)
def evaluate(asked: EvaluateConfig) -> Report:
    """Evaluate a trained head on a split: metrics, predictions, confusion matrices.

    With --backbone, evaluate the classifier that a network was published with:
    `egofeat evaluate --backbone i3d --dataset kinetics --views 10x3`.
    """
    from egofeat.pipelines.recognition.evaluate import evaluate as judge

    judged = judge(asked)
    return Printed(judged.to_dict() | {"run": str(judged.run)}, judged.lines())


@command("sweep", PANEL, resumes=True)
def sweep(asked: SweepConfig, trial: Trial) -> Report:
    """Train many heads on many features with several seeds, and compare them in one table.

    What is done is not done again: after an interruption, give the same command.
    """
    if trial.dry_run:
        from egofeat.pipelines.sweeping.forecast import forecast

        return forecast(asked)
    from egofeat.pipelines.sweeping.sweep import sweep as do

    return do(asked)


@command("runs", PANEL, saved=False)
def runs(asked: RunsConfig) -> Report:
    """List trained heads: settings, metrics, rows, epochs, parameters and time of each run."""
    from egofeat.pipelines.comparing.runs import runs as find

    return find(asked)


@command("compare", PANEL)
def compare(asked: CompareConfig) -> Report:
    """Compare runs: mean and deviation over seeds, intervals, tests, curves, disagreements.

    Writes `comparison.csv`, `comparison.json`, `disagreements.csv` and two pictures.
    """
    from egofeat.pipelines.comparing.compare import compare as judge

    return judge(asked)


@command("report", PANEL)
def report(asked: ReportConfig) -> Report:
    """Show runs on one HTML page: tables, curves, costs, confusion matrices, worst clips.

    The page fetches nothing: it opens from the file, in any browser.
    """
    from egofeat.pipelines.reporting.report import report as write

    return write(asked)


@command("ensemble", PANEL)
def ensemble(asked: EnsembleConfig) -> Report:
    """Evaluate several runs as one classifier: the mean of their probabilities."""
    from egofeat.pipelines.comparing.ensemble import ensemble as judge
    from egofeat.pipelines.comparing.ensemble import said

    found = judge(asked)
    return Printed(found.to_dict(), said(found))


@command("predict", PANEL)
def predict(asked: PredictConfig) -> Report:
    """Predict classes of videos that belong to no data set, with a trained head.

    With --backbone, by the classifier that a network was published with:
    `egofeat predict --backbone i3d VIDEO`.
    """
    from egofeat.pipelines.recognition.predict import predict as look

    return look(asked)


@command(
    "annotate",
    PANEL,
    gone={"--run": "annotate takes the run first: give egofeat annotate RUN VIDEO --out FILE"},
)
def annotate(asked: AnnotateConfig) -> Report:
    """Draw predictions into a video: persons with their labels, or the recognised actions.

    With --backbone, those of the classifier that a network was published with:
    `egofeat annotate VIDEO --backbone i3d --out FILE`.
    """
    from egofeat.pipelines.annotated.annotate import annotate as write

    return write(asked)


@command("score-boxes", PANEL)
def score_boxes(asked: ScoreConfig) -> Report:
    """Score a file of detections, of any program, by AVA's frame mAP."""
    from egofeat.pipelines.recognition.score_boxes import score_boxes as score

    return score(asked)


@command("export-challenge", PANEL)
def export_challenge(asked: ChallengeConfig) -> Report:
    """Write a submission to the EPIC-KITCHENS-100 action recognition challenge."""
    from egofeat.pipelines.exporting.epic_challenge import export_challenge as write

    covered = write(**vars(asked))
    return Printed(vars(covered) | {"out": str(asked.out)}, [f"{covered}: {asked.out}"])


@command("export-weights", PANEL)
def export_weights(asked: WeightsConfig) -> Report:
    """Write a backbone with the blocks that `fit-head tail` trained, in its published layout.

    `egofeat extract --weights FILE` reads it.
    """
    from egofeat.pipelines.exporting.weights import export_weights as write

    path, target = write(**vars(asked))
    return Printed({"out": str(path), "target": target}, [f"{path}: classifier of {target}"])


@command("demo", resumes=True)
def demo(asked: DemoConfig) -> Report:
    """Run the whole pipeline on drawn videos: extract, train four heads, compare them."""
    from egofeat.pipelines.demo.demo import demo as go

    return go(**vars(asked))
