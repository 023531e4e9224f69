"""Removing a store so that a process killed at any instant leaves none that looks whole.

The folder is renamed first, to a temporary name under which nothing looks for stores;
what a killed removal leaves under that name is for the next one to remove.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.store.description import NAME as STORE_JSON
from egofeat.store.description import Description
from egofeat.store.files import PREFIX, WORK, sync, temporary_path
from egofeat.store.formats.registry import format_of
from egofeat.store.reading.kept import NAME as INDEX
from egofeat.store.sidecar.box_table import NAME as BOXES_NPZ
from egofeat.store.sidecar.gaze import NAME as GAZE_NPZ
from egofeat.store.sidecar.segments import NAME as SEGMENTS_JSON

_WORKER = "prune"
_KNOWN = (STORE_JSON, SEGMENTS_JSON, GAZE_NPZ, BOXES_NPZ, INDEX, WORK, "shards")


def check_removable(path: Path) -> None:
    """Refuse what is no store, or holds anything besides a store.

    Raises:
        RequestError: the path is a link, has no store.json, or holds what is not a store's.
        StoreError: its store.json is damaged or of a newer schema.
    """
    if path.is_symlink():
        raise RequestError(f"{path} is a link: name the folder that it leads to")
    if not (path / STORE_JSON).is_file() and not is_shell(path):
        raise RequestError(
            f"{path} is not a feature store, it has no {STORE_JSON}: name the folder of one store, "
            "as `egofeat ls` lists it"
        )
    suffix = ""
    if (path / STORE_JSON).is_file():
        suffix = format_of(path, Description.read(path)).suffix
    for foreign in _foreign(path, suffix):
        raise RequestError(
            f"{path} holds {foreign}, which is not a store's: move it out of the store first"
        )


def is_shell(path: Path) -> bool:
    """Whether a folder is what a store's first moments leave when they are cut short.

    It is named as a store and has not begun to hold anything; the next run goes on with it.
    """
    if not re.fullmatch(r".+-[0-9a-f]{8}", path.name) or not path.is_dir():
        return False
    inside = [*path.iterdir(), *(path / "shards").glob("*")]
    own = (path / "shards", path / WORK)
    return all(one.name.startswith(PREFIX) or one in own for one in inside)


def remove_store(path: Path) -> None:
    """Remove the folder of a store; see `check_removable`."""
    path = path.resolve()  # a name such as `.` cannot be renamed
    temporary = temporary_path(path, _WORKER)
    path.rename(temporary)
    sync(path.parent)
    shutil.rmtree(temporary)


def half_removed(folder: Path) -> list[Path]:
    """List what killed removals left in a folder, whoever began them; sorted."""
    return sorted(folder.glob(f"{PREFIX}{_WORKER}~*"))


def remove_leftover(path: Path) -> None:
    """Finish the removal of what `half_removed` lists."""
    # Whoever began it may still be at it, on another machine: two get it done as well.
    shutil.rmtree(path, ignore_errors=True)


def _foreign(store: Path, suffix: str) -> Iterator[str]:
    """What in a store's folder, of shards with this suffix, was not put there by a store."""
    for path in sorted(store.iterdir()):
        failures = path.name.startswith("failures-") and path.suffix == ".jsonl"
        known = failures or path.name in _KNOWN
        if path.is_symlink() or not (known or path.name.startswith(PREFIX)):
            yield path.name
    for path in sorted((store / "shards").glob("*")):
        known = path.name.startswith(PREFIX) or (suffix != "" and path.name.endswith(suffix))
        if path.is_symlink() or not known:
            yield f"shards/{path.name}"
