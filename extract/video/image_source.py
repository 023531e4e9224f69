"""Frames that are already images: numbered files, read where they lie."""

import copy
import io
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from egofeat import console
from egofeat.errors import MediaError, UnreadableMediaError
from egofeat.extract.video.files import read_image, unread
from egofeat.extract.video.source import FrameSource, tensor_of
from egofeat.segments import Media

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MOST_PIXELS = 1 << 26
"""A larger image, such as one of 10,000 × 10,000, is refused before memory is taken for it."""
MOST_FRAMES = 10**12
"""A larger number in an image's name is no frame's, but perhaps a time."""


class ImageSource(FrameSource):
    """Images whose names end in the frame's number; gaps in the numbers are holes in time.

    Frame `n` is on show from `(n - first) / media.fps` seconds on, for `1 / media.fps`: in a hole
    nothing is. `first` is the number that `media.first_frame` says; where it says none, 1, or 0
    where there is an image of that number.

    Raises:
        UnreadableMediaError: the frame rate is not given.
        MediaError: there is no numbered image, or two have one number.
    """

    def __init__(self, media: Media, names: Iterable[str]) -> None:
        self.path = media.path
        if not media.fps:
            raise UnreadableMediaError(
                f"{self.path} holds frames, and its data set has no `fps:` in the manifest: add it"
            )
        numbered = sorted(
            (number, name) for name in names if (number := frame_number(name)) is not None
        )
        if not numbered:
            raise MediaError(f"{self.path} holds no numbered .jpg or .png: check the folder")
        largest, name = numbered[-1]
        if largest > MOST_FRAMES:
            raise MediaError(
                f"{self.path}: image {name[-80:]} has no frame's number: number the frames "
                "from 1 on"
            )
        numbers = np.array([number for number, _ in numbered])
        self._names = [name for _, name in numbered]
        twice = np.flatnonzero(np.diff(numbers) == 0)
        if len(twice):
            one, other = self._names[twice[0]], self._names[twice[0] + 1]
            raise MediaError(f"{self.path} has two images of one frame, {one} and {other}")
        first = self._first(media, int(numbers[0]))
        self.lasting = 1 / media.fps
        self.counting = (first, micro(media.fps))
        self.times = (numbers - first) / media.fps
        self.stop = float(numbers[-1] + 1 - first) / media.fps

    @property
    def entries(self) -> NDArray[np.int64]:
        """Every frame."""
        return np.arange(len(self.times))

    def again(self) -> "ImageSource":
        """Read the same images at the same time."""
        return copy.copy(self)

    def _first(self, media: Media, lowest: int) -> int:
        """Number of the frame shown at second 0."""
        if media.first_frame == "lowest":
            return lowest
        if media.first_frame is not None:
            return media.first_frame
        if lowest == 0:
            console.note_once(
                "numbered from 0",
                f"{self.path}: its images are numbered from 0, and image 0 is taken as second 0: "
                "to confirm it, write `first_frame: 0` in the manifest, otherwise `first_frame: 1`",
            )
        elif lowest > 1:
            seconds = (lowest - 1) / (media.fps or 1)
            console.note_once(
                "numbered from later",
                f"{self.path}: its images begin with number {lowest}, taken as second "
                f"{seconds:.3f} of a film that begins with 1: if they begin at second 0, add "
                f"`first_frame: {lowest}` to the manifest, or `first_frame: lowest`",
            )
        return min(lowest, 1)

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]:
        for index in wanted:
            name = self._names[index]
            encoded = self._read(name)
            try:
                frame = decode_frame(encoded)
            except MemoryError:
                raise UnreadableMediaError(
                    f"{self.path}: there is no memory left for image {name}: run again with fewer "
                    "threads"
                ) from None
            except Exception as error:  # Pillow raises many kinds for a damaged image
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                raise MediaError(
                    f"{self.path}: image {name} cannot be read ({reason.rstrip('.')}): copy it "
                    "again"
                ) from None
            yield index, frame

    @abstractmethod
    def _read(self, name: str) -> bytes:
        """Read an encoded image; raises `MediaError` of the cause."""


class FolderSource(ImageSource):
    """A folder of numbered images; its sub-folders are not read, but where names lie there."""

    def close(self) -> None:
        """Nothing stays open between frames."""

    def _read(self, name: str) -> bytes:
        return read_image(self.path / name)


def micro(fps: float) -> int:
    """A frame rate in millionths, as stamps of media hold it."""
    return round(fps * 1e6)


def names_in(folder: Path) -> list[str]:
    """Names of all that a folder holds.

    Raises:
        MediaError: see `unread`.
    """
    try:
        return [file.name for file in folder.iterdir()]
    except OSError as error:
        raise unread(folder, error) from None


def frame_number(name: str) -> int | None:
    """Last digits of an image's name, `frame_0000000012.jpg` → 12; None if it is no frame.

    Of more digits than anybody counts frames in, it is a number above `MOST_FRAMES`.
    """
    path = PurePosixPath(name)
    digits = re.search(r"[0-9]+$", path.stem)
    if not digits or path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return None
    plain = digits[0].lstrip("0")
    return int(plain or 0) if len(plain) < 18 else 10 * MOST_FRAMES


def decode_frame(encoded: bytes) -> "Tensor":
    """Decode a JPEG or PNG to RGB uint8 `[H, W, 3]`; grey is repeated, alpha dropped.

    Raises:
        ValueError: it is neither, its samples have more than 8 bits, or it claims to have more
            than `MOST_PIXELS`.
        Exception: Pillow cannot read it, for any reason.
    """
    kind = next((kind for magic, kind in _KINDS.items() if encoded.startswith(magic)), None)
    if kind is None:
        raise ValueError("it is no JPEG or PNG")
    with kind(io.BytesIO(encoded)) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it claims more than {MOST_PIXELS / 1e6:.0f} million pixels")
        if image.mode.startswith(("I", "F")):
            raise ValueError("its samples have more than 8 bits")
        return tensor_of(np.array(image.convert("RGB")))


# `Image.open` would try every format there is, and warn of sizes by itself.
_KINDS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
}
