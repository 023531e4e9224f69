"""Where a worker's features and failures go: a store, and the pieces of what is not whole yet."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from egofeat.errors import UnreadableMediaError
from egofeat.extract.pieces.files import Joined, LostRun, PieceFiles
from egofeat.extract.shards import Shard, id_of_whole, key_of, rest_of, whole_of
from egofeat.extract.video import FrameSource
from egofeat.extract.video.files import stamp_of
from egofeat.segments import Media, Segment
from egofeat.store import Failure, Key, ShardRows, StoreWriter


@dataclass
class StoreSink:
    """A store that is also told of which file a failure was, and joins the pieces of videos.

    Args:
        writer: of the store.
        board: folder of the board of all workers, beside which pieces lie.
        tell: told failures.
    """

    writer: StoreWriter
    board: Path
    tell: Callable[[list[Failure]], None] = lambda failures: None
    _media: dict[str, Media | FrameSource] = field(default_factory=dict)
    """Of the videos of all units that were taken."""
    _pieces: dict[str, Shard] = field(default_factory=dict)
    """Name to piece, of those that were taken."""
    _lost: dict[str, list[LostRun]] = field(default_factory=dict)
    """Id of a piece to its windows that are lost."""
    _failed: set[Key] = field(default_factory=set)
    """Videos of which a piece cannot be made."""
    _joined: int = 0
    _joining: threading.Lock = field(default_factory=threading.Lock)
    """A video is joined by the thread that takes its last unit, or by the one that writes."""

    def __post_init__(self) -> None:
        folder = self.board / "pieces" / self.writer.path.name
        self._files = PieceFiles(folder, self.writer.description.recipe, self.writer.worker)

    @property
    def scratch(self) -> Path:
        """Where shards are written."""
        return self.writer.scratch

    def expect(self, media: Mapping[str, Media | FrameSource], shard: Shard | None) -> None:
        """Be told of a unit's videos, and of what is made of them."""
        self._media |= media
        if shard and shard.piece:
            self._pieces[shard.name] = shard

    def rest(self, shard: Shard) -> Shard | None:
        """What is left of a shard now; a video of which the last piece is there is joined."""
        published = self.writer.published(shard.number)
        if shard.piece is None:
            return rest_of(shard, published)
        whole = key_of(whole_of(shard).segments[0])
        if whole in published or whole in self._failed:
            return None
        if not self._files.has(shard, stamp_of(self._media[shard.segments[0].video].path)):
            return shard
        self.join(shard)
        return None

    def write_shard(self, name: str, rows: ShardRows) -> None:
        """Publish the rows of one shard, or keep those of a piece."""
        shard = self._pieces.pop(name, None)
        if shard is None:
            self.writer.write_shard(name, rows)
            return
        self._files.keep(shard, rows, self._lost.pop(rows.ids[0], []), self.writer.made_with)
        self.join(shard)

    def record_failures(self, failures: list[Failure]) -> None:
        """Note what cannot be read, as it stands there now; of a piece, for the whole video."""
        whole = []
        for one in failures:
            if (id_ := id_of_whole(one.id)) == one.id:
                whole.append(one)
            elif one.windows:
                run = LostRun(one.start, one.stop, one.windows, one.reason, one.cause)
                self._lost.setdefault(one.id, []).append(run)
            elif (named := replace(one, id=id_)).key not in self._failed:
                self._failed.add(named.key)
                whole.append(named)
        if whole:
            files = {one.video: stamp_of(self._media[one.video].path) for one in whole}
            self.writer.record_failures([replace(one, file=files[one.video]) for one in whole])
            self.tell(whole)

    def join(self, piece: Shard) -> None:
        """Publish the video of a piece, if all of its pieces are there."""
        with self._joining:
            found = self._files.joined(piece, self.scratch)
            if found is None:
                return
            whole = whole_of(piece)
            if failures := _failures(found, whole.segments[0], self._media):
                self.record_failures(failures)
            if found.rows:
                self.writer.write_shard(whole.name, found.rows, found.made_with)
                self._joined += 1
            self._files.remove(piece)

    def take_joined(self) -> int:
        """How many videos were joined since this was asked for last."""
        joined, self._joined = self._joined, 0
        return joined


def _failures(
    found: Joined, one: Segment, media: Mapping[str, Media | FrameSource]
) -> list[Failure]:
    """What could not be read of a video: runs of windows, or all of it."""
    if found.changed:
        reason = f"{media[one.video].path} changed while it was read: extract it again when it is "
        cause = UnreadableMediaError.cause
        return [Failure(one.id, one.video, one.start, one.stop, f"{reason}complete", cause)]
    if found.rows is None:
        first = found.lost[0]
        return [Failure(one.id, one.video, one.start, one.stop, first.reason, first.cause)]
    return [Failure(one.id, one.video, **run._asdict()) for run in found.lost]
