"""Where EPIC-KITCHENS puts a video, its folder or tar of frames, or that of its flow."""

from collections.abc import Callable, Iterator
from functools import cache
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
    names = cache(_names)  # one look into a folder, where each of 700 videos would ask
    found = {video: _find(media, frames, video, names) for video in videos}
    if not any(found.values()):
        for other in PLACES:
            if any(_find(media, other, video, names) for video in videos):
                mend = f"write `frames: {other}`"
                if frames == "flow":
                    mend = f"put the flow there, such as {_expected(frames, videos[0])}"
                raise ManifestError(
                    f"'media' {media} holds {other}, but the entry reads {frames}: {mend}"
                )
    return {
        video: _media(path or next(_candidates(media, frames, video)), frames, video, first_frame)
        for video, path in found.items()
    }


def _media(path: Path, frames: Frames, video: str, first_frame: FirstFrame) -> Media:
    if frames == "videos":
        return Media(path)
    return Media(path, fps_of(video) / (2 if frames == "flow" else 1), first_frame)


def _find(
    media: Path, frames: Frames, video: str, names: Callable[[Path], frozenset[str]]
) -> Path | None:
    candidates = _candidates(media, frames, video)
    return next((path for path in candidates if path.name in names(path.parent)), None)


def _candidates(media: Path, frames: Frames, video: str) -> Iterator[Path]:
    folders, suffixes = PLACES[frames]
    for folder in (*folders, "{p}", "."):
        for suffix in suffixes:
            yield media / folder.format(p=video[:3]) / f"{video}{suffix}"


def _expected(frames: Frames, video: str) -> Path:
    """Where the official release has a video, below `media`."""
    return next(_candidates(Path(), frames, video))


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()
