"""Seals: a file that ends in the sha256 of all that stands before it in the file.

What rots on a disk or is changed by hand is so told from what was written, and the seal is
replaced with what it seals, in one rename. Files of before there were seals have none.
"""

import hashlib
import re
import struct
from pathlib import Path

_JSON_END = re.compile(rb',\s*"sha256": "([0-9a-f]{64})"\s*\}\s*\Z')
_ZIP_START = b"sha256:"
_ZIP_LENGTH = len(_ZIP_START) + 64
_LONGEST = 100
"""Bytes of either seal, at most."""


def seal_json(text: str) -> bytes:
    """Make the text of a JSON object end with a member `sha256`."""
    body = text.rstrip().removesuffix("}").rstrip().encode()
    return body + json_seal(hashlib.sha256(body).hexdigest())


def json_seal(sha256: str) -> bytes:
    """Make the end of a JSON object of what stands before it."""
    return b',\n  "sha256": "%s"\n}\n' % sha256.encode()


def json_is_whole(content: bytes) -> bool:
    """Whether a JSON text ends in its seal."""
    end = _JSON_END.search(content, max(0, len(content) - _LONGEST))
    return end is not None and end[1] == _digest(content[: end.start()])


def seal_zip(archive: bytes) -> bytes:
    """Put the seal into the comment of a zip archive that has none."""
    body = archive[:-2] + struct.pack("<H", _ZIP_LENGTH)
    return body + _ZIP_START + _digest(body)


def zip_is_whole(content: bytes) -> bool:
    """Whether a zip archive ends in its seal."""
    return content[-_ZIP_LENGTH:] == _ZIP_START + _digest(content[:-_ZIP_LENGTH])


def has_seal(path: Path) -> bool:
    """Whether a file ends in a seal, right or not."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST))
        end = file.read()
    return bool(_JSON_END.search(end)) or end[-_ZIP_LENGTH:].startswith(_ZIP_START)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
