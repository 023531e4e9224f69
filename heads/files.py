"""Files of a run: whole or absent, whatever instant the process is killed at."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, over what stood there.

    A run has one writer, so one temporary name will do, and what a kill leaves under it
    is overwritten the next time.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
