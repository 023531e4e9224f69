"""`egofeat demo`: the whole road on videos that it draws, or on a person's own class folders.

One extraction, then the baseline that sees no order and three heads that do, a table of
them against chance, and pictures. Each step is the command of the same name, which is
said before it runs, so that the demo can be gone through by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from egofeat import console
from egofeat.errors import EgofeatError, RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.manifest import load_manifest
from egofeat.pipelines import extract
from egofeat.pipelines.demo_clips import draw_demo
from egofeat.pipelines.demo_sessions import plan_sessions
from egofeat.pipelines.fit_head import FitConfig, fit_head
from egofeat.pipelines.pictures import comparison
from egofeat.segments import Dataset

CLIPS = 240


@dataclass(frozen=True)
class Trial:
    """A head of the demo, and how it is trained."""

    head: str
    tap: str
    epochs: int
    options: Mapping[str, int]
    normalize: bool = False


TRIALS = (
    Trial("linear", "gap", 60, {}),
    Trial("lstm", "gap", 60, {}),
    Trial("conv1d", "gap", 60, {}),
    # ConvLSTM works on maps; few filters, so that two cores train it in half a minute.
    Trial("convlstm", "block15", 12, {"filters": 16}),
)


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the demo found; the object that `--json` prints."""

    store: str
    segments: int
    frames_per_second: float
    results: dict[str, dict[str, float]]
    """Head (and `chance`) to metric to fraction in 0…1."""
    pictures: list[str]

    def lines(self) -> list[str]:
        """The table and where the pictures are."""
        names = list(self.results["linear"])
        rows = [["head", *names]] + [
            [head, *(f"{100 * values[name]:.1f}" if name in values else "" for name in names)]
            for head, values in self.results.items()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
        table = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return ["", *table, "(percent of the validation segments)", "", *self.pictures]


def demo(out: Path = Path("demo"), data: Path | None = None) -> DemoReport:
    """Draw, extract, train, compare.

    Args:
        out: folder of everything that the demo makes.
        data: a person's own `<split>/<class>/<clip>` or `<class>/<clip>` in place of drawn videos.

    Raises:
        RequestError: the folder holds no clips.
        EgofeatError: not one segment could be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    manifest = _manifest(out, data)
    dataset = load_manifest(manifest).dataset()
    config = extract.ExtractConfig(
        manifest=manifest, out=out / "features", taps=tuple({trial.tap for trial in TRIALS})
    )
    taps = ",".join(sorted(config.taps))
    console.note(
        f"$ egofeat extract --backbone mobilenetv2 --tap {taps} "
        f"--manifest {manifest} --out {config.out}"
    )
    report = extract.run(config, dataset)
    if report.failed:
        console.note(report.lines()[-1])
    if report.failed == report.segments:
        raise EgofeatError(f"no segment of {dataset.name} could be read: see {report.store}")
    store = Path(report.store)
    results = {"chance": chance(dataset)}
    pictures: list[str] = []
    for trial in TRIALS:
        metrics, drawn = _try(trial, store, out / "runs" / trial.head)
        results[trial.head] = metrics
        pictures += drawn
    picture = comparison(results, out / "heads.png")
    return DemoReport(
        store=report.store,
        segments=report.segments,
        frames_per_second=report.frames_per_second,
        results=results,
        pictures=[str(picture), *pictures],
    )


def chance(dataset: Dataset) -> dict[str, float]:
    """What naming the classes that are most frequent in `train` gives on `val`, as fractions."""
    metrics = {}
    for target, names in dataset.classes.items():
        counts = {
            split: np.bincount(
                [s.labels[target] for s in dataset.segments if s.split == split],
                minlength=len(names),
            )
            for split in ("train", "val")
        }
        guess = int(counts["train"].argmax())
        metrics[f"{target}/top1"] = float(counts["val"][guess] / counts["val"].sum())
        metrics[f"{target}/mean_class_accuracy"] = 1 / int((counts["val"] > 0).sum())
    return metrics


def _manifest(out: Path, data: Path | None) -> Path:
    """Write the demo's manifest, drawing the videos first where they are to be drawn."""
    if data is None:
        console.note(f"drawing first-person videos into {out / 'data'}")
        _draw(out / "data")
        columns = {
            "video": "video",
            "start": "start",
            "stop": "stop",
            "split": "split",
            "labels": {"verb": "verb", "noun": "noun"},
            "group": "participant",
        }
        entry = {
            "format": "csv",
            "media": "data/videos",
            "annotations": "data/segments.csv",
            "columns": columns,
        }
    else:
        if not data.is_dir():
            raise RequestError(f"there is no folder {data}: give one of class folders of clips")
        entry = {"format": "folder", "media": str(data.resolve())}
        if not any(data.glob("val/*/*")):
            entry["resplit"] = {"val": 0.25}
    path = out / "data_manifest.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"demo": entry}}, sort_keys=False))
    return path


def _draw(folder: Path) -> None:
    with console.progress("drawing", len(plan_sessions(CLIPS, seed=0)), "videos") as progress:
        draw_demo(folder, clips=CLIPS, progress=lambda _done, _total: progress(1))


def _try(trial: Trial, store: Path, out: Path) -> tuple[dict[str, float], list[str]]:
    """Train and evaluate one head; the metrics that the table shows, and the run's pictures."""
    words = f"$ egofeat fit-head {trial.head} --store {store} --tap {trial.tap}"
    options = [f" --option {name}={value}" for name, value in trial.options.items()]
    console.note(f"{words} --epochs {trial.epochs}{''.join(options)} --out {out}")
    with console.progress(f"training {trial.head}", trial.epochs, "epochs") as progress:
        run = fit_head(
            FitConfig(
                head=trial.head,
                store=store,
                tap=trial.tap,
                options=trial.options,
                trainer=TrainerConfig(epochs=trial.epochs),
                out=out,
            ),
            on_epoch=lambda _: progress(1),
        )
    shown = {
        name: value
        for name, value in run.evaluation.metrics.items()
        if name.endswith(("/top1", "/mean_class_accuracy")) and name.count("/") == 1
    }
    return shown, [str(picture) for picture in sorted(out.glob("*.png"))]
