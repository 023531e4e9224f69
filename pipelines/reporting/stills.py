"""Frames of clips as small pictures in text; and in words, why there is none of a clip."""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from egofeat import console
from egofeat.errors import EgofeatError, MediaError, MissingMediaError
from egofeat.extract.video import open_video
from egofeat.manifest import load_manifest
from egofeat.segments import Media
from egofeat.store import Table

_WIDTH, _HEIGHT = 160, 120
"""Pixels that a picture has at most."""
_QUALITY = 55
EACH = 3
"""Pictures of a clip, from the middle of each part of it."""
_MOST = 1_500_000
"""Bytes of all pictures as text."""


@dataclass
class Stills:
    """Pictures of clips, until their room is used up."""

    images: dict[str, list[str]] = field(default_factory=dict)
    """Clip to data URIs."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Clip to why there is no picture of it."""
    media: Mapping[str, Media] = field(default_factory=dict)
    """Video to where it lies; none where that is not known."""
    bytes: int = 0


def stills(ids: Iterable[str], segments: Table | None, manifest: Path) -> Stills:
    """Read frames of clips, in their order.

    Args:
        ids: of the clips; one named twice is read once.
        segments: of the store, where it is still there.
        manifest: says where the videos lie.
    """
    found = Stills()
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return found
    try:
        if segments is None:
            raise MediaError("the store, which says where a clip lies, is gone")
        found.media = load_manifest(manifest).dataset(segments.dataset).media
    except EgofeatError as error:
        found.unseen = dict.fromkeys(wanted, str(error))
        return found
    with console.progress("frames", len(wanted), "clips") as advance:
        for id_ in wanted:
            _add(found, id_, segments)
            advance(1)
    return found


def _add(found: Stills, id_: str, segments: Table) -> None:
    row = segments.numbers.get(id_)
    place = None if row is None else found.media.get(str(segments.videos[row]))
    if row is None or place is None:
        found.unseen[id_] = "the manifest has no video of it any more"
        return
    if found.bytes >= _MOST:
        found.unseen[id_] = "the page has no room for more"
        return
    try:
        pictures = _pictures(place, float(segments.starts[row]), float(segments.stops[row]))
    except MissingMediaError:  # what else has its name, as features of it, may be no video
        found.unseen[id_] = f"{place.path} does not exist"
        return
    except MediaError as error:
        found.unseen[id_] = str(error)
        return
    found.images[id_] = pictures
    found.bytes += sum(map(len, pictures))


def _pictures(media: Media, start: float, stop: float) -> list[str]:
    """Frames of `[start, stop)` seconds as data URIs.

    Raises:
        MediaError: the video is absent or damaged, or has no colours.
    """
    with open_video(media) as source:
        if start >= source.stop:
            raise MediaError(f"{media.path} ends before the clip begins")
        stop = min(stop, source.stop)
        moments = start + (np.arange(EACH) + 0.5) / EACH * max(stop - start, 0.0)
        indices = np.searchsorted(source.times, moments, side="right") - 1
        wanted = np.unique(indices.clip(0, len(source.times) - 1))
        return [encoded(frame) for _, frame in source.scan(wanted.tolist())]


def encoded(frame: NDArray[np.uint8]) -> str:
    """A picture as a data URI.

    Raises:
        MediaError: it has no colours.
    """
    if frame.shape[2] != 3:
        raise MediaError("it is motion, which has no colours to show")
    picture = Image.fromarray(frame)
    picture.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
