"""The decoders of an NVIDIA card behind the contract, by PyAV, in the same exact index.

Frames stay on the card, where they become RGB. What it cannot decode, the CPU decodes.
"""

import atexit
import threading
from pathlib import Path

import torch
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from torch import Tensor

from egofeat import console
from egofeat.errors import MediaError, RequestError
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.nv12 import to_rgb
from egofeat.extract.video.picture import Painter
from egofeat.extract.video.pyav_source import PyavSource

KEPT = 16
"""Decoders at most that wait for the next video: each holds some ten frames of the card."""
_FORMATS = ("yuv420p", "yuvj420p")
"""Of which the card makes NV12, 8 bits."""

Kind = tuple[object, ...]
"""What videos have in common that one decoder can read: codec and its parameters, size, turn."""


def check_card() -> None:
    """Refuse where no card decodes.

    Raises:
        RequestError: there is none, or FFmpeg does not know it.
    """
    if not torch.cuda.is_available() or "cuda" not in hwdevices_available():
        raise RequestError(
            "the decoder nvdec needs an NVIDIA GPU, and this machine has none that PyTorch and "
            "PyAV can use: choose pyav"
        )


class NvdecSource(PyavSource):
    """A video file of which the card decodes the frames; see `PyavSource`.

    Args:
        path: the file.
        like: a source of the same file, whose index is taken over.

    Raises:
        MediaError: the file cannot be opened or shows no frame.
        RequestError: there is no card.
    """

    def __init__(self, path: Path, like: "NvdecSource | None" = None) -> None:
        check_card()
        self._card: torch.device = like._card if like else current_card()
        self._kind: Kind | None = like._kind if like else None
        """None: it is decoded by the CPU."""
        self._known = like is not None
        self._lent: VideoCodecContext | None = None
        """Decoder that goes to the next video."""
        super().__init__(path, like)
        if self._kind:
            self._painter = CardPainter(self._card)

    def again(self) -> "NvdecSource":
        """Open the video once more, for another pass at the same time; it is not indexed again."""
        return NvdecSource(self.path, like=self)

    def close(self) -> None:
        """Close the file, and leave its decoder to the next video; closing twice is fine."""
        self._leave()
        super().close()

    def _read_anew(self) -> VideoReader:
        self._leave()
        if not self._known:
            self._kind, self._known = self._kind_of_file(), True
        if self._kind is None:
            return super()._read_anew()
        decoder = DECODERS.take(self._kind)
        accelerate = None if decoder else accelerator(self._card)
        try:
            reader = VideoReader(self._file, accelerate=accelerate, decoder=decoder)
        except MediaError:  # the CPU opened it before: the card has no room, or is lost
            self._kind = None
            console.note_once("nvdec", f"the GPU gives {self.path} no decoder: the CPU decodes it")
            return super()._read_anew()
        self._lent = reader.decoder
        return reader

    def _leave(self) -> None:
        if self._lent and self._kind:
            DECODERS.leave(self._kind, self._lent)
        self._lent = None

    def _kind_of_file(self) -> Kind | None:
        """By its first frame, which the CPU decodes; None of what the card cannot decode."""
        with VideoReader(self._file) as reader:
            frame, codec = reader.next_frame(), reader.decoder.codec
            if frame is None:
                return None
            even = frame.width % 2 == frame.height % 2 == 0
            if not (even and frame.format.name in _FORMATS and decodes(codec)):
                _say(codec.canonical_name, frame.format.name, even)
                return None
            decoder, painter = reader.decoder, Painter()
            painter.look_at(frame)
            turned = None if painter.matrix is None else painter.matrix.tobytes()
            sizes = (frame.width, frame.height, decoder.has_b_frames, self._card)
            return (codec.name, decoder.extradata, turned, *sizes)


class CardPainter(Painter):
    """Converts frames on the card; those that the CPU decoded nevertheless are sent there.

    So the frames of one video are in one place, whoever decoded them. The host waits for nothing:
    FFmpeg is given PyTorch's context, and both work in its default stream, so that the decoder
    writes over a picture only after the kernels that were launched to read it.

    Args:
        card: which.
    """

    def __init__(self, card: torch.device) -> None:
        super().__init__()
        self._card = card

    def paint(self, frame: VideoFrame) -> Tensor:
        """Convert to contiguous uint8 `[H, W, 3]` on the card, turned as the file asks."""
        planes = planes_of(frame)
        if planes is None:
            _say("", frame.format.name, True)
            return super().paint(frame).to(self._card)
        self.look_at(frame)
        return self.turned(to_rgb(*planes, frame.colorspace, frame.color_range))


class Decoders:
    """Decoders of the card that no video reads by now, the oldest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Kind, VideoCodecContext]] = []
        self._lock = threading.Lock()

    def take(self, kind: Kind) -> VideoCodecContext | None:
        """One that reads such videos, as if it were new; None where there is none."""
        with self._lock:
            for place, (of, decoder) in enumerate(self._waiting):
                if of == kind:
                    del self._waiting[place]
                    decoder.flush_buffers()
                    return decoder
        return None

    def clear(self) -> None:
        """Keep none."""
        self._waiting.clear()

    def leave(self, kind: Kind, decoder: VideoCodecContext) -> None:
        """Keep one for the next such video."""
        with self._lock:
            self._waiting.append((kind, decoder))
            del self._waiting[:-KEPT]


DECODERS = Decoders()
atexit.register(DECODERS.clear)  # before the driver goes


def planes_of(frame: VideoFrame) -> tuple[Tensor, Tensor] | None:
    """Luma `[H, W]` and chroma `[h, w, 2]` of a frame on the card; None of one on the host."""
    if frame.format.name != "cuda":
        return None
    # By capsules: PyAV refuses the stream that torch would name, and writes in the default one.
    luma, chroma = (torch.utils.dlpack.from_dlpack(one.__dlpack__()) for one in frame.planes)
    return luma, chroma


def current_card() -> torch.device:
    """The card that this thread uses."""
    return torch.device("cuda", torch.cuda.current_device())


def accelerator(card: torch.device) -> HWAccel | None:
    """A card, whose frames stay there; what it turns out not to decode, the CPU does."""
    return HWAccel("cuda", card.index, allow_software_fallback=True, is_hw_owned=True)


def decodes(codec: Codec) -> bool:
    """Whether FFmpeg can have a card decode it."""
    return any(one.device_type.name == "cuda" for one in codec.hardware_configs or ())


def _say(codec: str, form: str, even: bool) -> None:
    what = f"{codec} of {form}".strip() if even else f"{codec} of odd height or width"
    console.note_once(what, f"the GPU does not decode {what}: the CPU decodes such videos")
