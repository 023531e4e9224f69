"""Pieces of long videos that are made and not joined yet, in files that all workers share.

They lie with the board of the workers, and go with it: they are no part of a store.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError, StoreError
from egofeat.extract.rooms import room
from egofeat.extract.shards import Shard, whole_of
from egofeat.recipe import Recipe
from egofeat.segments import Segment
from egofeat.store import ShardRows
from egofeat.store.damage import writing
from egofeat.store.files import replacing, sync

_SUFFIX = ".npz"


class LostRun(NamedTuple):
    """Windows that follow each other and are lost."""

    start: float
    stop: float
    """In seconds: they lie within [start, stop)."""
    windows: int
    reason: str
    cause: str = MediaError.cause
    """Left out by files of before there was one."""


@dataclass(frozen=True)
class Joined:
    """A whole video, of its pieces."""

    rows: ShardRows | None
    """None: none of its windows could be made."""
    lost: Sequence[LostRun]
    made_with: Mapping[str, str]
    """By all workers that had a part in it."""
    changed: bool
    """Whether its pieces are not all of one file."""


class PieceFiles:
    """Those of one store.

    Args:
        folder: for them alone; nothing need be there.
        recipe: of the store.
        worker: name of this one among those that share them.
    """

    def __init__(self, folder: Path, recipe: Recipe, worker: str) -> None:
        self._folder = folder
        self._recipe = recipe
        self._worker = worker

    def keep(
        self, shard: Shard, rows: ShardRows, lost: Sequence[LostRun], made_with: Mapping[str, str]
    ) -> None:
        """Keep a piece, which may have no rows.

        Raises:
            StoreError: the disk refuses.
        """
        assert rows.media_stamps is not None
        arrays = {"times": rows.times, "clipped": rows.clipped, "stamp": rows.media_stamps}
        arrays["notes"] = np.array(json.dumps({"lost": lost, "made_with": dict(made_with)}))
        arrays |= {f"taps/{tap}": values for tap, values in rows.taps.items()}
        with replacing(self._path(shard), self._worker) as temporary:
            with temporary.open("xb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            sync(temporary)

    def has(self, shard: Shard, file: tuple[int, int]) -> bool:
        """Whether a piece is there, of the file of that size and time; of another one it goes.

        Args:
            shard: of the piece.
            file: as `stamp_of` gives it; of what is not there now nothing goes.
        """
        path = self._path(shard)
        if file[0] < 0:
            return False
        with contextlib.suppress(StoreError, FileNotFoundError):
            if tuple(_Head.read(path).stamp[0, :2].tolist()) == file:
                return True
        _remove(path)
        return False

    def joined(self, shard: Shard, scratch: Path | None) -> Joined | None:
        """The video of a piece as a whole; None where pieces are missing.

        Args:
            shard: of any of its pieces.
            scratch: folder for files of what is too large for the memory.

        Raises:
            StoreError: a piece is damaged, or the disk refuses.
        """
        paths = self._all(shard)
        try:
            if not {path.name for path in paths} <= {path.name for path in self._folder.iterdir()}:
                return None
            heads = [_Head.read(path) for path in paths]
            return self._join(whole_of(shard).segments[0], heads, scratch)
        except FileNotFoundError:  # another worker was quicker
            return None

    def remove(self, shard: Shard) -> None:
        """Remove all pieces of a video."""
        for path in self._all(shard):
            _remove(path)

    def _join(self, one: Segment, heads: Sequence["_Head"], scratch: Path | None) -> Joined:
        times = np.concatenate([head.times for head in heads])
        lost = _runs([run for head in heads for run in head.lost], times[:, 0])
        made_with = _of_all([head.made_with for head in heads])
        changed = any((head.stamp != heads[0].stamp).any() for head in heads)
        if changed or not len(times):
            return Joined(None, lost, made_with, changed)
        rows = ShardRows(
            ids=[one.id],
            videos=[one.video],
            starts=np.array([one.start], np.float64),
            stops=np.array([one.stop], np.float64),
            clipped=heads[0].clipped,
            times=times,
            taps={tap: self._whole(tap, heads, scratch) for tap in self._recipe.taps},
            offsets=np.array([0, len(times)]),
            media_stamps=heads[0].stamp,
        )
        return Joined(rows, lost, made_with, changed)

    def _whole(self, tap: str, heads: Sequence["_Head"], scratch: Path | None) -> NDArray[Any]:
        """`[rows, …]` of all pieces; one of them is in memory at a time."""
        dtype, shape = np.dtype(self._recipe.dtype), self._recipe.taps[tap]
        whole = room((sum(len(head.times) for head in heads), *shape), dtype, scratch)
        place = 0
        for head in heads:
            for row in _tap(head, tap, shape, dtype):
                whole.put([place], row)
                place += 1
        return whole.rows

    def _path(self, shard: Shard) -> Path:
        return self._folder / f"{shard.name}{_SUFFIX}"

    def _all(self, shard: Shard) -> list[Path]:
        assert shard.piece
        name = whole_of(shard).name
        return [self._folder / f"{name}.{piece}{_SUFFIX}" for piece in shard.piece.names]


@dataclass(frozen=True)
class _Head:
    """What a piece says of itself, without its features."""

    path: Path
    times: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    stamp: NDArray[np.int64]
    lost: Sequence[LostRun]
    made_with: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Self:
        with _loaded(path) as arrays:
            notes = json.loads(str(arrays["notes"]))
            lost = [LostRun(*run) for run in notes["lost"]]
            times, clipped, stamp = (arrays[name] for name in ("times", "clipped", "stamp"))
            return cls(path, times, clipped, stamp, lost, notes["made_with"])


def _tap(
    head: _Head, tap: str, shape: Sequence[int], dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Rows of a tap of a piece, `[…]` each."""
    if not len(head.times):  # it may not know its taps
        return
    with _loaded(head.path) as arrays:
        values = arrays[f"taps/{tap}"]
    if values.shape != (len(head.times), *shape) or values.dtype != dtype:
        raise StoreError(_DAMAGED.format(head.path, f"its tap {tap} is another"))
    yield from values


_DAMAGED = "{} is damaged ({}): give the command again, which makes it anew"


@contextlib.contextmanager
def _loaded(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of a file, each held against its checksum as it is read.

    Raises:
        FileNotFoundError: another worker has taken it away.
        StoreError: it is damaged; then it is removed.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes the library raise whatever there is
        _remove(path)
        raise StoreError(_DAMAGED.format(path, " ".join(str(error).split())[:200])) from None


def _remove(path: Path) -> None:
    with writing(path):
        path.unlink(missing_ok=True)


def _runs(lost: Sequence[LostRun], kept: NDArray[np.float64]) -> list[LostRun]:
    """Lost windows in order, one for each run that no window which is kept divides.

    Args:
        lost: runs within pieces, piece after piece.
        kept: `[windows]` seconds at which those begin that are kept.
    """
    runs: list[LostRun] = []
    before = np.searchsorted(kept, [one.start for one in lost]).tolist()
    for _, alike in groupby(zip(before, lost, strict=True), key=itemgetter(0)):
        run = [one for _, one in alike]
        windows = sum(one.windows for one in run)
        runs.append(run[0]._replace(stop=run[-1].stop, windows=windows))
    return runs


def _of_all(made: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What made all pieces: where they differ, each that there was."""
    names = dict.fromkeys(name for one in made for name in one)
    said = {name: dict.fromkeys(one[name] for one in made if name in one) for name in names}
    return {name: ", ".join(values) for name, values in said.items()}
