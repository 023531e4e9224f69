"""Videos as they lie there, without annotations: files, and frames in folders or archives."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal
from unicodedata import category

from pydantic import Field

from egofeat.adapters.entry import Entry, FirstFrame, Rate
from egofeat.adapters.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from egofeat.errors import ManifestError, RequestError
from egofeat.segments import Dataset, Media, Segment
from egofeat.words import quoted

ARCHIVES = frozenset({".tar", ".zip"})
"""Suffixes of files of frames."""
_LOOKED_AT = 1000
"""Files of a folder until one of them is an image."""


class VideosEntry(Entry):
    """Keys of an entry with `format: videos`."""

    format: Literal["videos"]
    fps: Rate | None = Field(default=None)
    """Of frames; video files carry their own times."""
    first_frame: FirstFrame | None = None


def read(name: str, entry: VideosEntry, root: Path) -> Dataset:
    """Read a data set of whole videos, each a segment without labels."""
    folder, remarks = entry.locate_folder("media", root), list[str]()
    try:
        media = find_videos(folder, entry.fps, remarks, entry.first_frame, asked=None)
    except RequestError as error:
        raise ManifestError(str(error)) from None
    names = {_name(path, folder): one for path, one in media.items()}
    return Dataset(
        name=name,
        media=names,
        segments=tuple(Segment(id=video, video=video) for video in names),
        classes={},
        remarks=tuple(remarks),
    )


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else folder.resolve().name


def find_videos(
    path: Path,
    fps: float | None = None,
    remarks: list[str] | None = None,
    first_frame: int | Literal["lowest"] | None = None,
    asked: str | None = "fps",
) -> dict[Path, Media]:
    """Videos at a path: the file itself, or all below the folder, in the order of their paths.

    A folder or archive that holds numbered images is one video. A path where nothing is, is one
    too: opening it says so.

    Args:
        path: file or folder.
        fps: frames per second of images.
        remarks: told, in a sentence each, what is left out.
        first_frame: number of the image at 0 s, see `Media`.
        asked: name of what `fps` is given by; None: opening images without a rate says so.

    Raises:
        RequestError: a folder without videos, or images without a rate.
    """
    found = {}
    for one in [path] if not path.is_dir() else sorted(_below(path)):
        if any(category(letter) in {"Cc", "Cs"} for letter in str(one)):
            if remarks is not None:
                remarks.append(
                    f"{quoted(str(one))} has control characters, or is not UTF-8, and is left "
                    "out: rename it"
                )
            continue
        if not (one.is_dir() or one.suffix.lower() in ARCHIVES):
            found[one] = Media(one)
            continue
        if fps is None and asked:
            raise RequestError(
                f"{one} holds frames, which do not say how fast they follow each other: give "
                f"`{asked}`"
            )
        found[one] = Media(one, fps, first_frame)
    if not found:
        raise RequestError(f"{path} holds no videos and no frames: name a folder that does")
    return found


def one_video(path: Path, fps: float | None = None, asked: str = "fps") -> Media:
    """The video at a path: a file, a folder or archive of numbered images, or one of flow.

    Args:
        path: where it lies.
        fps: frames per second of images.
        asked: name of what `fps` is given by.

    Raises:
        RequestError: images without a rate, or a folder of several videos or of none.
    """
    found = find_videos(path, fps, asked=asked)
    if path not in found:
        raise RequestError(f"{path} is a folder of videos, such as {next(iter(found))}: name one")
    return found[path]


def _below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Videos below a folder, itself if it holds images, or flow; what is hidden is left out.

    A link to a folder is followed, except into one of those `above` it, which would never end.
    """
    above |= {folder.resolve()}
    files = [one for one in folder.iterdir() if not one.name.startswith(".")]
    if _holds_images(files) or _is_flow(files):
        yield folder
        return
    for one in files:
        if one.is_dir() and one.resolve() not in above:
            yield from _below(one, above)
        elif one.suffix.lower() in VIDEO_SUFFIXES | ARCHIVES and not one.is_dir():
            yield one


def _holds_images(files: Iterable[Path]) -> bool:
    return any(_is_image(one) for one in islice(sorted(files), _LOOKED_AT))


def _is_flow(files: Iterable[Path]) -> bool:
    """Whether they are folders of images, `u` and `v`: one video of two rows of images."""
    axes = [one for one in files if one.name in {"u", "v"} and one.is_dir()]
    return len(axes) == 2 and all(_holds_images(axis.iterdir()) for axis in axes)


def _is_image(path: Path) -> bool:
    """Whether it is a numbered image; a cover of a film is none."""
    numbered = any(letter.isdigit() for letter in path.stem)
    return path.suffix.lower() in IMAGE_SUFFIXES and numbered and path.is_file()
