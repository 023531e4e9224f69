"""What `import egofeat` offers of the pipelines: calls whose keywords are the options' names."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray

from egofeat.adapters.videos import one_video
from egofeat.errors import MediaError, RequestError
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.extractor import extract
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.heads.config import TrainerConfig
from egofeat.options import Options
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.job import Job, plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, Numbers, Pixels, Sampling
from egofeat.pipelines.extraction.reports import ExtractReport
from egofeat.pipelines.options import Compute
from egofeat.pipelines.recognition import evaluate as evaluating
from egofeat.pipelines.recognition import predict as predicting
from egofeat.pipelines.training.evaluation import Evaluation
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.in_folder import Fitted
from egofeat.pipelines.training.options import EvaluateConfig, FitConfig, PredictConfig
from egofeat.pipelines.training.predict import Predictions
from egofeat.segments import Dataset, Segment
from egofeat.store import Failure, ShardRows
from egofeat.words import nearest

Where = str | os.PathLike[str]
"""A path."""
Several = list[Where] | tuple[Where, ...]
Tap = str | None
Taps = list[str] | tuple[str, ...]
Array = NDArray[Any]


def _named(*kinds: type[Options], but: Iterable[str] = ()) -> dict[str, Field[Any]]:
    """Options by name."""
    return {one.name: one for kind in kinds for one in fields(kind) if one.name not in but}


_OF_FEATURES = _named(Sampling, Pixels, Numbers, Compute, but=("part", "retry_failed"))
"""What decides the numbers, or how the pass is done."""
_OF_EXTRACTION = _named(ExtractConfig, but=("dataset", "backbone", "taps", "weights"))


class _Taps(dict[str, Memory]):
    """A sink that keeps the rows of several taps."""

    scratch: None = None

    def write_shard(self, name: str, rows: ShardRows) -> None:
        for memory in self.values():
            memory.write_shard(name, rows)

    def record_failures(self, failures: list[Failure]) -> None:
        for failure in failures:
            raise MediaError(failure.reason)


@overload
def features(video: Where, backbone: str = ..., *, tap: Tap = ..., **options: Any) -> Array: ...
@overload
def features(
    video: Where, backbone: str = ..., *, tap: Taps, **options: Any
) -> dict[str, Array]: ...
@overload
def features(
    video: Several, backbone: str = ..., *, tap: Tap = ..., **options: Any
) -> list[Array]: ...
@overload
def features(
    video: Several, backbone: str = ..., *, tap: Taps, **options: Any
) -> list[dict[str, Array]]: ...
def features(
    video: Where | Several,
    backbone: str = "mobilenetv2",
    *,
    tap: Tap | Taps = None,
    weights: Where = "default",
    frame_rate: float | None = None,
    **options: Any,
) -> Array | dict[str, Array] | list[Array] | list[dict[str, Array]]:
    """Features of whole videos, in memory: the numbers that a store with the same options has.

    Args:
        video: a path, or a list of paths, which are decoded side by side.
        backbone: one of `egofeat backbones`.
        tap: an output of the backbone, or a list of them; None takes its default.
        weights: `default`, the name of published weights, `random`, or a file.
        frame_rate: frames per second of folders and archives of frames.
        options: those of `egofeat extract` that say what is computed and how, by their names:
            `frames=20`, `clips`, `windows`, `size`, `dtype="float32"`, `device`, …

    Returns:
        `[frames, C]` of vectors, `[frames, C, h, w]` of maps, `[clips, t, C, h, w]` of maps of
        clips; of a list of taps a dict of such, of a list of videos a list.

    Raises:
        RequestError: an option that there is not, or that does not go with the backbone; frames
            without a rate.
        WeightsError: the weights are not to be had.
        MediaError: a video cannot be read.
    """
    videos = list(video) if isinstance(video, list | tuple) else [video]
    taps = tuple(tap) if isinstance(tap, list | tuple) else (tap,) if tap else ()
    names = [str(number) for number in range(len(videos))]
    media = [one_video(Path(path), frame_rate, "frame_rate") for path in videos]
    dataset = Dataset(
        name="videos",
        media=dict(zip(names, media, strict=True)),
        segments=tuple(Segment(id=name, video=name) for name in names),
        classes={},
    )
    asked: dict[str, Any] = {"backbone": backbone, "taps": taps, "weights": str(weights)}
    config = ExtractConfig(**asked, **_checked(options, _OF_FEATURES, "tap"))
    kept = _kept(plan_job(config, dataset), config)
    found: list[Any] = [{one: kept[one].features[name] for one in kept} for name in names]
    if not isinstance(tap, list | tuple):
        found = [of[next(iter(kept))] for of in found]
    return found if isinstance(video, list | tuple) else found[0]


def _kept(job: Job, config: ExtractConfig) -> dict[str, Memory]:
    """Tap to what is made of the job's segments."""
    sink = _Taps({tap: Memory(tap) for tap in job.recipe.taps})
    task = Task(
        backbone=job.backbone,
        recipe=job.recipe,
        sink=sink,
        batch_size=config.batch_size,
    )
    workers = config.workers or decoding_threads()
    units = all_units(job.segments, [job.recipe.row_bytes], job.dataset.media)
    extract(units, [task], decoder=job.recipe.decoder, workers=workers)
    return sink


