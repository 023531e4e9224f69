"""Reading annotation files: text, whole numbers, names that stay in their folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import ManifestError
from egofeat.words import quoted

_MOST_DIGITS = 15
"""A number of more is none that anybody counted."""

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".ogv", ".ts", ".webm", ".wmv"}
)


IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Read the whole of a text file, UTF-8 unless another is named, line ends as they are.

    Raises:
        ManifestError: there is no such file, the system does not give it, or it is no such text.

    """
    return read_both(path, encoding)[1]


def read_both(path: Path, encoding: str = "utf-8-sig") -> tuple[bytes, str]:
    """What a text file holds, as bytes and as text; raises as `read_text`."""
    try:
        if path.exists() and not path.is_file():
            raise ManifestError(f"{path} is no file, but a folder, pipe or device: name a file")
        content = path.read_bytes()
        return content, content.decode(encoding)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist: put the file there") from None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}): correct that") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except ValueError:  # of a path with a NUL
        raise ManifestError(f"{quoted(str(path))} is no path: correct it") from None


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Place (`file line n`) and text of every line that is not blank, stripped."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    return [(f"{path} line {number}", line.strip()) for number, line in lines if line.strip()]


def confined(name: str) -> str:
    """`name`, a video's path relative to `media`, once it is sure to stay there.

    The check is of the name alone: links inside `media` are the user's own.

    Raises:
        ManifestError: the name is empty, absolute, or climbs with `..`.

    """
    parts = name.replace("\\", "/").split("/")
    climbs = ".." in parts or parts[0] == "" or Path(name).anchor
    if climbs or "\0" in name or not PurePosixPath(name).name:
        raise ManifestError(
            f"the video {quoted(name)} does not stay inside 'media': "
            "write its path relative to that folder, without '..'"
        )
    return name


def whole_number(text: str, what: str, place: str) -> int:
    """`text` as an integer of zero or more, of which the error says `what` it is and where."""
    if not (text.isascii() and text.isdigit()):
        raise ManifestError(f"{place}: {what} is {quoted(text)}: write a whole number, 0 or more")
    if len(text.lstrip("0")) > _MOST_DIGITS:
        raise ManifestError(f"{place}: {what} is {quoted(text)}, which is too large: correct it")
    return int(text.lstrip("0") or 0)


def whole_numbers(texts: Sequence[str], what: str, place: str) -> NDArray[np.int64]:
    """`whole_number` of each cell, of which the first is at `place`."""
    joined = "".join(texts)
    plain = joined.isascii() and joined.isdigit() and all(0 < len(t) <= _MOST_DIGITS for t in texts)
    read = map(int, texts) if plain else (whole_number(text, what, place) for text in texts)
    return np.fromiter(read, np.int64, len(texts))


def refuse_duplicates(ids: Sequence[str], places: Iterable[str], mend: str) -> None:
    """Raise `ManifestError` at the first id that stands at two places."""
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, str] = {}
    for id_, place in zip(ids, places, strict=True):
        if id_ in seen:
            raise ManifestError(
                f"the segment id {quoted(id_)} is at {seen[id_]} and again at {place}: {mend}"
            )
        seen[id_] = place
