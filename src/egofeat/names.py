"""Names that become part of a path: each stays in the folder that it is given."""

import hashlib
import re
import unicodedata

from egofeat.errors import RequestError

_LONGEST = 200
"""Bytes; file systems take 255, and names get endings."""


VARIANT = "variant:"
"""Begins the name of a backbone that is its description, in canonical JSON."""
DESCRIBED = (".yaml", ".yml")
"""Endings of files that describe one."""


def short_name(backbone: str) -> str:
    """A backbone's name for people and folders.

    Of one that is named by its description, its family and the digest of the description:
    `variant:slowfast-1a2b3c4d`; of others the name itself.
    """
    if not backbone.startswith(VARIANT):
        return backbone
    family = re.search(r'"family":"(\w{1,40})"', backbone)
    digest = hashlib.sha256(backbone.removeprefix(VARIANT).encode()).hexdigest()
    return f"{VARIANT}{family[1] if family else 'unknown'}-{digest[:8]}"


def fault_of(name: str) -> str:
    """Say why a name cannot be that of a file or folder; empty when it can.

    Control characters, half characters and line separators are none that a name has.
    """
    if not name:
        return "is empty"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "does not stay inside its folder"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "holds characters that cannot be printed"
    if len(name.encode()) > _LONGEST:
        return f"is longer than {_LONGEST} bytes"
    return ""


def check_name(name: str, what: str) -> str:
    """Return a name that becomes part of a path, once it is sure to stay where it belongs.

    Args:
        name: of a data set, tap, target, split or run.
        what: of the thing, for the sentence: `data set`.

    Raises:
        RequestError: it is empty, has a slash, is `..`, or cannot be a file's name.
    """
    if fault := fault_of(name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        raise RequestError(
            f"the {what} {shown!r} {fault}, and becomes part of a path: choose another name"
        )
    return name
