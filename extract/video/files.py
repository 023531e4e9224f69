"""Media as files: what stands at a path, and reading it without being held up by what does."""

import errno
import functools
import os
import stat
from os import fspath, strerror
from pathlib import Path, PurePath

from egofeat.errors import MediaError, MissingMediaError, UnreadableMediaError

MOST_BYTES = 1 << 28
"""A larger file of one image is none."""

NO_PLACE = (errno.EINVAL, errno.EOVERFLOW)
"""What going to a place gives that no file can have: the file's numbers are at fault."""

_ABSENT = (FileNotFoundError, NotADirectoryError)


def unread(path: Path, error: OSError) -> MediaError:
    """What an error of the system means for media: not there, not given this time, or damaged."""
    if isinstance(error, _ABSENT):
        there = _near(path)
        mend = f"did you mean {there!r}?" if there else "check the path, or 'media' of the manifest"
        return MissingMediaError(f"{path} does not exist: {mend}")
    if error.errno in NO_PLACE:
        return MediaError(f"{path} is damaged, it refers to a missing place: copy it again")
    said = strerror(error.errno) if error.errno else str(error) or type(error).__name__
    return UnreadableMediaError(f"{path} cannot be read ({said}): correct that and run again")


def brief(error: Exception) -> str:
    """What a library says of a damaged file, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _near(path: Path) -> str | None:
    """Name of what may be meant: another suffix, none, other case, or slashes of Windows."""
    if "\\" in path.name:
        written = path.parent / path.name.replace("\\", "/")
        return path.name.replace("\\", "/") if written.exists() else None
    names = _names_by_stem(path.parent)
    return names.get(path.stem.casefold()) or names.get(path.name.casefold())


@functools.lru_cache(maxsize=16)
def _names_by_stem(folder: Path) -> dict[str, str]:
    """Names in a folder by what they are without suffix and case; listed once for all of them."""
    try:
        names = sorted((one.name for one in folder.iterdir()), reverse=True)
    except OSError:
        return {}
    return {PurePath(name).stem.casefold(): name for name in names}


def is_folder(path: Path) -> bool:
    """Whether media are a folder, or else a file.

    Raises:
        MissingMediaError: nothing is there.
        UnreadableMediaError: the system does not say what is.
        MediaError: it is a pipe, a device or a socket, which might never end.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise unread(path, error) from None
    except ValueError:
        raise MediaError(f"{fspath(path)!r} is no path: correct its name") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise MediaError(f"{path} is a pipe, a device or a socket: name a file or a folder")
    return stat.S_ISDIR(mode)


def stamp_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds of a file; -1 and -1 of what is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else (-1, -1)


def read_image(path: Path) -> bytes:
    """The whole of a file of at most `MOST_BYTES`.

    Raises:
        MediaError: see `is_folder`; or it is a folder, or larger.
    """
    if is_folder(path):
        raise MediaError(f"{path} is a folder where an image should be: remove it")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise too_large(f"{path}")
            return file.read()
    except OSError as error:
        raise unread(path, error) from None


def too_large(image: str) -> MediaError:
    """That an image has more than `MOST_BYTES`."""
    return MediaError(f"{image} is larger than {MOST_BYTES >> 20} MiB, and no image: remove it")
