"""Setting a store aside when a newer one takes its name; it stays until it is pruned."""

import errno
import itertools
import re
from pathlib import Path

from egofeat.store.files import sync


def supersede(path: Path) -> Path:
    """Rename a store to `<its name>.superseded-<n>`, with the first free n from 1.

    At every instant the store stands whole under one of the two names.
    """
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.superseded-{number}")
        try:
            path.rename(aside)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another store stands there
                continue
            raise
        sync(path.parent)
        break
    return aside


def is_superseded(path: Path) -> bool:
    """Whether a folder's name says that a newer store took its place."""
    return re.fullmatch(r".+\.superseded-\d+", path.name) is not None
