"""Reading files that anybody may have written, before it is known what they hold."""

import os
import stat
from pathlib import Path

from egofeat.errors import StoreError
from egofeat.store.damage import open_plain


def read_bounded(path: Path, most: int) -> bytes:
    """Read a plain file of at most `most` bytes; nothing else is opened, and nothing waited for.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is a pipe, a device or a folder, or larger than that.
        StoreError: the disk fails.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device is not opened
            raise ValueError("it is no plain file")
        descriptor, size = open_plain(path)
        with os.fdopen(descriptor, "rb") as file:
            if size > most:
                raise ValueError(f"it has {size} bytes, and at most {most} are read")
            return file.read(size)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}): correct that and give the command again"
        ) from None
