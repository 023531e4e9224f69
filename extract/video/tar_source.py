"""A tar of frames, read in place: one pass over its headers, then straight to each image."""

import tarfile

from egofeat.errors import MediaError
from egofeat.extract.video.image_source import ImageSource
from egofeat.segments import Media


class TarSource(ImageSource):
    """An uncompressed tar of numbered images; nothing is ever written to disk.

    Raises:
        MediaError: the file is absent, no tar, cut off, or holds no numbered image.
    """

    def __init__(self, media: Media) -> None:
        if not media.path.exists():
            raise MediaError(f"{media.path} does not exist: check the manifest's media folder")
        self._spans: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(media.path, mode="r:") as archive:
                while member := archive.next():
                    if member.isreg():
                        self._spans[member.name] = member.offset_data, member.size
                    archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte a frame
        except tarfile.TarError as error:
            raise MediaError(
                f"{media.path} is not a whole, uncompressed tar ({error}): pack it again"
            ) from None
        super().__init__(media, self._spans)
        self._file = media.path.open("rb")

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def _read(self, name: str) -> bytes:
        offset, size = self._spans[name]
        self._file.seek(offset)
        return self._file.read(size)
