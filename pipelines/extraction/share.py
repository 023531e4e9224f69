"""What there is to do of an extraction: this part's share, what of it is there, what is left."""

import math
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from egofeat import console
from egofeat.errors import LASTING, MediaError, MissingMediaError
from egofeat.extract.pieces.cut import FILE_BYTES_A_SECOND, seconds_of_piece
from egofeat.extract.shards import Batch, Shard, cut, cut_videos, key_of, part, shards_in, without
from egofeat.extract.video.files import is_folder, stamp_of
from egofeat.extract.video.image_source import micro
from egofeat.pipelines.extraction.wanted import Wanted
from egofeat.pipelines.options import Compute
from egofeat.recipe import Windows
from egofeat.segments import Media, Segment, Segments, Texts, column_of, texts
from egofeat.store import Failure
from egofeat.store.progress import Progress, Stamp, progress_of
from egofeat.store.writer import packing

Asked = TypeVar("Asked", bound=Wanted)
Asked_co = TypeVar("Asked_co", bound=Wanted, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Share(Generic[Asked_co]):
    """One job's share for this part, and how far it is."""

    job: Asked_co
    part: tuple[int, int]
    """Number of this part, from 1, and how many parts there are."""
    batches: list[Batch]
    parts_with_work: int
    """Of the parts that there are; each has a batch or more."""
    compress: str | None
    progress: Progress
    left: list[Batch]
    """To be decoded: neither there, nor damaged, nor missing."""
    missing: list[Failure]
    """Of segments that are not there because their media are not."""
    changed: list[str]
    """Videos whose file is no longer the one that its features were made of."""

    @cached_property
    def wanted(self) -> Segments:
        """Every segment of the share."""
        return segments_of(self.batches)

    @cached_property
    def to_extract(self) -> Segments:
        """Those that are left."""
        return segments_of(self.left)

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return not (self.left or self.missing or self.progress.failures)

    @property
    def idle(self) -> str:
        """Why the share is empty though others are not; empty where it is not."""
        number, parts = self.part
        if self.batches or not self.parts_with_work:
            return ""
        have = "1 part has" if self.parts_with_work == 1 else f"{self.parts_with_work} parts have"
        return f"part {number}/{parts} has no {self.job.unit}: {have} all of them"

    @property
    def renewed_by(self) -> str:
        """What extracts changed videos again."""
        if self.job.persons:
            return f"`egofeat prune --yes {shlex.quote(str(self.job.store))}` and the same command"
        name = shlex.quote(self.job.dataset.name)
        return f"`egofeat reextract --all {name}`, with the same `manifest` and `out`,"

    @property
    def splits(self) -> dict[str, int]:
        """Split to how many segments of it are in the share."""
        return dict(Counter(_column(shards_in(self.batches), "splits").tolist()))

    @property
    def count(self) -> int:
        """How many segments are in the share."""
        return sum(len(shard.segments) for shard in shards_in(self.batches))


def shares_of(jobs: Sequence[Asked], compute: Compute) -> list[Share[Asked]]:
    """The share of each job's cut that is this part's, and what is left of it.

    Jobs that share a decode share the cut, so that each part has whole videos of all.

    Raises:
        RequestError: a store has its shards in another format than is asked for.
        StoreError: a store is damaged.
    """
    absent: dict[str, str] = {}
    seen: set[str] = set()
    return [_share(job, compute, whole, absent, seen) for job, whole in _cuts(jobs)]


def _cuts(jobs: Sequence[Asked]) -> Iterator[tuple[Asked, list[Batch]]]:
    """Each job with the cut of all its segments."""
    if isinstance(jobs[0].recipe.plan, Windows):
        sizes: dict[str, int] = {}
        media = jobs[0].dataset.media
        seconds = min(seconds_of_piece(job.recipe) for job in jobs)

        def size_of(video: str) -> int:
            if video not in sizes:
                sizes[video] = stamp_of(media[video].path)[0]
            return sizes[video]

        for job in jobs:
            yield job, cut_videos(job.segments, size_of, seconds * FILE_BYTES_A_SECOND)
    else:
        row_bytes = max(job.segment_bytes for job in jobs)
        for job in jobs:
            yield job, cut(job.segments, row_bytes)


def segments_of(batches: Iterable[Batch]) -> Segments:
    """Segments of batches, in order."""
    return Segments.join(shard.segments for shard in shards_in(batches))


def _share(
    job: Asked, compute: Compute, whole: list[Batch], absent: dict[str, str], seen: set[str]
) -> Share[Asked]:
    storage = job.storage
    _, compress = packing(job.store, storage.format, storage.compress)
    if compress and storage.compress is None:
        console.note(f"{job.store} was begun with `compress` {compress} and keeps it")
    progress = progress_of(job.store, console.note)
    batches = part(whole, *compute.part)
    media = job.dataset.media
    there = _there(batches, progress)
    if compute.retry_failed:  # windows that a shard lacks are wanted again
        there = set()
    begun = _but(batches, there)
    unsure = segments_of(begun)
    done = progress.done if unsure else set()
    if compute.retry_failed:  # videos that are there but for windows are tried again whole
        done = done - {(one.id, 0.0, math.inf) for one in progress.failures if one.windows}
    damaged = {
        one.key
        for one in progress.failures
        if not (one.windows or one.cause not in LASTING or compute.retry_failed)
        and not (one.video in media and _is_another(media[one.video], one.file))
    }
    open_ = unsure.where(key not in done and key not in damaged for key in unsure.keys)
    for video in dict.fromkeys(open_.videos.tolist()):
        if video not in seen:
            seen.add(video)
            if reason := _absence(job.dataset.media[video]):
                absent[video] = reason
    without_media = open_.where(video in absent for video in open_.videos.tolist())
    return Share(
        job=job,
        part=compute.part,
        batches=batches,
        parts_with_work=min(compute.part[1], len(whole)),
        compress=compress,
        progress=progress,
        left=without(begun, done, damaged | set(without_media.keys)) if open_ else [],
        missing=[
            Failure(s.id, s.video, s.start, s.stop, absent[s.video], MissingMediaError.cause)
            for s in without_media
            if key_of(s) not in progress.done
        ],
        changed=changed_videos(job, unsure, progress, there),
    )


def _there(batches: Iterable[Batch], progress: Progress) -> Set[str]:
    """Names of shards that are published as they are cut; none where videos are called anew."""
    shards = [one for one in shards_in(batches) if progress.holds(one.name, len(one.segments))]
    names = [one.name for one in shards]
    return set(names) if progress.are_of(names, _column(shards, "videos")) else set()


def _column(shards: Iterable[Shard], name: str) -> Texts:
    """One column of texts of all segments of shards, in order."""
    return np.concatenate([texts(()), *(column_of(one.segments, name) for one in shards)])


def _but(batches: Iterable[Batch], there: Set[str]) -> list[Batch]:
    """Batches without the shards of some names."""
    kept = (tuple(s for s in batch.shards if s.name not in there) for batch in batches)
    return [Batch(shards) for shards in kept if shards]


def changed_videos(
    job: Wanted, segments: Iterable[Segment], progress: Progress, shards: Collection[str] = ()
) -> list[str]:
    """Videos of which a segment was read from another file than now stands there, by name.

    Or from images that the manifest counts otherwise now.

    Args:
        job: whose media now stand there.
        segments: which are looked at.
        progress: of the store.
        shards: names of those whose segments are looked at too.
    """
    columns = Segments.of(segments)
    found = progress.sources(shards)
    if columns:
        stamps = map(progress.stamps.get, columns.keys)
        pairs = zip(columns.videos.tolist(), stamps, strict=True)
        found |= {(video, stamp) for video, stamp in pairs if stamp}
    media = job.dataset.media
    return sorted({video for video, stamp in found if _is_changed(media[video], stamp)})


def _is_changed(media: Media, then: Stamp) -> bool:
    *file, first, rate = then
    now = stamp_of(media.path)
    if file[0] >= 0 and now[0] >= 0 and now != tuple(file):
        return True
    if rate < 0:  # a video carries its own times
        return False
    told = media.first_frame  # what follows from the images is not looked for among them all
    firsts = (0, 1) if told is None else (first if told == "lowest" else told,)
    return first not in firsts or (media.fps is not None and micro(media.fps) != rate)


def _is_another(media: Media, file: tuple[int, int] | None) -> bool:
    """Whether another file stands where a damaged one was."""
    return file is not None and stamp_of(media.path) != file


def _absence(media: Media) -> str | None:
    """Why media are not there; None where they are, readable or not."""
    try:
        is_folder(media.path)
    except MissingMediaError as error:
        return str(error)
    except MediaError:
        return None
    return None
