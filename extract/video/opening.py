"""One door to every kind of video."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video.decord_source import DecordSource
from egofeat.extract.video.flow_source import open_folder, open_tar
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.extract.video.source import FrameSource
from egofeat.extract.video.torchcodec_source import TorchcodecSource
from egofeat.segments import Media

_SOURCES: dict[str, Callable[[Path], FrameSource]] = {
    "pyav": PyavSource,
    "decord": DecordSource,
    "torchcodec": TorchcodecSource,
}
DECODERS = tuple(_SOURCES)
"""Names of the decoders, the default first."""


def open_video(media: Media, decoder: str = "pyav") -> FrameSource:
    """Open a video file by a decoder, or a folder or `.tar` of numbered images in place.

    For folders and tars the decoder does not matter. Where their images are of `u` and `v`, the
    frames are flow.

    Raises:
        MediaError: there is nothing there, or nothing that can be read as video.
        RequestError: no such decoder, or it is not installed.
    """
    if decoder not in _SOURCES:
        raise RequestError(f"no decoder {decoder!r}: choose one of {', '.join(DECODERS)}")
    try:
        if media.path.is_dir():
            return open_folder(media)
        if media.path.suffix == ".tar":
            return open_tar(media)
        return _SOURCES[decoder](media.path)
    except OSError as error:
        raise MediaError(f"{media.path} cannot be read ({error.strerror})") from None


def decoder_version(name: str) -> str:
    """Name a decoder with its version, for the record beside the features.

    Raises:
        RequestError: no such decoder, or it is not installed.
    """
    if name not in _SOURCES:
        raise RequestError(f"there is no decoder '{name}': choose from {', '.join(DECODERS)}")
    try:
        found = f"{name} {version({'pyav': 'av'}.get(name, name))}"
    except PackageNotFoundError:
        raise RequestError(
            f"the decoder {name} is not installed: run `pip install {name}`, or choose pyav"
        ) from None
    if name == "pyav":
        found += " / libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))
    return found
