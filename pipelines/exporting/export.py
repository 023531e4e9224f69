"""`egofeat export`: a store's features as the files that other projects read.

Each file is whole or absent, so an export that was interrupted is given again.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.errors import RequestError
from egofeat.manifest import load_manifest
from egofeat.pipelines.exporting.annotations import (
    AnnotationFiles,
    Wanted,
    annotation_files,
    wanted_of_manifest,
    wanted_of_store,
)
from egofeat.pipelines.exporting.formats import FORMATS, ExportFormat
from egofeat.pipelines.exporting.names import file_names
from egofeat.pipelines.exporting.options import ExportConfig
from egofeat.recipe import Windows
from egofeat.segments import Dataset
from egofeat.store import FeatureStore, PersonStore, open_store
from egofeat.store.files import PREFIX, remove_leftovers, replace_file

_WORKER = "export"
DESCRIPTION = "features.json"
INDEX = "index.csv"
MISSING = "missing_files.txt"


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export wrote; the object that `--json` prints."""

    store: str
    to: str
    out: str
    files: int
    """Feature files."""
    rows: int
    """Rows in them: of a flat store windows, else segments."""
    missing: int
    """Asked for by the data set, and without features."""
    unit: str
    """What has a file, for people."""
    notes: tuple[str, ...]
    """What a person should know."""

    def lines(self) -> list[str]:
        """The report for people."""
        said = [f"{self.files} files, {self.rows} rows, for {self.to}: {self.out}"]
        if self.missing:
            said.append(
                f"{self.files:,} of {self.files + self.missing:,} {self.unit}; {self.missing:,} "
                f"have no features and are listed in {MISSING}"
            )
        return [*said, *self.notes]


def export(config: ExportConfig) -> ExportReport:
    """Write the features of a store, or of some splits, for another project.

    Beside the feature files stand features.json (what to put into that project's
    configuration), index.csv (segment to file), missing_files.txt (what of the data set has no
    features) and, for ActionFormer and OpenTAD, the annotations of the videos that have them.

    Raises:
        RequestError: the store's features are not what the format takes, or the folder holds
            anything but this export.
        ManifestError: the manifest does not say what it must.
        StoreError: the store is absent or damaged.
    """
    if config.to not in FORMATS:
        raise RequestError(f"there is no format '{config.to}': choose from {', '.join(FORMATS)}")
    form = FORMATS[config.to]
    store = open_store(config.store, config.tap)
    _check_fits(store, form, config)
    dataset = _dataset(config, store)
    if dataset:
        wanted = wanted_of_manifest(dataset, config.splits)
        _check_meets(store, dataset, wanted)
    else:
        wanted = wanted_of_store(store, config.splits)
    names = file_names(wanted)
    annotations = AnnotationFiles({}, outside=0)
    if form.annotations:
        annotations = annotation_files(store, wanted, names, dataset, form.annotations)
    _claim(config, store)
    present = [id_ for id_ in wanted if id_ in store]
    missing = [names[id_] for id_ in wanted if id_ not in store]
    rows = _write_features(config.out, form, store, {id_: names[id_] for id_ in present})
    for name, content in annotations.texts.items():
        _write(config.out / name, content)
    _write(config.out / MISSING, "".join(f"{name}\n" for name in missing))
    return ExportReport(
        store=str(store.path),
        to=config.to,
        out=str(config.out),
        files=len(present),
        rows=rows,
        missing=len(missing),
        unit="videos" if store.flat else "segments",
        notes=_notes(config, store, dataset, annotations.outside),
    )


def _check_fits(store: FeatureStore, form: ExportFormat, config: ExportConfig) -> None:
    if isinstance(store, PersonStore):
        raise RequestError(
            f"{store.path} holds persons of key frames, and no export format has boxes: read "
            "them with egofeat.store.open_persons, as docs/store.md shows"
        )
    if not store.flat and (config.manifest or config.dataset):
        raise RequestError(
            f"{store.path} holds segments and knows its own data set: leave out `manifest` and "
            "`dataset`, which are for windows over whole videos"
        )
    if not form.videos:
        return
    if not store.flat:
        raise RequestError(
            f"{config.to} takes windows over whole videos and {store.path} holds segments: extract "
            "with `windows` and `stride`, or give `to` npy"
        )
    if len(store.row_shape) != 1:
        vectors = [tap for tap, shape in store.recipe.taps.items() if len(shape) == 1]
        mend = f"give `tap` {' or '.join(vectors)}" if vectors else "extract a tap of vectors"
        raise RequestError(
            f"{config.to} takes vectors and tap {store.tap} of {store.path} holds maps "
            f"{list(store.row_shape)}: {mend}, or give `to` npy"
        )


