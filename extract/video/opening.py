"""One door to every kind of video."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video import flow_source, image_source, tar_source, zip_source
from egofeat.extract.video.decord_source import DecordSource
from egofeat.extract.video.files import is_folder, unread
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.extract.video.source import FrameSource
from egofeat.extract.video.torchcodec_source import TorchcodecSource
from egofeat.segments import Media


def _by_card(path: Path) -> FrameSource:
    from egofeat.extract.video.nvdec_source import NvdecSource  # noqa: PLC0415  # imports torch

    return NvdecSource(path)


_SOURCES: dict[str, Callable[[Path], FrameSource]] = {
    "pyav": PyavSource,
    "decord": DecordSource,
    "torchcodec": TorchcodecSource,
    "nvdec": _by_card,
}
DECODERS = tuple(_SOURCES)
"""Names of the decoders, the default first."""
AUTO = "auto"
CHOICES = (*DECODERS, AUTO)
"""What can be asked for; see `choose_decoder`."""


_COMPRESSED = (".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def open_video(media: Media, decoder: str = "pyav") -> FrameSource:
    """Open a video file by a decoder, or a folder, tar or zip of numbered images in place.

    For images the decoder does not matter. Where they are of `u` and `v`, the frames are flow.

    Raises:
        MediaError: there is nothing there, or nothing that can be read as video.
        RequestError: no such decoder, or it is not installed.
    """
    if decoder not in _SOURCES:
        raise RequestError(f"no decoder {decoder!r}: choose one of {', '.join(DECODERS)}")
    path = media.path
    if is_folder(path):
        return flow_source.open_images(
            media, flow_source.folder_members(path), image_source.FolderSource
        )
    suffix = path.suffix.lower()
    if suffix in _COMPRESSED:
        raise MediaError(
            f"{path} is compressed and cannot be read in place: pack the frames as a plain .tar"
        )
    try:
        # FFmpeg would take the images in an archive for a film of its own rate.
        with path.open("rb") as file:
            begin = file.read(512)
        if suffix == ".tar" or begin[257:262] == b"ustar":
            return flow_source.open_images(media, tar_source.members_of(path), tar_source.TarSource)
        if suffix == ".zip" or begin[:4] == b"PK\x03\x04":
            return flow_source.open_images(media, zip_source.members_of(path), zip_source.ZipSource)
        return _SOURCES[decoder](path)
    except OSError as error:
        raise unread(path, error) from None


def check_decoder(name: str) -> None:
    """Refuse what cannot be asked for here.

    Raises:
        RequestError: no such decoder, or it is not installed.
    """
    if name != AUTO:
        decoder_version(name)


def decoder_version(name: str) -> str:
    """Name a decoder with its version, to record with the features.

    Raises:
        RequestError: no such decoder, or it is not installed, or it needs a card that is not there.
    """
    if name not in _SOURCES:
        raise RequestError(f"there is no decoder '{name}': choose from {', '.join(CHOICES)}")
    if name == "nvdec":
        from egofeat.extract.video.nvdec_source import check_card  # noqa: PLC0415  # imports torch

        check_card()
    by_av = name in ("pyav", "nvdec")
    try:
        found = f"{name} {version('av' if by_av else name)}"
    except PackageNotFoundError:
        raise RequestError(
            f"the decoder {name} is not installed: run `pip install {name}`, or choose pyav"
        ) from None
    if by_av:
        found += " / libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))
    return found
