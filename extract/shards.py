"""Which segments go into which shard, and which are decoded together: pure functions.

The cut depends on the segments alone, never on what is already done or who works, so a
run that was killed and resumed publishes the very files of one that was not. One that was asked
to stop has published what was whole of its open shards, and what is left of them makes others.
"""

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from egofeat.segments import Segment
from egofeat.store import Key

MAX_ROWS = 128
MAX_BYTES = 32 * 2**20


def key_of(segment: Segment) -> Key:
    """The identity of a segment across runs."""
    return (segment.id, segment.start, segment.stop)


@dataclass(frozen=True)
class Shard:
    """Segments that are published together."""

    number: int
    """Place in the whole cut, from 0."""
    segments: tuple[Segment, ...]
    name: str


@dataclass(frozen=True)
class Batch:
    """Shards that share videos: the least work that one machine takes on.

    Either one shard of several whole videos, or the several shards of one long video.
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
    videos: dict[str, list[Segment]] = {}
    for segment in sorted(segments, key=lambda s: (s.video, s.start, s.stop, s.id)):
        videos.setdefault(segment.video, []).append(segment)
    groups: list[list[Segment]] = []
    for members in videos.values():
        if groups and len(groups[-1]) + len(members) <= limit:
            groups[-1].extend(members)
        else:
            groups.append(members)
    batches = []
    number = 0
    for group in groups:
        pieces = [group[at : at + limit] for at in range(0, len(group), limit)]
        batches.append(Batch(tuple(shard_of(number + k, p) for k, p in enumerate(pieces))))
        number += len(pieces)
    return batches


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
        shards = []
        for shard in batch.shards:
            missing = [s for s in shard.segments if key_of(s) not in done]
            wanted = tuple(s for s in missing if key_of(s) not in skipped)
            if wanted:
                shards.append(Shard(shard.number, wanted, shard_of(shard.number, missing).name))
        if shards:
            left.append(Batch(tuple(shards)))
    return left


def shard_of(number: int, segments: Sequence[Segment]) -> Shard:
    """The shard that publishes these segments; its name says which they are."""
    identity = "\n".join(f"{s.id}\t{s.start!r}\t{s.stop!r}" for s in segments)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    return Shard(number, tuple(segments), f"{number:05d}-{digest}")
