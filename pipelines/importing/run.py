"""`egofeat import`: features that another program made, into a store that heads read."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat import console
from egofeat.errors import MediaError, MissingMediaError, RequestError
from egofeat.extract.shards import Shard, shards_in, without
from egofeat.extract.shards import cut as cut_shards
from egofeat.pipelines.extraction.disk_room import free_bytes
from egofeat.pipelines.extraction.failure_sums import FailureSum, failure_lines, sum_up
from egofeat.pipelines.extraction.wanted import choose_segments, read_dataset
from egofeat.pipelines.importing.arrays import Array, Arrays
from egofeat.pipelines.importing.cutting import Cut, cut, whole
from egofeat.pipelines.importing.formats import FORMATS
from egofeat.pipelines.importing.options import ImportConfig
from egofeat.pipelines.importing.sources import Found, declared, find, listed
from egofeat.recipe import Imported, Recipe, Windows
from egofeat.recipe.imported import BACKBONE, UNKNOWN_TRANSFORM
from egofeat.segments import Dataset, Segment, Segments
from egofeat.store import Failure, ShardRows, StoreWriter, versions
from egofeat.store.sidecar.sources import identity_of, write_sources
from egofeat.words import counted

_WORKER = "import"
_WRONG = {
    "damaged": "of an array that does not hold what is wanted",
    "missing": "without an array",
    "unreadable": "of an array that cannot be read for now",
}
"""Cause of a failure to what is said of segments."""
_ROWS = 20
"""Of a segment that is cut out of a video, if nothing is asked."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did; the object that `--json` prints."""

    store: str
    segments: int
    """Wanted."""
    imported: int
    skipped: int
    """In the store already."""
    failed: int
    failures: tuple[FailureSum, ...]
    of: str
    """`segment` or `video`: what an array of the files is of."""
    rows: int | None
    """A segment has; None of whole videos."""
    channels: int
    files: int
    sha256: str
    """Of sources.csv, which has that of each file."""
    seconds: float
    unit: str

    @property
    def exit_code(self) -> int:
        """1 where something is missing or damaged."""
        return int(self.failed > 0)

    def lines(self) -> list[str]:
        """The report for people."""
        shape = f"{self.rows or 'all'} rows of {self.channels} numbers"
        return [
            f"{self.imported:,} of {self.segments:,} {self.unit} imported, {self.skipped:,} were "
            f"there already: {shape}, {counted(self.files, 'files')}, an array a {self.of}",
            self.store,
            *failure_lines(self.failures, self.unit, _WRONG),
            *([self.failures_line()] if self.failed else []),
        ]

    def failures_line(self) -> str:
        """How many are missing, and where they stand."""
        return (
            f"{counted(self.failed, self.unit)} without features: {self.store}/failures-*.jsonl "
            "says why; the same command tries them again"
        )


