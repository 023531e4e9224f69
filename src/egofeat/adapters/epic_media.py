"""Where EPIC-KITCHENS puts a video, its folder or tar of frames, or that of its flow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

from egofeat.adapters.entry import FirstFrame
from egofeat.errors import ManifestError
from egofeat.segments import Media

Frames = Literal["videos", "folders", "tars", "flow"]

VIDEO_FOLDERS = ("{p}/videos", "videos/{p}", "videos/train/{p}", "videos/test/{p}", "videos")
RGB_FOLDERS = ("rgb/{p}", "rgb/train/{p}", "rgb/test/{p}", "rgb")
IMAGE_FOLDERS = ("{p}/rgb_frames", "rgb_frames/{p}", "rgb_frames", *RGB_FOLDERS)
SHIPPED_FLOW = ("flow/{p}", "flow/train/{p}", "flow/test/{p}", "flow")
FLOW_FOLDERS = ("{p}/flow_frames", "flow_frames/{p}", "flow_frames", *SHIPPED_FLOW)
PLACES: dict[Frames, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "videos": (VIDEO_FOLDERS, (".MP4", ".mp4")),
    "folders": (IMAGE_FOLDERS, ("",)),
    "tars": (IMAGE_FOLDERS, (".tar", ".TAR", ".zip")),
    "flow": (FLOW_FOLDERS, (".tar", ".TAR", ".zip", "")),
}
"""Kind to the folders below `media` where releases and people put it, and its suffixes.

`{p}` is the participant; `{p}` itself and `media` itself are looked into last.
"""


def fps_of(video: str) -> float:
    """Rate of the published frames: 50 for videos with three digits (`P01_101`), else 60.

    Segments count in these frames. Flow was made of every other one, and has half the rate: its
    frame n tells the motion from frame 2n - 1 on.
    """
    return 50.0 if len(video) == len("P01_101") else 60.0


def locate_media(
    media: Path, frames: Frames, videos: list[str], first_frame: FirstFrame = 1
) -> dict[str, Media]:
    """Media of each video: where it is, or else where the official release has it.

    Raises:
        ManifestError: none is there, but another kind of frames is.

    """
    places = cache(partial(_places, media, cache(_names)))  # a look into a folder, not one a video
    found = {video: _find(places(frames, video[:3]), video) for video in videos}
    if not any(found.values()):
        for other in PLACES:
            if any(_find(places(other, video[:3]), video) for video in videos):
                mend = f"write `frames: {other}`"
                if frames == "flow":
                    mend = f"put the flow there, such as {_expected(Path(), frames, videos[0])}"
                raise ManifestError(
                    f"'media' {media} holds {other}, but the entry reads {frames}: {mend}"
                )
    return {
        video: _media(path or _expected(media, frames, video), frames, video, first_frame)
        for video, path in found.items()
    }


def _media(path: Path, frames: Frames, video: str, first_frame: FirstFrame) -> Media:
    if frames == "videos":
        return Media(path)
    return Media(path, fps_of(video) / (2 if frames == "flow" else 1), first_frame)


@dataclass(frozen=True)
class _Place:
    """A folder where videos of a participant may lie."""

    folder: Path
    names: frozenset[str]
    """Of what is there."""
    suffixes: tuple[str, ...]


def _places(
    media: Path, names: Callable[[Path], frozenset[str]], frames: Frames, participant: str
) -> list[_Place]:
    folders, suffixes = PLACES[frames]
    paths = [media / folder.format(p=participant) for folder in (*folders, "{p}", ".")]
    return [_Place(path, names(path), suffixes) for path in paths]


def _find(places: Iterable[_Place], video: str) -> Path | None:
    for place in places:
        for suffix in place.suffixes:
            if video + suffix in place.names:
                return place.folder / (video + suffix)
    return None


def _expected(media: Path, frames: Frames, video: str) -> Path:
    """Where the official release has a video."""
    folders, suffixes = PLACES[frames]
    return media / folders[0].format(p=video[:3]) / f"{video}{suffixes[0]}"


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()
