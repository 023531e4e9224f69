"""Publishing a shard: written under another name, read back, and only then given its own."""

import errno
from pathlib import Path

from egofeat.errors import StoreError
from egofeat.store.damage import writing
from egofeat.store.files import copy, publish, remove_at_last, sync_tree, temporary_path
from egofeat.store.formats.shard import Content, ShardFormat
from egofeat.store.formats.soundness import faults_of


def publish_shard(
    form: ShardFormat,
    path: Path,
    content: Content,
    compress: str | None,
    worker: str,
    stage: Path | None = None,
) -> None:
    """Write a shard, over an older one of that name; at every instant it is whole or absent.

    Args:
        form: of the shard.
        path: where it is published.
        content: of it.
        compress: how it is compressed, None if it is not.
        worker: name of this process among those that write to the store.
        stage: folder of a local disk in which it is written, before it is copied whole.

    Raises:
        StoreError: the disk refuses, or gives back other bytes; nothing is published.
    """
    temporary = temporary_path(path, worker)
    staged = temporary_path(stage / path.name, worker) if stage else temporary
    try:
        with writing(path):
            form.write(staged, content, compress)
            if stage:
                copy(staged, temporary)
            sync_tree(temporary)
            _read_back(form, temporary, content)
            publish(temporary, path, worker)
    except BaseException:
        remove_at_last(temporary)  # on a full disk the room is wanted
        raise
    finally:
        if stage:
            remove_at_last(staged)


def _read_back(form: ShardFormat, temporary: Path, content: Content) -> None:
    """Refuse a shard of which the disk gives back other bytes than it was given."""
    try:
        shard = form.open(temporary)
        faults = [message for _, message in faults_of(shard, form)]
    except StoreError as error:
        faults = [str(error)]
    else:
        if shard.checksums != content.checksums or sorted(shard.taps) != sorted(content.taps):
            faults.append("it holds other columns")
    if faults:
        raise OSError(errno.EIO, f"it is not read back as it was written, {faults[0]}")