@dataclass(frozen=True)
class _Source:
    """Arrays, whose they are, and how segments are made of them."""

    arrays: Arrays
    found: Found
    read: Callable[[str], Array]
    recipe: Recipe
    tap: str
    as_they_are: bool
    """Whether segments' arrays are kept with the rows that they have."""

    def features(self, segment: Segment) -> Cut:
        """Features of a segment, in the store's type.

        Raises:
            MediaError: there are none, or they cannot be kept.
        """
        id_ = segment.id if self.found.of == "segment" else segment.video
        name = self.found.names.get(id_)
        if name is None:
            raise MissingMediaError(f"{self.arrays.root} has no array of {self.found.of} {id_}")
        array, channels = self.read(name), self.recipe.taps[self.tap][-1]
        where = f"array {name} of {self.found.files[id_]}"
        if array.channels != channels:
            raise MediaError(
                f"{where} has {array.channels} numbers a row, and the first {channels}: import "
                "those apart"
            )
        plan = self.recipe.plan
        if self.as_they_are and array.rows != plan.views:
            raise MediaError(
                f"{where} has {counted(array.rows, 'rows')}, and the first {plan.views}: give "
                "`rows`, into so many parts each is divided"
            )
        if isinstance(plan, Windows):
            made = whole(array, plan)
        else:
            assert isinstance(plan, Imported)
            made = cut(array, segment, plan)
        return Cut(self._kept(made.values, where), made.times, made.clipped)

    def _kept(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        odd = ~np.isfinite(values).all(axis=1)
        if odd.any():
            raise MediaError(
                f"{where} has a value that is not a finite number (row {odd.argmax()}): fetch it "
                "again"
            )
        with np.errstate(over="ignore"):
            kept = values.astype(self.recipe.dtype)
        if not np.isfinite(kept).all():
            most = float(np.abs(values).max())
            raise MediaError(
                f"{where} reaches {most:.6g}, more than {self.recipe.dtype} holds: use `dtype` "
                "float32"
            )
        return kept


def import_features(config: ImportConfig, dataset: Dataset | None = None) -> ImportReport:
    """Import what is missing from the store; what cannot be is a recorded failure.

    Args:
        config: what the person chose.
        dataset: used in place of the manifest's.

    Raises:
        RequestError: files that are none of the kind, of no segment of the data set, or of which it
            is not known which times their rows stand for.
        StoreError: the store is damaged, or the disk refuses.
    """
    began = time.monotonic()
    dataset = dataset or read_dataset(config.manifest, config.dataset)
    arrays = FORMATS[config.kind].open(config.files, config.key)
    of = "video" if config.whole else config.each or FORMATS[config.kind].of
    found = find(arrays, dataset, of)
    files = set(found.files.values())
    sources = listed(config.files, files)
    read = lru_cache(maxsize=1)(arrays.read)  # segments of a video follow each other
    recipe = _recipe(config, found, read, identity_of(sources))
    (tap,) = recipe.taps
    as_they_are = found.of == "segment" and config.rows is None
    source = _Source(arrays, found, read, recipe, tap, as_they_are)
    dataset, segments = choose_segments(dataset, config.splits, recipe.plan)
    writer = StoreWriter.open(
        config.out,
        dataset,
        recipe,
        format=config.format,
        compress=config.compress,
        made_with=versions() | {"imported": config.kind, "files": str(config.files)},
        worker=_WORKER,
        stage=config.stage,
    )
    with closing(writer):
        write_sources(writer.path, sources, _WORKER)
        done, asked = writer.done(), set(segments.keys)
        writer.clear_failures(asked)
        shards = cut_shards(segments, recipe.row_bytes * (1 if recipe.plan.counted else 1000))
        left = shards_in(without(shards, done, set()))
        _refuse_full_disk(config, recipe, sum(len(shard.segments) for shard in left))
        imported = _import(source, writer, left)
        failures = [one for one in writer.failures() if one.key in asked]
    return ImportReport(
        store=str(writer.path),
        segments=len(segments),
        imported=imported,
        skipped=sum(key in done for key in segments.keys),
        failed=len(failures),
        failures=sum_up(failures, dataset.media),
        of=found.of,
        rows=recipe.plan.views if recipe.plan.counted else None,
        channels=recipe.taps[tap][-1],
        files=len(files),
        sha256=recipe.weights.removeprefix("files:"),
        seconds=round(time.monotonic() - began, 3),
        unit="videos" if config.whole else "segments",
    )


def _refuse_full_disk(config: ImportConfig, recipe: Recipe, segments: int) -> None:
    """Refuse rows that do not fit, before any is written; of whole videos that is not known."""
    needed, free = segments * recipe.row_bytes, free_bytes(config.out)
    if recipe.plan.counted and config.compress is None and needed > free:
        raise RequestError(
            f"the features take {console.size(needed)} and {config.out} has {console.size(free)} "
            "free: make room, or give another `out` or fewer `rows`"
        )


def _import(source: _Source, writer: StoreWriter, shards: Sequence[Shard]) -> int:
    """Write shards; returns how many segments they have."""
    imported = 0
    total = sum(len(shard.segments) for shard in shards)
    with console.progress("importing", total, "segments") as progress:
        for shard in shards:
            made: list[tuple[Segment, Cut]] = []
            failures = []
            for segment in shard.segments:
                try:
                    made.append((segment, source.features(segment)))
                except MediaError as error:
                    span = (segment.start, segment.stop)
                    reason = str(error)
                    failures.append(Failure(segment.id, segment.video, *span, reason, error.cause))
                progress(1)
            if failures:
                writer.record_failures(failures)
            if made:
                writer.write_shard(shard.name, _rows(made, source))
                imported += len(made)
    return imported


def _rows(made: Sequence[tuple[Segment, Cut]], source: _Source) -> ShardRows:
    flat = source.recipe.flat
    together: Callable[[list[Any]], NDArray[Any]] = np.concatenate if flat else np.stack
    cuts = [one for _, one in made]
    segments = Segments.of([segment for segment, _ in made])
    return ShardRows(
        ids=segments.ids.tolist(),
        videos=segments.videos.tolist(),
        starts=segments.starts,
        stops=segments.stops,
        clipped=np.array([one.clipped for one in cuts], np.bool_),
        times=together([one.times for one in cuts]),
        taps={source.tap: together([one.values for one in cuts])},
        offsets=np.cumsum([0, *(len(one.times) for one in cuts)]) if flat else None,
    )


def _recipe(
    config: ImportConfig, found: Found, read: Callable[[str], Array], identity: str
) -> Recipe:
    """All that is known of the numbers, of which the first array that can be read is an example."""
    example = _first(found, read)
    form, said = FORMATS[config.kind], declared(config.files)
    fps = config.fps or said.fps or form.fps
    window = config.window or said.window or form.window
    stride = config.stride or said.stride or form.stride
    if (found.of == "video" or config.whole) and not (fps and window and stride):
        raise RequestError(
            f"{config.files} has an array a video, and nothing says which times its rows stand "
            "for: give `fps`, `window` and `stride` as the features' publisher does"
        )
    rows = config.rows or (example.rows if found.of == "segment" else _ROWS)
    plan: Windows | Imported
    if config.whole and fps and window and stride:
        plan = Windows(window, stride, fps, window)
        shape: tuple[int, ...] = (example.channels,)
    else:
        of: Any = found.of
        resample: Any = config.resample
        plan = Imported(rows, of, resample, config.kind, fps, window, stride)
        shape = (rows, example.channels)
    dtype = config.dtype or ("float16" if example.dtype == np.float16 else "float32")
    return Recipe(
        backbone=f"{BACKBONE}{config.network}",
        weights=identity,
        transform=UNKNOWN_TRANSFORM,
        plan=plan,
        taps={config.tap or "features": shape},
        dtype=dtype,
        precision="unknown",
        decoder="none",
    )


def _first(found: Found, read: Callable[[str], Array]) -> Array:
    """The first array that can be read."""
    reason = ""
    for name in found.names.values():
        try:
            return read(name)
        except MediaError as error:
            reason = reason or str(error)
    raise RequestError(f"none of the arrays can be read; the first: {reason}")
