"""One video file, which tells a failing disk from a file that ends or is damaged."""

import os
from collections.abc import Generator
from io import FileIO
from pathlib import Path

from av.error import FFmpegError

from egofeat.errors import MediaError, UnreadableMediaError
from egofeat.extract.video.files import NO_PLACE, is_folder, unread


class MediaFile:
    """A file opened once, so that all that is read of it is of one and the same.

    FFmpeg's demuxers take a failing read for the end of the file, or for damage, some
    without a word. So FFmpeg reads through Python, which keeps the first failure;
    whoever had FFmpeg read must ask `check_reads`.

    Raises:
        MissingMediaError: there is no such file.
        UnreadableMediaError: the system cannot open it.
        MediaError: it is empty, or no file but a folder, a pipe or a device.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: BaseException | None = None
        """The first, for who reads too much to call `check_reads` each time."""
        if is_folder(path):
            raise MediaError(f"{path} is a folder: name a file")
        try:
            self._raw = FileIO(path)
        except OSError as error:
            raise unread(path, error) from None
        try:
            self._state = self._stamp()
            if not self._state[0]:
                raise MediaError(f"{path} is empty: copy or download it again")
        except MediaError:
            self.close()
            raise

    def again(self) -> "MediaFile":
        """Open the same file once more, to be read at the same time; another in its place fails."""
        other = MediaFile(self.path)
        other._state = self._state
        return other

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self._state[0]

    def read(self, begin: int, size: int) -> bytes:
        """Bytes from a place on, beside what reads the view of the file; fewer at its end.

        Raises:
            UnreadableMediaError: the disk or the system failed.
        """
        try:
            place = self._raw.tell()
            try:
                self._raw.seek(begin)
                return self._raw.read(size)
            finally:
                self._raw.seek(place)
        except (OSError, MemoryError) as error:
            self.failure = self.failure or error
            self.check_reads()
            raise

    def view(self) -> "FileView":
        """The file to read from its start; whoever read it before must have ended."""
        self._raw.seek(0)
        return FileView(self.path, self._raw, self._reads())

    def check_reads(self, error: Exception | None = None) -> None:
        """Raise what failed since the file was opened, if it was not its content.

        Args:
            error: what FFmpeg or PyAV raised; passed over where it tells of the content.

        Raises:
            UnreadableMediaError: the disk or the system failed.
        """
        # FFmpeg's own errors of the system's names tell of the content, but for memory.
        of_content = isinstance(error, FFmpegError) and not isinstance(error, MemoryError)
        if self.failure is None and not of_content and not _is_no_place(error):
            self.failure = error
        if isinstance(self.failure, OSError):
            raise unread(self.path, self.failure) from None
        if isinstance(self.failure, MemoryError):
            raise UnreadableMediaError(
                f"{self.path} cannot be read, memory is exhausted: run again with fewer `workers`"
            )
        if self.failure is not None:
            raise self.failure

    def check(self) -> None:
        """Make sure that all that was read so far was read well, and of one state of the file.

        Raises:
            UnreadableMediaError: the disk or the system failed, or the file was written to or
                cut off since it was opened.
        """
        self.check_reads()
        if self._stamp() != self._state:
            raise UnreadableMediaError(
                f"{self.path} changed while it was read: try again when it is complete"
            )

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._raw.close()

    def _reads(self) -> Generator[bytes, int]:
        """Answer sizes with content; with nothing after the first failure.

        A generator, since Python interrupts where it begins to run what is called: in a function
        that is before its `try`, and PyAV drops an interruption; here it is inside.
        """
        content = b""
        while True:
            try:
                while True:
                    size = yield content
                    content = self._raw.read(size) if self.failure is None else b""
            except GeneratorExit:
                return
            except BaseException as failure:
                self.failure, content = failure, b""

    def _stamp(self) -> tuple[int, int]:
        try:
            state = os.fstat(self._raw.fileno())
        except OSError as error:
            raise unread(self.path, error) from None
        return state.st_size, state.st_mtime_ns


class FileView:
    """What PyAV takes for a file."""

    def __init__(self, path: Path, raw: FileIO, reads: Generator[bytes, int]) -> None:
        next(reads)
        # FFmpeg takes what stands before a colon for a protocol; an absolute path has none.
        self.name = str(path.absolute())
        self.read = reads.send
        self.seek = raw.seek
        self.tell = raw.tell


def _is_no_place(error: Exception | None) -> bool:
    return isinstance(error, OSError) and error.errno in NO_PLACE
