"""Beginning a store with shards of another one of the same recipe, without copying their bytes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from egofeat.store.damage import writing
from egofeat.store.description import Description
from egofeat.store.files import publish, remove_leftovers, sync_tree, temporary_path
from egofeat.store.formats import open_shards
from egofeat.store.rows import Key, keys

_WORKER = "share"


def share_shards(source: Path, target: Path, fit: Callable[[Key], bool]) -> None:
    """Begin a store, or go on with it, with those shards of another all of whose segments fit.

    The two name the same files where the disk allows it: shards are replaced and never written
    to, so that neither sees what becomes of the other.

    Args:
        source: folder of the store that has them.
        target: folder of the other; shards that it has stay.
        fit: whether a segment may be in it.

    Raises:
        StoreError: the source is damaged, or the disk refuses.
    """
    folder = target / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, _WORKER)
    description = Description.read(source)
    for shard in open_shards(source, description):
        place = folder / shard.path.name
        if place.exists() or not all(map(fit, keys(shard.ids, shard.starts, shard.stops))):
            continue
        with writing(place):
            temporary = temporary_path(place, _WORKER)
            if shard.path.is_dir():
                shutil.copytree(shard.path, temporary, copy_function=_link)
            else:
                _link(str(shard.path), str(temporary))
            sync_tree(temporary)
            publish(temporary, place, _WORKER)
    description.create(target, _WORKER)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no such thing on this disk, or another disk
        shutil.copy2(source, target)
