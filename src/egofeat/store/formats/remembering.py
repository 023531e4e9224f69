"""A file for libraries that lose the errors of their writes."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class RememberingFile:
    """A new file whose first error is raised when it is left, whoever swallowed it before.

    HDF5 writes much of a file only when it closes it; then it drops errors, or crashes on them.
    Here it never sees any: after the first one nothing more is written, and all goes well until
    the end.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._place = 0
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            os.close(self._file)
        except OSError as late:
            self._failure = self._failure or late
        if self._failure:
            raise self._failure from None

    def _try(self, call: Callable[[], None]) -> None:
        if self._failure is None:
            try:
                call()
            except BaseException as error:  # an interruption in a callback would be lost too
                self._failure = error

    def write(self, content: Any) -> int:
        """Write bytes at the place where it stands."""
        part = memoryview(content).cast("B")
        place, size = self._place, len(part)

        def put() -> None:
            written = 0
            while written < size:
                written += os.pwrite(self._file, part[written:], place + written)

        self._try(put)
        self._place += size
        return size

    def readinto(self, buffer: Any) -> int:
        """Read back bytes from the place where it stands."""
        part = memoryview(buffer).cast("B")
        place = self._place

        def get() -> None:
            part[:] = os.pread(self._file, len(part), place)

        self._try(get)
        self._place += len(part)
        return len(part)

    def read(self, size: int = -1) -> bytes:
        """So many bytes from the place where it stands; all to the end, if negative."""
        left = max(0, os.fstat(self._file).st_size - self._place)
        content = bytearray(left if size < 0 else min(size, left))
        self.readinto(content)
        return bytes(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Stand at an offset from the start, from the present place or from the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}
        self._place = offset + (start[whence] if whence in start else os.fstat(self._file).st_size)
        return self._place

    def tell(self) -> int:
        """Offset of the place where it stands."""
        return self._place

    def truncate(self, size: int) -> int:
        """Give the file a size."""
        self._try(lambda: os.ftruncate(self._file, size))
        return size

    def flush(self) -> None:
        """Nothing waits here."""
