"""Where the video of an AVA key frame lies: a file, a folder of frames, or a Kinetics clip."""

import re
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from egofeat.adapters.entry import FirstFrame
from egofeat.adapters.files import VIDEO_SUFFIXES
from egofeat.errors import ManifestError
from egofeat.segments import Media
from egofeat.words import quoted

_CLIP = re.compile(r"(.+)_(\d{6})_(\d{6})", re.ASCII)
"""Name of a clip of Kinetics: the video, and the seconds that it was cut from and to."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A video, or a clip of it, in the folder."""

    key: str
    media: Media
    begin: float
    """Second of the original video at which it begins."""
    seconds: tuple[float, float]
    """Seconds of the original video that it has, `[first, last)`."""


@dataclass
class AvaMedia:
    """The folder of the videos; it, and each folder that a video's name has, is listed once."""

    folder: Path
    fps: float | None
    """Frames per second of folders of frames."""
    begin: float
    """Second of the original video at which the media begin, where a name does not say it."""
    first_frame: FirstFrame | None = None
    """Number of the image shown first in a folder of frames."""
    media: dict[str, Media] = field(default_factory=dict)
    """Key to media, of all that `place` was asked for."""
    _listed: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)
    _found: dict[str, list[_Found]] = field(default_factory=dict)

    def place(self, video: str, second: float) -> tuple[str, float]:
        """Find the key into `media` for a moment of the original video, and when its media begin.

        That is the video itself; or else the clip of Kinetics which has the second, a video of its
        own; or else, where neither is there, the video where it was looked for.

        Raises:
            ManifestError: the video is there twice.

        """
        if video not in self._found:
            self._found[video] = self._find(video)
        for found in self._found[video]:
            if found.seconds[0] <= second < found.seconds[1]:
                self.media[found.key] = found.media
                return found.key, found.begin
        if video not in self.media:
            absent = video if self.fps else f"{video}.mp4"
            self.media[video] = self._images(self.folder / absent)
        # Of a clip that is not there nobody knows where it begins; it is no mistake of `begin`.
        return video, self.begin if second >= self.begin else 0.0

    def _find(self, video: str) -> list[_Found]:
        """The video, or else its clips, in the order of their names."""
        wanted = self.folder / video
        paths = [
            path
            for path in self._list(wanted.parent).get(wanted.name, [])
            if path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir()
        ]
        whole = [path for path in paths if _stem(path) == wanted.name]
        if len(whole) > 1:
            raise ManifestError(
                f"'media' {self.folder} holds the video {quoted(video)} twice, as {whole[0].name} "
                f"and {whole[1].name}: keep one of them"
            )
        if whole:
            return [_Found(video, self._media(whole[0]), self.begin, (0, inf))]
        found = []
        for path in paths:
            cut = [float(second) for second in _stem(path).split("_")[-2:]]
            key = path.with_name(_stem(path)).relative_to(self.folder).as_posix()
            found.append(_Found(key, self._media(path), cut[0], (cut[0], cut[1])))
        return found

    def _media(self, path: Path) -> Media:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return Media(path)
        return self._images(path)

    def _images(self, path: Path) -> Media:
        return Media(path, fps=self.fps, first_frame=self.first_frame)

    def _list(self, folder: Path) -> dict[str, list[Path]]:
        """Name of a video to what may be it or a clip of it."""
        if folder not in self._listed:
            listed: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                stem = _stem(path)
                listed.setdefault(stem, []).append(path)
                if clip := _CLIP.fullmatch(stem):
                    listed.setdefault(clip[1], []).append(path)
            self._listed[folder] = listed
        return self._listed[folder]


def _stem(path: Path) -> str:
    """Name without a video's suffix, if it has one."""
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
