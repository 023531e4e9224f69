"""torchcodec behind the contract, in its exact mode."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video.index import index_of
from egofeat.extract.video.source import FrameSource

if TYPE_CHECKING:
    from torch import Tensor


class TorchcodecSource(FrameSource):
    """A video file read by torchcodec on the CPU.

    torchcodec gives no list of times, so the index of PyAV's packets gives it, and every
    decoded frame's own time is held against it: a frame that is another is an error.

    Raises:
        MediaError: the file cannot be opened, shows no frame, or torchcodec counts its
            frames differently.
        RequestError: torchcodec, or the FFmpeg libraries that it needs, are not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        decoder_class = _decoder_class()
        self._index = index_of(path)
        self.times, self.stop = self._index.times, self._index.stop
        try:
            self._decoder = decoder_class(
                str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
        except (RuntimeError, ValueError) as error:
            if "libtorchcodec" in str(error):
                raise _unloaded(error) from None
            raise MediaError(
                f"{path} cannot be opened by torchcodec ({_brief(error)}): use `decoder` pyav"
            ) from None
        if not self._index.timed or len(self._decoder) != len(self.times):
            raise MediaError(
                f"{path} shows {len(self.times)} frames, of which torchcodec counts "
                f"{len(self._decoder)} or cannot tell the order: use `decoder` pyav"
            )

    def again(self) -> "TorchcodecSource":
        """Open the file afresh."""
        return TorchcodecSource(self.path)

    def close(self) -> None:
        """Let go of the decoder, which closes its file."""
        self._decoder = None

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]:
        for index in wanted:
            try:
                frame = self._decoder.get_frame_at(index)
            except (RuntimeError, IndexError) as error:
                raise MediaError(
                    f"{self.path}: torchcodec cannot decode frame {index} "
                    f"({_brief(error)}): use `decoder` pyav"
                ) from None
            due = float(int(self._index.pts[index]) * self._index.unit)
            if not math.isclose(frame.pts_seconds, due, abs_tol=float(self._index.unit) / 2):
                raise MediaError(
                    f"{self.path}: torchcodec gives the frame at {frame.pts_seconds:.4f} s "
                    f"instead of that at {due:.4f} s: use `decoder` pyav"
                )
            yield index, frame.data


def _decoder_class() -> Any:
    try:
        from torchcodec import decoders  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        raise _unloaded(error) from None
    return decoders.VideoDecoder  # type: ignore[attr-defined, unused-ignore]


def _unloaded(error: BaseException) -> RequestError:
    return RequestError(
        f"torchcodec does not load ({_brief(error)}): pip install egofeat[torchcodec], with "
        "FFmpeg's shared libraries on the system, or use `decoder` pyav"
    )


def _brief(error: BaseException) -> str:
    """First line of an error, without its full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".: ")
