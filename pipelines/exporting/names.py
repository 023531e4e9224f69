"""File names for segments and videos: any id, no two alike, and an ordinary id unchanged."""

import collections
import hashlib
import re
from collections.abc import Collection

from egofeat.adapters.files import VIDEO_SUFFIXES

_MEDIA_SUFFIXES = VIDEO_SUFFIXES | {".tar"}
_LONGEST = 200
"""Characters: with mark, suffix and what makes a temporary name, below the 255 of file systems."""


def file_names(ids: Collection[str]) -> dict[str, str]:
    """Id to a file's name without suffix: letters, digits, `_`, `-`, `.`, `%` and `~` alone.

    The suffix of a video falls away: other projects know videos by their names. Other characters
    become `%` and two digits a byte, as in addresses. Names that would then be alike, or differ
    by case alone, which some file systems do not tell apart, and long ones end in `~` and 8
    digits of the id's sha256.
    """
    plain = {id_: _escaped(_without_suffix(id_)) for id_ in ids}
    used = collections.Counter(name.casefold() for name in plain.values())
    return {
        id_: name
        if used[name.casefold()] == 1 and 0 < len(name) <= _LONGEST
        else _marked(id_, name)
        for id_, name in plain.items()
    }


def _without_suffix(id_: str) -> str:
    stem, dot, suffix = id_.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in _MEDIA_SUFFIXES else id_


def _escaped(id_: str) -> str:
    # A leading dot would hide the file, or name the folder itself.
    return re.sub(
        r"^\.|[^A-Za-z0-9._-]",
        lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()),
        id_,
    )


def _marked(id_: str, name: str) -> str:
    return f"{name[:_LONGEST]}~{hashlib.sha256(id_.encode()).hexdigest()[:8]}"
