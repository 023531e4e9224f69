"""Which segments go into which shard, and which are decoded together: pure functions.

The cut depends on the segments alone, never on what is already done or who works, so a
run that was killed and resumed publishes the very files of one that was not. One that was asked
to stop has published what was whole of its open shards, and what is left of them makes others.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from egofeat.extract.pieces.cut import Piece
from egofeat.segments import Picked, Segment, Segments, Texts, column_of
from egofeat.store import Key

MAX_ROWS = 128
MAX_BYTES = 32 * 2**20
MANY_VIDEOS = 1024
"""Whole videos, of which each has a shard of its own; of more, short ones share."""
_APART = "\0"
"""Between a segment's id, which has none, and a piece's name."""


def key_of(segment: Segment) -> Key:
    """The identity of a segment across runs."""
    return (segment.id, segment.start, segment.stop)


@dataclass(frozen=True)
class Shard:
    """Segments that are published together."""

    number: int
    """Place in the whole cut, from 0."""
    segments: Sequence[Segment]
    name: str
    skipped: tuple[Segment, ...] = ()
    """That are neither there nor made, as they failed before; the name counts them too."""
    piece: Piece | None = None
    """Of a video that is made in pieces: which, with the video's segment, called anew, as its own;
    `whole_of` is the shard that they are joined into."""

    @property
    def share(self) -> float:
        """What of each segment is made."""
        return self.piece.share if self.piece else 1.0


@dataclass(frozen=True)
class Batch:
    """Shards that share videos: the least work that one machine takes on.

    One shard of several whole videos, the several shards of one long video, or, of dense windows,
    the shards of several videos.
    """

    shards: tuple[Shard, ...]


def cut(segments: Iterable[Segment], row_bytes: int) -> list[Batch]:
    """Cut segments into shards of at most `MAX_ROWS` rows and about `MAX_BYTES` bytes.

    Segments are taken video by video in order of name, then by start, so that a shard is
    filled by decoding forwards. Videos are kept whole where they fit.

    Args:
        segments: what is wanted, in any order.
        row_bytes: bytes of one segment's features.
    """
    limit = max(1, min(MAX_ROWS, MAX_BYTES // row_bytes))
    ordered, firsts = _by_video(segments)
    groups: list[tuple[int, int]] = []
    for first, stop in pairwise([*firsts, len(ordered)]):
        if groups and stop - groups[-1][0] <= limit:
            groups[-1] = (groups[-1][0], stop)
        else:
            groups.append((first, stop))
    batches = []
    number = 0
    for first, stop in groups:
        pieces = [ordered[at : min(at + limit, stop)] for at in range(first, stop, limit)]
        batches.append(Batch(tuple(shard_of(number + k, p) for k, p in enumerate(pieces))))
        number += len(pieces)
    return batches


def cut_videos(videos: Iterable[Segment], size_of: Callable[[str], int], most: int) -> list[Batch]:
    """Cut whole videos, each of one segment, into batches and shards.

    Up to `MANY_VIDEOS` have a shard each. Of more, a batch is of several that follow each other by
    name, as many as makes so many batches: that depends on the names alone, so whoever does one
    part of all agrees with the others. In a batch, videos that are short share a shard.

    Args:
        videos: what is wanted, in any order.
        size_of: bytes of a video's file; 0 or less where it is none.
        most: bytes of the files that share a shard.
    """
    ordered, _ = _by_video(videos)
    names = ordered.column("videos").tolist()
    each = min(MAX_ROWS, max(1, -(-len(ordered) // MANY_VIDEOS)))
    batches = []
    number = 0
    for first in range(0, len(ordered), each):
        stop = min(first + each, len(ordered))
        firsts = [first]
        if each > 1:
            sizes = [max(0, size_of(video)) for video in names[first:stop]]
            taken = 0
            for place, size in enumerate(sizes, first):
                if taken and taken + size > most:
                    firsts.append(place)
                    taken = 0
                taken += size
        spans = enumerate(pairwise([*firsts, stop]), number)
        batches.append(Batch(tuple(shard_of(place, ordered[a:b]) for place, (a, b) in spans)))
        number += len(firsts)
    return batches


def _by_video(segments: Iterable[Segment]) -> tuple[Picked, list[int]]:
    """Segments by video, start, stop and id, and where each video begins."""
    of = Segments.of(segments)
    videos = _ranks(of.videos)
    columns = (of.stops, of.starts, videos)
    order = np.lexsort(columns)
    alike = np.ones(max(0, len(order) - 1), np.bool_)
    for column in columns:
        ordered = column[order]
        alike &= ordered[1:] == ordered[:-1]
    if alike.any():  # sorting a million ids takes a second
        order = np.lexsort((_ranks(of.ids), *columns))
    firsts = np.flatnonzero(np.diff(videos[order], prepend=-1))
    return Picked(of, order), firsts.tolist()


def _ranks(names: Texts) -> NDArray[np.int64]:
    """`[rows]` place of each name among the different ones, in order."""
    firsts = np.flatnonzero(np.append(True, names[1:] != names[:-1])[: len(names)])
    runs = names[firsts].tolist()
    rank = {name: place for place, name in enumerate(sorted(set(runs)))}
    ranks = np.array([rank[name] for name in runs], np.int64)
    return np.repeat(ranks, np.diff(firsts, append=len(names)))


def shards_in(batches: Iterable[Batch]) -> list[Shard]:
    """Shards of batches, in order."""
    return [shard for batch in batches for shard in batch.shards]


def part(batches: Sequence[Batch], number: int, parts: int) -> list[Batch]:
    """The batches of part `number` (from 1) of `parts`; all parts together are all batches."""
    return list(batches[number - 1 :: parts])


def without(batches: Iterable[Batch], done: Set[Key], skipped: Set[Key]) -> list[Batch]:
    """What is left to do of a cut.

    A shard none of whose segments are done keeps its name, also when some of them are to
    be skipped (they failed before): so it is the same file however often it was begun. A
    shard of which some are done is published already: what remains gets a name of its own.
    """
    left = []
    for batch in batches:
        rests = (rest_of(shard, done, skipped) for shard in batch.shards)
        if shards := tuple(filter(None, rests)):
            left.append(Batch(shards))
    return left


def rest_of(shard: Shard, done: Set[Key], skipped: Set[Key] = frozenset()) -> Shard | None:
    """What is left of one shard, see `without`; None where nothing is."""
    columns = Segments.of(shard.segments)
    keys = list(columns.keys)
    missing = [row for row, key in enumerate(keys) if key not in done]
    wanted = [row for row in missing if keys[row] not in skipped]
    if len(wanted) == len(keys):
        return shard
    if not wanted:
        return None
    passed = (*shard.skipped, *(columns[row] for row in missing if keys[row] in skipped))
    name = shard.name
    if len(missing) < len(keys):
        named = Segments.of([*columns.take(np.array(missing)), *shard.skipped])
        name = shard_of(shard.number, _by_video(named)[0]).name
    return Shard(shard.number, columns.take(np.array(wanted)), name, passed)


def shard_of(number: int, segments: Sequence[Segment]) -> Shard:
    """The shard that publishes these segments; its name says which they are."""
    ids, starts, stops = (column_of(segments, name) for name in ("ids", "starts", "stops"))
    lines = zip(ids.tolist(), _written(starts), _written(stops), strict=True)
    identity = "\n".join(map("\t".join, lines))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return Shard(number, segments, f"{number:05d}-{digest}")


def piece_of(shard: Shard, piece: Piece) -> Shard:
    """A piece of the one video of a shard, which no other piece is called like."""
    (one,) = shard.segments
    segment = replace(one, id=f"{one.id}{_APART}{piece.name}")
    return replace(shard, segments=(segment,), name=f"{shard.name}.{piece.name}", piece=piece)


def whole_of(shard: Shard) -> Shard:
    """The shard of the whole video of a piece."""
    if shard.piece is None:
        return shard
    (one,) = shard.segments
    segment = replace(one, id=id_of_whole(one.id))
    name = shard.name.removesuffix(f".{shard.piece.name}")
    return replace(shard, segments=(segment,), name=name, piece=None)


def id_of_whole(id_: str) -> str:
    """The id of a segment of which this may be a piece."""
    return id_.partition(_APART)[0]


def _written(times: NDArray[np.float64]) -> list[str]:
    """`repr` of each, in a third of its time where none has an exponent and none is infinite."""
    text = to_json(times.tolist()).decode()
    if any(sign in text for sign in ("e", "0.0000", "n")):
        return list(map(repr, times.tolist()))
    return text[1:-1].split(",") if len(times) else []
