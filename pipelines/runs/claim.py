"""Which folder a training goes to, and that it is the only one there."""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads.checkpoint import WORKER
from egofeat.names import check_name
from egofeat.pipelines.runs.config import RunConfig, read_config
from egofeat.store.files import PREFIX, remove_leftovers

_LOCK = ".lock"
_MOST_WORDS = 3
"""Of a name, that say what is different about a run."""
_LONGEST_WORD = 40
_NO_MATTER = ("device", "device_cache")
"""Where a head is trained is nothing that a run is called by."""
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


@contextlib.contextmanager
def claim(out: Path | None, config: RunConfig) -> Iterator[Path]:
    """Hold a run's folder: the one named, or the first that is free or this run's own.

    The lock is the system's, and gone with the process that has it, however that ends. Where a
    file system has no locks, two trainings of one folder are not told apart.

    Args:
        out: the one named; None means `runs/<dataset>-<head>`, and when that is another run's, what
            is different about this one is added, `…-seed1`, then a number.
        config: what its config.yaml is to say.

    Raises:
        RequestError: the folder named holds something else, or another process trains there.
    """
    for path in _candidates(out, config):
        if not _fits(path, config):
            continue
        with locked(path / _LOCK) as held:
            if not held and (out is not None or _is_same(path, config)):
                raise RequestError(
                    f"another process is training in {path}: wait for it, or name another folder "
                    "with `out`"
                )
            if held and _fits(path, config):
                remove_leftovers(path, WORKER)
                yield path
                return
    raise RequestError(
        f"{out} holds another run, with other options, or other files: name another folder with "
        "`out`, or remove it"
    )


def _candidates(out: Path | None, config: RunConfig) -> Iterator[Path]:
    """Folders to look at, one after the other."""
    if out is not None:
        yield out
        return
    words = filter(None, (config.dataset, config.head, config.preset))
    stem = check_name("-".join(words), "run")
    yield Path("runs") / stem
    with contextlib.suppress(EgofeatError):  # what stands there may be no run
        differs = _differences(read_config(Path("runs") / stem), config)
        stem = "-".join([stem, *islice(differs, _MOST_WORDS)])
        yield Path("runs") / stem
    for number in count(2):
        yield Path("runs") / f"{stem}-{number}"


def _differences(there: RunConfig, config: RunConfig) -> Iterator[str]:
    """What is different about a run beside another, as words of a name: `i3d`, `map`, `seed1`."""
    told = False
    for words in (_named, _chosen):
        known, own = words(there), words(config)
        for name, word in own.items():
            # These say what no other word has said.
            if word != known.get(name) and not (name in ("digest", "data_seed") and told):
                yield re.sub(r"[^\w.+-]+", "_", word)[:_LONGEST_WORD]
                told = True


def _named(config: RunConfig) -> dict[str, str]:
    sources = config.sources
    return {
        "backbone": "+".join(one.recipe.network for one in sources),
        "tap": "+".join(one.tap for one in sources),
        "targets": "+".join(config.targets),
        "where": "+".join(config.splits.where) or "all",
        "normalize": "normalized" if config.normalize else "raw",
        "digest": "+".join(one.digest[:8] for one in sources),
    }


def _chosen(config: RunConfig) -> dict[str, str]:
    part = {"train_fraction": config.splits.train_fraction}
    chosen: dict[str, Any] = {**config.all_options, **part, **vars(config.trainer)}
    return {name: f"{name}{of}" for name, of in chosen.items() if name not in _NO_MATTER}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock file, which goes when it is let go; False where another process has it."""
    file = _open_locked(path)
    try:
        yield file is not None
    finally:
        if file is not None:
            path.unlink(missing_ok=True)  # who has opened it meanwhile sees that it is gone
            file.close()
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # of a request that was refused, nothing stays


def _open_locked(path: Path) -> BinaryIO | None:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:  # the folder went with another's lock
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _TAKEN:
                return file  # the file system has no locks
            file.close()
            return None
        file.close()


def _fits(path: Path, config: RunConfig) -> bool:
    return _is_free(path) or _is_same(path, config)


def _is_free(path: Path) -> bool:
    """Say whether there is nothing, or what a training leaves that is killed at once."""
    if not path.is_dir():
        return not path.exists()
    before = ".*.tmp"  # how an earlier egofeat named what is half written
    remains = (_LOCK, f"{PREFIX}*", before)
    return all(any(map(one.match, remains)) for one in path.iterdir())


def _is_same(path: Path, config: RunConfig) -> bool:
    """Say whether the folder's config asks for this very training, wherever the files lie."""
    try:
        return read_config(path).asks_the_same(config)
    except EgofeatError:
        return False
