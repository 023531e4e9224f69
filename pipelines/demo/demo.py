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
from PIL import Image, ImageOps
from rich.table import Table

from egofeat import console
from egofeat.errors import EgofeatError, MediaError, RequestError
from egofeat.extract.video import open_video
from egofeat.heads.config import TrainerConfig
from egofeat.manifest import load_manifest
from egofeat.pipelines.bench.tables import tables
from egofeat.pipelines.drawn.clips import draw_demo, plan_sessions
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.reports import ExtractReport
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.mosaics import draw_mosaic
from egofeat.pipelines.figures.runs import comparison
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig
from egofeat.recipe import Uniform
from egofeat.segments import Dataset
from egofeat.store import supersede

CLIPS = 240


@dataclass(frozen=True)
class Trial:
    """A head of the demo, and how it is trained."""

    head: str
    tap: str
    epochs: int
    options: Mapping[str, int]


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

    def lines(self) -> list[str | Table]:
        """The table and where the pictures are."""
        names = list(self.results["linear"])
        titles = [name.replace("/top1", " top-1").split("/")[-1] for name in names]
        titles = ["mean" if title == "mean_class_accuracy" else title for title in titles]
        results = tables(
            ["head", *titles],
            (
                [head, *(f"{100 * values[name]:.1f}" for name in names)]
                for head, values in self.results.items()
            ),
        )
        note = "percent of the validation segments; mean: over classes; linear sees no order"
        return ["", *results, note, "", *self.pictures]


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
    if not {"train", "val"} <= set(dataset.splits):
        raise RequestError(
            f"the demo trains on 'train' and compares on 'val', and {data} has the splits "
            f"{', '.join(dataset.splits)}: rename them, or keep <class>/<clip> alone"
        )
    report = _extract(manifest, dataset, out / "features")
    results = {"chance": chance(dataset)}
    pictures: list[Path] = []
    for trial in TRIALS:
        run = out / "runs" / trial.head
        results[trial.head] = _try(trial, Path(report.store), run)
        pictures += sorted(run.glob("*.png"))
    best = {
        head: {name: value for name, value in metrics.items() if name.endswith("/top1")}
        for head, metrics in results.items()
    }
    drawn = comparison(best, out / "heads.png"), sheet(dataset, out / "clips.png")
    return DemoReport(
        store=report.store,
        segments=report.segments,
        frames_per_second=report.frames_per_second,
        results=results,
        pictures=[str(picture) for picture in (*drawn, *pictures)],
    )


def _extract(manifest: Path, dataset: Dataset, out: Path) -> ExtractReport:
    """Extract the taps of all trials, anew where clips were replaced."""
    config = ExtractConfig(manifest=manifest, out=out, taps=tuple({trial.tap for trial in TRIALS}))
    taps = ",".join(sorted(config.taps))
    console.note(
        f"$ egofeat extract --backbone mobilenetv2 --tap {taps} "
        f"--manifest {manifest} --out {config.out}"
    )
    report = extract.run(config, dataset)
    if report.changed_videos:  # drawn anew, or other clips: features of the old ones do not count
        supersede(Path(report.store))
        report = extract.run(config, dataset)
    if report.failed:
        console.note(report.failures_line())
    if report.failed == report.segments:
        raise EgofeatError(f"no segment of {dataset.name} could be read: see {report.store}")
    return report


def chance(dataset: Dataset) -> dict[str, float]:
    """What always naming the classes most frequent in `train` gives on `val`, as fractions."""
    train, val = (
        {
            target: np.array([s.labels[target] for s in dataset.segments if s.split == split])
            for target in dataset.classes
        }
        for split in ("train", "val")
    )
    hits = {target: of == np.bincount(train[target]).argmax() for target, of in val.items()}
    if {"verb", "noun"} <= set(val):
        hits["action"] = hits["verb"] & hits["noun"]
        val["action"] = val["verb"] * len(dataset.classes["noun"]) + val["noun"]
    metrics = {}
    for target, right in hits.items():
        metrics[f"{target}/top1"] = float(right.mean())
        metrics[f"{target}/mean_class_accuracy"] = 1 / len(np.unique(val[target]))
    return metrics


def sheet(dataset: Dataset, out: Path) -> Path:
    """Draw a line of frames of the first readable segment of each class of the first target."""
    target = next(iter(dataset.classes))
    titles: dict[int, str] = {}
    tiles, captions = [], []
    for segment in dataset.segments:
        if segment.labels[target] in titles or len(titles) == 8:
            continue
        try:
            with open_video(dataset.media[segment.video]) as source:
                plan = Uniform(6).plan(segment.start, segment.stop, source.times, source.stop)
                frames = [source.frames([i])[0] for i in plan.indices[:, 0]]
        except MediaError:
            continue
        titles[segment.labels[target]] = " ".join(
            style.short(dataset.classes[name][label]) for name, label in segment.labels.items()
        )
        fitted = [ImageOps.pad(Image.fromarray(one), (192, 144), color="white") for one in frames]
        tiles.append(np.stack([np.asarray(one, np.float32) for one in fitted]) / 255)
        captions += [f"{time - segment.start:.1f} s" for time in plan.times]
    title = f"{dataset.name}: a segment of each {target}"
    rows = list(titles.values())
    return draw_mosaic(np.stack(tiles), out, title=title, rows=rows, captions=captions, gap=4)


def _manifest(out: Path, data: Path | None) -> Path:
    """Write the demo's manifest, drawing the videos first where they are to be drawn."""
    if data is None:
        console.note(f"drawing first-person videos into {out / 'data'}")
        with console.progress("drawing", len(plan_sessions(CLIPS)), "videos") as progress:
            draw_demo(out / "data", CLIPS, progress)
        columns: dict[str, object] = {c: c for c in ("video", "start", "stop", "split")}
        columns |= {"labels": {"verb": "verb", "noun": "noun"}, "group": "participant"}
        files = {"media": "data/videos", "annotations": "data/segments.csv"}
        entry = {"format": "csv", **files, "columns": columns}
    else:
        if not data.is_dir():
            raise RequestError(f"there is no folder {data}: give one of class folders of clips")
        entry = {"format": "folder", "media": str(data.resolve())}
        if not any(data.glob("val/*/*")):
            entry["resplit"] = {"val": 0.25}
    path = out / "data_manifest.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"demo": entry}}, sort_keys=False))
    return path


def _try(trial: Trial, store: Path, out: Path) -> dict[str, float]:
    """Train and evaluate one head; the metrics that the table shows."""
    words = f"$ egofeat fit-head {trial.head} --store {store} --tap {trial.tap}"
    options = [f" --option {name}={value}" for name, value in trial.options.items()]
    console.note(f"{words} --epochs {trial.epochs}{''.join(options)} --out {out}")
    config = FitConfig(
        head=trial.head,
        store=store,
        tap=trial.tap,
        options=trial.options,
        trainer=TrainerConfig(epochs=trial.epochs),
        out=out,
    )
    with console.progress(f"training {trial.head}", trial.epochs, "epochs") as progress:
        run = fit_head(config, on_epoch=lambda _: progress(1))
    return {
        name: value
        for name, value in run.evaluation.metrics.items()
        if name.endswith(("/top1", "/mean_class_accuracy")) and name.count("/") == 1
    }
