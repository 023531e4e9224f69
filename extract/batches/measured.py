"""What was measured of this machine, kept beside the weights: `measured/*.json`.

It changes how fast something is, and no number beyond rounding; deleting it has it measured again.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from egofeat.extract.weights import hub_folder


def find(what: Sequence[object]) -> object:
    """What was kept under a key, a list of plain values; None where there is nothing to read."""
    with suppress(OSError, ValueError):
        kept = json.loads(_place(what).read_text("utf-8"))
        if isinstance(kept, dict) and kept.get("what") == list(what):
            return kept.get("found")
    return None


def keep(what: Sequence[object], found: object) -> None:
    """Keep it, if the folder can be written to."""
    place = _place(what)
    temporary = place.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"what": list(what), "found": found}) + "\n", "utf-8")
        temporary.replace(place)


def _place(what: Sequence[object]) -> Path:
    digest = hashlib.sha256(json.dumps(list(what)).encode()).hexdigest()[:16]
    return hub_folder() / "measured" / f"{digest}.json"
