"""Beginning a store with shards of another one of the same recipe, without copying their bytes."""

import itertools
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from egofeat.store.damage import MovedError, writing
from egofeat.store.description import Description
from egofeat.store.files import publish, remove_leftovers, sync_tree, temporary_path
from egofeat.store.reading.index import shards_of
from egofeat.store.rows import Key
from egofeat.store.sidecar.failures import all_failures, failures_path, write_failures

_WORKER = "share"


def share_shards(source: Path, target: Path, fit: Callable[[Key], bool]) -> None:
    """Begin a store, or go on with it, with those shards of another all of whose segments fit.

    Windows that were lost of their videos are noted again. The two stores name the same files where
    the disk allows it: shards are replaced and never written to, so that neither sees what becomes
    of the other.

    Args:
        source: folder of the store that has them.
        target: folder of the other; shards that it has stay.
        fit: whether a segment may be in it.

    Raises:
        StoreError: the source is damaged or changes, or the disk refuses.
    """
    folder = target / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, _WORKER)
    description = Description.read(source)
    shards = shards_of(source, description)
    lost = [
        failure
        for failure in all_failures(source, set(shards.keys), None)
        if failure.windows and fit((failure.id, 0.0, math.inf))
    ]
    write_failures(failures_path(target, _WORKER), lost, _WORKER)
    keys = iter(shards.keys)
    for number, count in enumerate(shards.by_shard["count"].tolist()):
        shard, segments = shards.path(number), list(itertools.islice(keys, count))
        place = folder / shard.name
        if place.exists() or not all(map(fit, segments)):
            continue
        with writing(place):
            temporary = temporary_path(place, _WORKER)
            _copy(shard, temporary)
            sync_tree(temporary)
            publish(temporary, place, _WORKER)
    description.create(target, _WORKER)


def _copy(shard: Path, place: Path) -> None:
    try:
        if shard.is_dir():
            shutil.copytree(shard, place, copy_function=_link)
        else:
            _link(str(shard), str(place))
    except OSError:
        if not shard.exists():
            raise MovedError(f"shard {shard}") from None
        raise


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no such thing on this disk, or another disk
        shutil.copy2(source, target)
