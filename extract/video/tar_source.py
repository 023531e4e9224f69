"""A tar of frames, read in place: one pass over its headers, then straight to each image."""

import copy
import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path

from egofeat.errors import MediaError
from egofeat.extract.video.files import MOST_BYTES, brief, too_large, unread
from egofeat.extract.video.image_source import ImageSource, frame_number
from egofeat.segments import Media

Span = tuple[int, int]
"""Byte at which a member begins, and its length."""


def members_of(path: Path) -> dict[str, Span]:
    """Every file in an uncompressed tar, by name; of two of one name the last, links followed.

    Raises:
        MediaError: the file is absent, no tar, cut off, or made to harm.
    """
    try:
        size = path.stat().st_size
        members, links = _headers(path, size)
    except OSError as error:
        raise unread(path, error) from None
    except MediaError:
        raise
    except Exception as error:  # tarfile raises many kinds for headers that no tar writes
        raise MediaError(
            f"{path} is not a whole, uncompressed tar ({brief(error)}): pack it again"
        ) from None
    for name, target in links.items():
        if target in members:
            members[name] = members[target]
        elif frame_number(name) is not None:
            raise MediaError(
                f"{path}: image {name[-80:]} is a link to a file outside the tar: pack the images "
                "themselves"
            )
    return members


def _headers(path: Path, size: int) -> tuple[dict[str, Span], dict[str, str]]:
    """Files of a tar of so many bytes, and the names that its links lead to."""
    members: dict[str, Span] = {}
    links: dict[str, str] = {}
    reached = -1
    with tarfile.open(path, mode="r:") as archive:
        while member := archive.next():
            if member.offset <= reached or member.size < 0 or archive.offset > size:
                raise tarfile.ReadError("a header has an impossible value")
            reached = member.offset
            if member.issparse():
                raise tarfile.ReadError("a member is sparse")
            if member.isreg():
                members[member.name] = member.offset_data, member.size
                links.pop(member.name, None)
            elif member.islnk():
                links[member.name] = member.linkname
            elif member.issym():
                beside = posixpath.join(posixpath.dirname(member.name), member.linkname)
                links[member.name] = posixpath.normpath(beside)
            archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte a frame
        if archive.offset >= size:
            raise tarfile.ReadError("it has no end")
    return members, links


class TarSource(ImageSource):
    """An uncompressed tar of numbered images; nothing is ever written to disk.

    Raises:
        MediaError: the file is absent, no tar, cut off, or holds no numbered image.
    """

    def __init__(self, media: Media, members: Mapping[str, Span]) -> None:
        self._spans = members
        super().__init__(media, members)
        self._open()

    def again(self) -> "TarSource":
        """Open the file once more."""
        other = copy.copy(self)
        other._open()
        return other

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def _open(self) -> None:
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise unread(self.path, error) from None

    def _read(self, name: str) -> bytes:
        offset, size = self._spans[name]
        if size > MOST_BYTES:
            raise too_large(f"{self.path}: image {name}")
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise unread(self.path, error) from None
        except ValueError:
            raise MediaError(f"{self.path} cannot be read, since it is closed: open it") from None
