"""A zip of frames, read in place, its images stored or deflated."""

import copy
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from egofeat.errors import MediaError
from egofeat.extract.video.files import MOST_BYTES, brief, too_large, unread
from egofeat.extract.video.image_source import ImageSource
from egofeat.segments import Media


def _opened(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except OSError as error:
        raise unread(path, error) from None
    except Exception as error:  # zipfile raises many kinds for what no program writes
        raise MediaError(f"{path} is not a whole zip ({brief(error)}): pack it again") from None


def members_of(path: Path) -> dict[str, ZipInfo]:
    """Every file in a zip, by name; of two of one name the last.

    Raises:
        MediaError: the file is absent, no zip, or cut off.
    """
    with _opened(path) as archive:
        return {
            info.filename: info for info in archive.infolist() if not info.filename.endswith("/")
        }


class ZipSource(ImageSource):
    """A zip of numbered images; nothing is ever written to disk.

    Raises:
        MediaError: the file is absent, no zip, cut off, or holds no numbered image.
    """

    def __init__(self, media: Media, members: Mapping[str, ZipInfo]) -> None:
        self._members = members
        super().__init__(media, members)
        self._archive = _opened(media.path)

    def again(self) -> "ZipSource":
        """Open the file once more."""
        other = copy.copy(self)
        other._archive = _opened(self.path)
        return other

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._archive.close()

    def _read(self, name: str) -> bytes:
        info = self._members[name]
        if info.file_size > MOST_BYTES:
            raise too_large(f"{self.path}: image {name}")
        try:
            return self._archive.read(info)
        except OSError as error:
            raise unread(self.path, error) from None
        except Exception as error:  # of a lock, a method, a checksum, a damaged stream
            raise MediaError(
                f"{self.path}: image {name} cannot be read ({brief(error)}): pack it again"
            ) from None