def _dataset(config: ExportConfig, store: FeatureStore) -> Dataset | None:
    if not (config.manifest or config.dataset):
        return None
    manifest = load_manifest(config.manifest or Path("data_manifest.yaml"))
    own = store.dataset if store.dataset in manifest.names else None
    return manifest.dataset(config.dataset or own)


def _check_meets(store: FeatureStore, dataset: Dataset, wanted: Wanted) -> None:
    if len(store) and not any(video in store for video in wanted):
        raise RequestError(
            f"{store.path} has features of no video of the data set '{dataset.name}': name the "
            f"entry that it was extracted from with `dataset` ({store.dataset})"
        )


def _claim(config: ExportConfig, store: FeatureStore) -> None:
    """Write features.json first: it claims an empty folder for this export and no other."""
    out, content = config.out, json.dumps(_description(config, store), indent=1) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    path = out / DESCRIPTION
    if path.exists():
        if path.read_text(encoding="utf-8", errors="replace") != content:
            raise RequestError(
                f"{out} holds another export, as its {DESCRIPTION} says: choose another `out`"
            )
    # A killed export may have left no more than a half-written file.
    elif foreign := [one.name for one in out.iterdir() if not one.name.startswith(PREFIX)]:
        raise RequestError(
            f"{out} holds {min(foreign)} and no {DESCRIPTION} of an export: choose a new or an "
            "empty folder with `out`"
        )
    remove_leftovers(out, _WORKER)
    _write(path, content)


def _description(config: ExportConfig, store: FeatureStore) -> dict[str, Any]:
    """What features.json says."""
    recipe = store.recipe
    fields: dict[str, Any] = {
        "format": config.to,
        "dataset": store.dataset,
        "splits": list(config.splits),
        "backbone": recipe.backbone,
        "weights": recipe.weights,
        "tap": store.tap,
        "row_shape": list(store.row_shape),
        "recipe": recipe.digest,
        "plan": recipe.plan.to_dict(),
    }
    if isinstance(recipe.plan, Windows):
        fields |= {
            "fps": recipe.plan.fps,
            "window": recipe.plan.size,
            "stride": recipe.plan.stride,
            # The same two as temporal-detection projects call them, in frames at `fps`.
            "feature_stride": recipe.plan.stride,
            "offset_frames": recipe.plan.size // 2,
        }
    return fields


def _write_features(
    out: Path, form: ExportFormat, store: FeatureStore, names: Mapping[str, str]
) -> int:
    """Write a file a segment, and index.csv when all stand; return the rows in them."""
    rows = 0
    index = io.StringIO()
    table = csv.writer(index, lineterminator="\n")
    table.writerow(["id", "video", "start", "stop", "file", "rows"])
    with console.progress("exporting", len(names), "files") as progress:
        for id_, name in names.items():
            file = name + form.suffix
            replace_file(out / file, form.encode(store[id_]), _WORKER)
            number = store.table.numbers[id_]
            stop, length = float(store.stops[number]), int(store.lengths[number])
            table.writerow(
                [id_, store.videos[number], float(store.starts[number]),
                 "" if math.isinf(stop) else stop, file, length]
            )  # fmt: skip
            rows += length
            progress(1)
    _write(out / INDEX, index.getvalue())
    return rows


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode(), _WORKER)


def _notes(
    config: ExportConfig, store: FeatureStore, dataset: Dataset | None, outside: int
) -> tuple[str, ...]:
    notes = []
    if store.flat and config.splits and not dataset and "" in store.splits:
        notes.append(
            "videos of no split, or of several, are left out: give `manifest` to have those of "
            "several"
        )
    annotated = FORMATS[config.to].annotations is not None
    if annotated and not dataset:
        notes.append(
            "the annotations are empty, a store of whole videos has none: give `manifest` and "
            "the same `out` again to fill them"
        )
    elif annotated and dataset and not dataset.classes:
        notes.append(f"the annotations are empty: the data set '{dataset.name}' has no labels")
    if outside:
        notes.append(
            f"annotated actions left out because they begin after the end of their video: {outside}"
        )
    return tuple(notes)
