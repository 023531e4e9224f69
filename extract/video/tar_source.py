"""A tar of frames, read in place: one pass over its headers, then straight to each image."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

from egofeat.errors import MediaError
from egofeat.extract.video.image_source import ImageSource
from egofeat.segments import Media

Span = tuple[int, int]
"""Byte at which a member begins, and its length."""


def members_of(path: Path) -> dict[str, Span]:
    """Every file in an uncompressed tar, by name.

    Raises:
        MediaError: the file is absent, no tar, or cut off.
    """
    if not path.exists():
        raise MediaError(f"{path} does not exist: check the path, or 'media' of the manifest")
    members: dict[str, Span] = {}
    try:
        with tarfile.open(path, mode="r:") as archive:
            while member := archive.next():
                if member.isreg():
                    members[member.name] = member.offset_data, member.size
                archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte a frame
    except tarfile.TarError as error:
        raise MediaError(
            f"{path} is not a whole, uncompressed tar ({error}): pack it again"
        ) from None
    return members


class TarSource(ImageSource):
    """An uncompressed tar of numbered images; nothing is ever written to disk.

    Raises:
        MediaError: the file is absent, no tar, cut off, or holds no numbered image.
    """

    def __init__(self, media: Media, members: Mapping[str, Span] | None = None) -> None:
        self._spans = members_of(media.path) if members is None else members
        super().__init__(media, self._spans)
        self._file = media.path.open("rb")

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def _read(self, name: str) -> bytes:
        offset, size = self._spans[name]
        self._file.seek(offset)
        return self._file.read(size)
