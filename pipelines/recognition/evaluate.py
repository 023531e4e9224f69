"""`egofeat evaluate`: a trained head on a split, or a published classifier on a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat import console
from egofeat.errors import RequestError
from egofeat.heads.measures.classes import by_class
from egofeat.heads.measures.metrics import metrics
from egofeat.names import check_name
from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.extraction.wanted import read_dataset
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.classes import confusion_matrix
from egofeat.pipelines.options import Compute
from egofeat.pipelines.recognition.class_names import match_names
from egofeat.pipelines.recognition.published import Published, one_of
from egofeat.pipelines.runs.files import write_file
from egofeat.pipelines.training import evaluate as of_run
from egofeat.pipelines.training.class_tables import class_table, confusion_table
from egofeat.pipelines.training.evaluation import Evaluation, write_arrays, write_evaluation
from egofeat.pipelines.training.options import EvaluateConfig
from egofeat.pipelines.training.views import Views
from egofeat.segments import Dataset, Segments
from egofeat.store import SegmentStore, open_store

_AT_ONCE = 256
"""Segments whose views are averaged together."""


@dataclass(frozen=True, kw_only=True)
class PublishedEvaluation(Evaluation):
    """How good a published classifier is on a data set; `run` is the folder of its figures."""

    weights: str
    """As recipes name them."""
    unknown: int
    """Segments of classes that the network does not know, which were not judged."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that metrics.json and `--json` hold."""
        of = super().to_dict() | {"weights": self.weights, "unknown": self.unknown}
        del of["trained_on"]
        return of

    def taught(self) -> str:
        """Return what was not judged, for people."""
        return f"; {self.unknown:,} of classes that it does not know" if self.unknown else ""


def evaluate(asked: EvaluateConfig) -> Evaluation:
    """Evaluate a run, or a network's own classifier.

    Raises:
        RequestError: no such run, backbone or split, or classes that the network does not know.
        WeightsError: the weights are not to be had.
        StoreError: a store is absent or damaged.
    """
    if asked.run is not None:
        return of_run.evaluate(
            asked.run,
            asked.split,
            asked.store,
            views=asked.views,
            device=asked.device,
            figures=asked.figures,
        )
    assert asked.backbone is not None
    with style.also(asked.figures):
        return _judge(asked, asked.backbone)


def _judge(asked: EvaluateConfig, backbone: str) -> PublishedEvaluation:
    """Keep the logits of all views in a store, then judge their mean softmax."""
    dataset = read_dataset(asked.manifest, asked.dataset)
    published = Published.of(
        backbone,
        dataset,
        weights=one_of(asked.weights, backbone),
        views=asked.views,
        device=asked.device,
        splits=(asked.split,) if asked.split else (),
        out=asked.store[0] if asked.store else Path("features"),
    )
    names = published.names()
    target, places = _match(dataset, names, backbone)
    report = run_jobs([published.job], Compute(device=asked.device)).stores[0]
    console.note(report.store)
    store = open_store(report.store, published.tap)
    assert isinstance(store, SegmentStore)
    rows = store.rows(asked.split)
    own = store.labels[target][rows]
    labels = torch.from_numpy(places[own])
    wanted = places[Segments.of(published.job.segments).labels_of(target)]
    known = int((labels >= 0).sum())
    if not known:
        raise RequestError(f"no segment of '{dataset.name}' has a class that {backbone} knows")
    out = asked.out or _folder(published, dataset.name, asked.split)
    out.mkdir(parents=True, exist_ok=True)
    logits = {target: _mean_logits(published, store, rows)}
    figures = dict(metrics(logits, {target: labels}))
    found = PublishedEvaluation(
        run=out,
        split=asked.split or "all splits",
        segments=known,
        segments_of_split=int((wanted >= 0).sum()),
        trained_on=None,
        metrics=figures,
        warnings=(),
        pictures=(_write(out, target, logits, labels, names),),
        views=Views.of(published.job.recipe),
        weights=published.job.recipe.weights,
        unknown=int((own >= 0).sum()) - known,
    )
    arrays = {"ids": np.array(store.ids[rows].tolist()), f"logits_{target}": logits[target].numpy()}
    write_arrays(out / "predictions.npz", arrays | {f"labels_{target}": labels.numpy()})
    write_evaluation(found, "")
    return found


def _folder(published: Published, dataset: str, split: str | None) -> Path:
    """Where the figures go: other weights, views or splits have another folder."""
    of = (dataset, published.job.recipe.store_name, *([split] if split else []))
    return Path("runs") / check_name("-".join(of), "run")


def _match(
    dataset: Dataset, names: tuple[str, ...], backbone: str
) -> tuple[str, NDArray[np.int64]]:
    """The target whose classes the network knows best, and the network's number of each.

    The last of the numbers is -1, as is that of a class that it does not know.

    Raises:
        RequestError: it knows no class of any target.
    """
    found = {target: match_names(of, names) for target, of in dataset.classes.items()}
    known = {target: sum(place >= 0 for place in places) for target, places in found.items()}
    target = max(known, key=known.__getitem__, default="")
    if not known or not known[target]:
        raise RequestError(
            f"'{dataset.name}' has no class that {backbone} knows, such as '{names[0]}' or "
            f"'{names[-1]}': name a data set with its classes, or fit a head"
        )
    for of, place in zip(dataset.classes[target], found[target], strict=True):
        if place < 0:
            console.note(f"{backbone} does not know the class '{of}': its segments are left out")
    return target, np.array([*found[target], -1], np.int64)


def _mean_logits(published: Published, store: SegmentStore, rows: NDArray[np.int64]) -> Tensor:
    """Log of the mean softmax over the views of each row, `[rows, classes]`."""
    parts = [rows[first : first + _AT_ONCE] for first in range(0, len(rows), _AT_ONCE)]
    return torch.cat([published.logits(store.take(part)) for part in parts])


def _write(
    out: Path, target: str, logits: Mapping[str, Tensor], labels: Tensor, names: tuple[str, ...]
) -> Path:
    """Write what is true of each class, and draw which was taken for which."""
    of_class = by_class(logits[target], labels)
    write_file(out / f"classes-{target}.csv", class_table(of_class, names))
    write_file(out / f"confusion-{target}.csv", confusion_table(of_class, names))
    best = logits[target].argmax(dim=1)
    return confusion_matrix(labels, best, names, out / f"confusion-{target}.png", target)
