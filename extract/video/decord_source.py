"""decord behind the contract. Not exact on every file: docs/decoding.md says where."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video.index import index_of
from egofeat.extract.video.source import FrameSource, tensor_of

if TYPE_CHECKING:
    from torch import Tensor


class DecordSource(FrameSource):
    """A video file read by decord, on the CPU.

    decord goes astray without a word on some files. What can be noticed is refused: the
    frames and times that it announces are held against the index of PyAV's packets.
    decord also decodes ahead of its reader without bound, so no reader is kept between
    scans: memory grows only while a scan waits for who consumes it.

    Raises:
        MediaError: the file cannot be opened, shows no frame, or decord announces others.
        RequestError: decord is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _decord()
        index = index_of(path)
        self.times, self.stop = index.times, index.stop
        reader = self._open()
        times = reader.get_frame_timestamp(np.arange(len(reader))).reshape(len(reader), -1)
        announced = times[:, 0].astype(np.float64) if len(reader) else np.empty(0)
        # decord keeps times as float32, whose step reaches a quarter millisecond in an hour.
        agree = index.timed and len(announced) == len(self.times)
        if not agree or np.abs(announced - announced[0] - self.times).max() > 1e-3:
            raise MediaError(
                f"{path} shows {len(self.times)} frames, of which decord announces "
                f"{len(announced)} or other times: use `decoder` pyav"
            )

    def again(self) -> "DecordSource":
        """Open the file afresh."""
        return DecordSource(self.path)

    def close(self) -> None:
        """Nothing stays open between scans."""

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]:
        reader = self._open()
        for index in wanted:
            try:
                yield index, tensor_of(reader[index].asnumpy())
            except (_decord().DECORDError, RuntimeError, IndexError, StopIteration) as error:
                raise MediaError(
                    f"{self.path}: decord cannot decode frame {index} "
                    f"({_first_line(error)}): use `decoder` pyav"
                ) from None

    def _open(self) -> Any:
        decord = _decord()
        try:
            return decord.VideoReader(str(self.path), num_threads=1)
        except (decord.DECORDError, RuntimeError, AssertionError) as error:
            raise MediaError(
                f"{self.path} cannot be opened by decord ({_first_line(error)}): use `decoder` pyav"
            ) from None


def _decord() -> Any:
    try:
        import decord  # noqa: PLC0415
    except (ImportError, OSError):
        raise RequestError(
            "decord is not installed: pip install decord (64-bit x86 only), or `decoder` pyav"
        ) from None
    # Its FFmpeg talks to the terminal of things that are handled here.
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
