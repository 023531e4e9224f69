"""Reading files that anybody may have written, before it is known what they hold."""

import os
import stat
from pathlib import Path

from egofeat.errors import StoreError


def read_bounded(path: Path, most: int) -> bytes:
    """Read a plain file of at most `most` bytes; nothing else is opened, and nothing waited for.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is a pipe, a device or a folder, or larger than that.
        StoreError: the disk fails.
    """
    try:
        # A pipe that is opened so does not wait for who writes to it; a device is not opened.
        if _plain(path.stat()):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if _plain(found) and found.st_size <= most:
                    return file.read(found.st_size)
                if _plain(found):
                    raise ValueError(f"it has {found.st_size} bytes, and at most {most} are read")
        raise ValueError("it is no plain file")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}): mend that and give the command again"
        ) from None


def _plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)
