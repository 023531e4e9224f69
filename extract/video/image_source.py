"""Frames that are already images: numbered files, read where they lie."""

import io
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from egofeat.errors import MediaError
from egofeat.extract.video.source import FrameSource
from egofeat.segments import Media

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class ImageSource(FrameSource):
    """Images whose names end in the frame's number; gaps in the numbers are no frames.

    Frame `n` is shown at `(n - media.first_frame) / media.fps` seconds.

    Raises:
        MediaError: the frame rate is not given, there is no numbered image, or two
            images have one number.
    """

    def __init__(self, media: Media, names: Iterable[str]) -> None:
        self.path = media.path
        if not media.fps:
            raise MediaError(f"{self.path} has no frame rate: give `fps` in the manifest")
        numbered = sorted(
            (number, name) for name in names if (number := frame_number(name)) is not None
        )
        if not numbered:
            raise MediaError(f"{self.path} holds no numbered .jpg or .png: check the folder")
        numbers = np.array([number for number, _ in numbered])
        self._names = [name for _, name in numbered]
        twice = np.flatnonzero(np.diff(numbers) == 0)
        if len(twice):
            one, other = self._names[twice[0]], self._names[twice[0] + 1]
            raise MediaError(f"{self.path} has two images of one frame, {one} and {other}")
        self.times = (numbers - media.first_frame) / media.fps
        self.stop = float(numbers[-1] + 1 - media.first_frame) / media.fps

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for index in wanted:
            name = self._names[index]
            try:
                frame = decode_frame(self._read(name))
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                reason = str(error).strip().splitlines()[0].rstrip(".")
                raise MediaError(
                    f"{self.path}: image {name} cannot be read ({reason}): copy it again"
                ) from None
            yield index, frame

    @abstractmethod
    def _read(self, name: str) -> bytes: ...


class FolderSource(ImageSource):
    """A folder of numbered images; its sub-folders are not read, but where `names` lie there."""

    def __init__(self, media: Media, names: Iterable[str] | None = None) -> None:
        files = media.path.iterdir()
        super().__init__(media, (file.name for file in files) if names is None else names)

    def close(self) -> None:
        """Nothing stays open between frames."""

    def _read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


def frame_number(name: str) -> int | None:
    """Last digits of an image's name, `frame_0000000012.jpg` → 12; None if it is no frame."""
    stem, suffix = Path(name).stem, PurePosixPath(name).suffix.lower()
    digits = re.search(r"(\d+)$", stem)
    hidden = stem.startswith(".")
    return int(digits[1]) if digits and suffix in SUFFIXES and not hidden else None


def decode_frame(encoded: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to RGB uint8 `[H, W, 3]`; grey is repeated, alpha dropped.

    Raises:
        OSError, SyntaxError: Pillow cannot read it.
        ValueError: its samples have more than 8 bits.
        DecompressionBombError: it claims to be over 178 million pixels.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("its samples have more than 8 bits")
        return np.array(image.convert("RGB"))
