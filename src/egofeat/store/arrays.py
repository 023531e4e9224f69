"""Tables beside the shards: arrays by name in one file, written when they differ."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.files import replace_file, sync


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]] | None, worker: str) -> None:
    """Put arrays at `path`, over an older file; for None, there is none."""
    if arrays is None:
        if path.exists():
            path.unlink(missing_ok=True)
            sync(path.parent)
        return
    content = BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    if not path.exists() or path.read_bytes() != content.getvalue():
        replace_file(path, content.getvalue(), worker)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
    """Read the arrays of `names` from `path`; None when there is no file.

    Raises:
        StoreError: it is damaged, or lacks one.
    """
    try:
        # From memory: of a damaged file numpy would leave the handle open.
        with np.load(BytesIO(path.read_bytes())) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path} is damaged ({error}): delete it and run `egofeat extract` again, or for "
            "persons `egofeat roi`, which writes it anew and extracts nothing twice"
        ) from None
