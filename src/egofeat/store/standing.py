"""What a store has already, read without touching it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.store.description import NAME, Description
from egofeat.store.formats.registry import check_choice, open_shards
from egofeat.store.formats.shard import segments_in
from egofeat.store.rows import Failure, Key, keys
from egofeat.store.sidecar.failures import Tell, all_failures

Stamp = tuple[int, int, int, int]
"""Of what a segment was read from: a row of `ShardRows.media_stamps`."""


@dataclass(frozen=True)
class Standing:
    """How far a store is; of one that has not begun, nothing."""

    done: set[Key] = field(default_factory=set)
    """Segments in published shards."""
    failures: list[Failure] = field(default_factory=list)
    """Of what is not there, and windows lost of what is."""
    stamps: Mapping[Key, Stamp] = field(default_factory=dict)
    """Of what segments were read from, where that is known."""


def begun(store: Path) -> bool:
    """Whether a folder says what store it is.

    One that does not is no store yet: whoever began it was killed at once, or is about to.
    """
    return (store / NAME).is_file()


def survey(store: Path, tell: Tell = bool) -> Standing:
    """See how far a store is.

    Args:
        store: its folder; nothing need be there.
        tell: takes a sentence on what is passed over.

    Raises:
        StoreError: the store is damaged.
    """
    if not begun(store):
        return Standing()
    shards = open_shards(store, Description.read(store))
    done = segments_in(shards)
    stamps: dict[Key, Stamp] = {}
    for shard in shards:
        if (columns := shard.media_stamps) is not None:
            of_shard = keys(shard.ids, shard.starts, shard.stops)
            rows = ((size, at, first, rate) for size, at, first, rate in columns.tolist())
            stamps |= dict(zip(of_shard, rows, strict=True))
    return Standing(done, all_failures(store, done, None, tell), stamps)


def standing(store: Path) -> tuple[set[Key], list[Failure]]:
    """Segments in published shards, and failures; nothing without a store.

    Raises:
        StoreError: the store is damaged.
    """
    found = survey(store)
    return found.done, found.failures


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
                f"{store} was begun with --{option} {has}, not {asked}: leave --{option} out to "
                "join it, or choose another --out"
            )
    return existing.format, existing.compress