def extract_dataset(
    dataset: str | None = None,
    backbone: str = "mobilenetv2",
    *,
    tap: str | Sequence[str] = (),
    weights: Where = "default",
    **options: Any,
) -> ExtractReport:
    """Extract a data set of a manifest into a store, as `egofeat extract` does.

    Args:
        dataset: entry of the manifest; None where there is one, or a default.
        backbone: one of `egofeat backbones`.
        tap: an output of the backbone, or several; none takes its default.
        weights: `default`, the name of published weights, `random`, or a file.
        options: those of `egofeat extract` by their names: `manifest="data_manifest.yaml"`,
            `out="features"`, `splits=("train",)`, …

    Returns:
        The report: its `store` is the folder that `open_store` takes.

    Raises:
        RequestError: an option that there is not, or that does not go with the backbone.
        WeightsError: the weights are not to be had.
        EgofeatError: the disk refuses, or the store that is there is damaged.
    """
    taps = (tap,) if isinstance(tap, str) else tuple(tap)
    asked: dict[str, Any] = {"dataset": dataset, "backbone": backbone, "taps": taps}
    asked |= _checked(options, _OF_EXTRACTION, "tap")
    return run(ExtractConfig(weights=str(weights), **asked))


def fit(head: str, store: Where | Several, **options: Any) -> Fitted:
    """Train a head on kept features, as `egofeat fit-head` does, into a run folder.

    Args:
        head: one of `egofeat.heads.HEADS`, or `package.module:NAME`.
        store: folder of a store, or of several of one data set.
        options: those of `egofeat fit-head` by their names: `tap="gap"`, `targets=("verb",)`,
            `options={"hidden": 128}`, `epochs=20`, `out="runs/first"`, …; or
            `trainer=TrainerConfig(…)` in place of those of the training.

    Returns:
        The run: its `path`, its `config`, its `evaluation` on the validation split.

    Raises:
        RequestError: unknown head, option, target or split, or a folder of another run.
        EgofeatError: the store cannot be read, or the training failed.
    """
    known = _named(FitConfig, TrainerConfig)
    asked: dict[str, Any] = {"head": head, "store": _places(store)}
    return fit_head(FitConfig.of(asked | _checked(options, known)))


def evaluate(
    run: Where,
    split: str | None = None,
    store: Where | Several | None = None,
    *,
    views: tuple[int, int] | None = None,
    device: str = "auto",
) -> Evaluation:
    """Evaluate a run on a split, as `egofeat evaluate` does.

    Args:
        run: folder of the run.
        split: None takes the run's validation split.
        store: where its store lies now, or its stores.
        views: (clips, crops) over which a segment's views are averaged.
        device: where to run.

    Raises:
        RequestError: no such run or split.
        StoreError: the store is absent, or holds other features.
    """
    asked = EvaluateConfig(
        run=Path(run),
        split=split,
        store=None if store is None else _places(store),
        views=views,
        device=device,
    )
    return evaluating.evaluate(asked)


def predict(
    run: Where,
    videos: Where | Several,
    *,
    weights: str | Sequence[str] | None = None,
    device: str = "auto",
    top: int = 5,
) -> Predictions:
    """Name what a run sees in videos of no data set, as `egofeat predict` does.

    Args:
        run: folder of the run.
        videos: a path, or several; each is one segment.
        weights: file of the backbone's weights, where the store's were your own.
        device: where to run.
        top: classes to name a target.

    Raises:
        RequestError: no such run, or one on persons.
        WeightsError: the backbone's weights are not those of the run.
    """
    asked = PredictConfig(
        run=Path(run),
        videos=_places(videos),
        weights=(weights,) if isinstance(weights, str) else tuple(weights or ()),
        device=device,
        top=top,
    )
    return predicting.predict(asked)


def _places(given: Where | Several) -> tuple[Path, ...]:
    return tuple(Path(one) for one in (given if isinstance(given, list | tuple) else [given]))


def _checked(options: dict[str, Any], known: dict[str, Field[Any]], *also: str) -> dict[str, Any]:
    """Keywords of which each is an option that there is; paths may be texts."""
    for name, value in options.items():
        if name not in known:
            raise RequestError(f"there is no option '{name}': {nearest(name, [*known, *also])}")
        if isinstance(value, str) and "Path" in str(known[name].type):
            options[name] = Path(value)
    return options
