"""Writing a store: whole shards, published one by one, with no lock and no central index."""

import socket
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Self

from egofeat.errors import RequestError
from egofeat.names import check_name
from egofeat.recipe import Recipe
from egofeat.segments import Dataset, KeySet
from egofeat.store.damage import MovedError, writing
from egofeat.store.description import Description, begun
from egofeat.store.files import remove_leftovers
from egofeat.store.formats.publishing import publish_shard
from egofeat.store.formats.registry import check_choice, format_of
from egofeat.store.formats.shard import Content
from egofeat.store.reading.index import shards_of
from egofeat.store.rows import Failure, Key, ShardRows, keys
from egofeat.store.sidecar.box_table import write_boxes
from egofeat.store.sidecar.failures import (
    all_failures,
    append_failures,
    failures_path,
    forget_failures,
    read_failures,
    still_missing,
    write_failures,
)
from egofeat.store.sidecar.gaze import write_gaze
from egofeat.store.sidecar.segments import write_segments


class StoreWriter:
    """One worker's hand on a store; any number of workers may write to one store at a time."""

    def __init__(
        self,
        path: Path,
        description: Description,
        wanted: Collection[Key] | None,
        worker: str,
        made_with: Mapping[str, str],
        stage: Path | None = None,
    ) -> None:
        self.path = path
        self.description = description
        self._wanted = wanted
        self._worker = worker
        self.made_with = {"host": socket.gethostname()} | dict(made_with)
        """Recorded in each shard that is written."""
        self._form = format_of(path, description)
        self._shards = path / "shards"
        self._stage = stage
        if stage:
            with writing(stage):
                stage.mkdir(parents=True, exist_ok=True)
                remove_leftovers(stage, worker)
        self._failures = failures_path(path, worker)
        self._noting = threading.Lock()
        """Shards are written in another thread than failures are noted in."""
        known = (f for path in path.glob("failures-*.jsonl") for f in read_failures(path))
        self._lost_before = {failure.key for failure in known if failure.windows}
        """Lost windows, id and span, that earlier runs noted."""

    @classmethod
    def open(
        cls,
        out: Path,
        dataset: Dataset,
        recipe: Recipe,
        *,
        format: str | None = None,  # noqa: A002
        compress: str | None = None,
        made_with: Mapping[str, str],
        worker: str = "1of1",
        stage: Path | None = None,
    ) -> Self:
        """Create `<out>/<dataset>/<recipe.store_name>`, or join it when it is there.

        What a killed run of the same worker left half written is removed, and
        segments.json, gaze.npz and boxes.npz are brought up to date with `dataset`, which must
        be whole.

        Args:
            out: folder of all stores.
            dataset: every segment that the manifest names, whatever the split.
            recipe: what makes the numbers.
            format: one of `FORMATS`; None is the store's own, `hdf5` for a new one.
            compress: one of the format's compressors, or `none`; None is the store's own, none
                for a new one.
            made_with: versions and the like, to record beside the recipe, and with the name of
                this host in each shard that is written.
            worker: name of this worker among those that write to the store at a time.
            stage: folder of a local disk in which shards are written and read back, before they are
                copied whole to the store.

        Raises:
            RequestError: no such format or compression, or not that of the store joined; the data
                set has a name that no folder can have.
            StoreError: the store joined is damaged, or of another recipe; the disk refuses.
            ManifestError: a gaze file, read only now, is not what it must be.
        """
        folders = check_name(dataset.name, "data set"), check_name(recipe.store_name, "store")
        path = Path(out).joinpath(*folders)
        form, packed = packing(path, format, compress)
        with writing(path):
            (path / "shards").mkdir(parents=True, exist_ok=True)
            remove_leftovers(path, worker)
            remove_leftovers(path / "shards", worker)
        description = Description(
            recipe=recipe,
            dataset=dataset.name,
            format=form,
            compress=packed,
            made_with=dict(made_with),
        ).create(path, worker)
        packing(path, format, compress)  # another worker may have been the first
        write_segments(dataset, path, worker)
        write_gaze(path, dataset.gaze, worker)
        write_boxes(path, dataset, worker)
        writer = cls(path, description, KeySet(dataset.segments), worker, made_with, stage)
        writer._tidy_failures(None)
        return writer

    @classmethod
    def join(
        cls, path: Path, made_with: Mapping[str, str], worker: str, stage: Path | None = None
    ) -> Self:
        """Write to a store that another process has opened, for it.

        Args:
            path: of the store.
            made_with: see `open`.
            worker: see `open`.
            stage: see `open`.

        Raises:
            StoreError: there is no store, or it is damaged.
        """
        return cls(path, Description.read(path), None, worker, made_with, stage)

    @property
    def scratch(self) -> Path:
        """Where shards are written before they are published."""
        return self._stage or self._shards

    def published(self, number: int) -> set[Key]:
        """Segments that stand in shards of this number of the cut, now.

        Or in any shard, where one of these was just joined with others.

        Raises:
            StoreError: such a shard is damaged.
        """
        paths = self._shards.glob(f"{number:05d}-*{self._form.suffix}")
        try:
            shards = [self._form.open(path) for path in paths]
        except MovedError:
            return self.done()
        return {key for one in shards for key in keys(one.ids, one.starts, one.stops)}

    def done(self) -> set[Key]:
        """Every segment that stands in a published shard, whoever wrote it.

        Raises:
            StoreError: a shard is damaged.
        """
        return set(shards_of(self.path, self.description).keys)

    @property
    def worker(self) -> str:
        """Name of this worker."""
        return self._worker

    def write_shard(
        self, name: str, rows: ShardRows, made_with: Mapping[str, str] | None = None
    ) -> Path:
        """Publish rows as the shard `name`, over an older one of that name.

        At every instant the shard is whole or absent. The same rows, made with the same, make the
        same bytes. Before it has its name it is read back and held against its checksums.

        Args:
            name: a plain file name, without suffix.
            rows: at least one; all taps of the recipe, in its dtype.
            made_with: of rows that other workers made too; None: this one alone.

        Raises:
            StoreError: the disk refuses, or gives back other bytes; nothing is published.
        """
        path = self._shard(name)
        content = Content.of(rows, self.made_with if made_with is None else made_with)
        publish_shard(
            self._form, path, content, self.description.compress, self._worker, self._stage
        )
        if rows.offsets is not None:
            self._forget_lost_windows(set(rows.ids))
        return path

    def failures(self, done: Collection[Key] | None = None) -> list[Failure]:
        """List what any worker could not read, is still wanted, and has not been read since.

        Args:
            done: what `done` gives, where it was asked for already.
        """
        return all_failures(self.path, self.done() if done is None else done, self._wanted)

    def record_failures(self, failures: Iterable[Failure]) -> None:
        """Note segments that cannot be read; on the disk when this returns.

        Lost windows of a video are noted before what is kept of it is published.
        """
        noted = list(failures)
        with self._noting:
            append_failures(self._failures, noted)
            self._lost_before -= {failure.key for failure in noted}

    def clear_failures(self, segments: Collection[Key]) -> None:
        """Forget that these segments failed, whoever noted it, so that they are tried again."""
        with self._noting:
            for path in self.path.glob("failures-*.jsonl"):
                forget_failures(path, segments, self._worker)

    def close(self) -> None:
        """Leave in this worker's failures only what is wanted and has not been read since."""
        self._tidy_failures(self.done() if self._failures.exists() else frozenset())

    def _forget_lost_windows(self, published: Collection[str]) -> None:
        """Forget what earlier runs lost of these videos: they were tried anew."""
        if lost := {key for key in self._lost_before if key[0] in published}:
            self.clear_failures(lost)
            self._lost_before -= lost

    def _tidy_failures(self, done: Collection[Key] | None) -> None:
        if self._failures.exists():
            still = still_missing(read_failures(self._failures), done, self._wanted)
            write_failures(self._failures, still, self._worker)

    def _shard(self, name: str) -> Path:
        return self._shards / f"{name}{self._form.suffix}"


def packing(store: Path, form: str | None, compress: str | None) -> tuple[str, str | None]:
    """How shards are laid on the disk, after comparing what is asked for with what is there.

    Args:
        store: folder of a store, begun or not.
        form: one of `FORMATS`; None is the store's own, `hdf5` for a new one.
        compress: one of the format's compressors or `none`; None is the store's own, none for a
            new one.

    Returns:
        The format, and how it is compressed, None if it is not.

    Raises:
        RequestError: no such format or compression, or not that of the store.
    """
    if not begun(store):
        form = form or "hdf5"
        check_choice(form, compress)
        return form, None if compress == "none" else compress
    existing = Description.read(store)
    for option, asked, has in (
        ("format", form, existing.format),
        ("compress", compress, existing.compress or "none"),
    ):
        if asked is not None and asked != has:
            raise RequestError(
                f"{store} was begun with `{option}` {has}, not {asked}: leave `{option}` out to "
                "join it, or choose another `out`"
            )
    return existing.format, existing.compress
