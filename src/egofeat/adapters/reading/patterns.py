"""Regular expressions of a manifest, matched within a bounded time.

`re` may try for ages, `(a+)+$` on a name of forty letters for longer than anybody lives, and lets
nothing else of its process run meanwhile. Names are therefore searched by a process of its own,
which can be ended.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from egofeat.errors import ManifestError
from egofeat.words import quoted

SECONDS = 10.0
"""More than a million names need with any expression that ends."""

_SEARCH = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
found = (re.search(pattern, text) for text in texts)
json.dump([match and match[min(1, match.re.groups)] for match in found], sys.stdout)
"""


def search_all(pattern: str, texts: Sequence[str]) -> list[str | None]:
    """First group of the pattern in each text, or the whole match; None where there is none.

    Raises:
        ManifestError: the search does not end in `SECONDS`, or cannot be done.

    """
    if not texts:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, list(texts)]),
            capture_output=True,
            encoding="ascii",
            timeout=SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise ManifestError(
            f"the regular expression {quoted(pattern)} takes more than {SECONDS:g} s: "
            "write it without repetitions inside repetitions"
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "strerror", None) or "its process failed"
        raise ManifestError(
            f"the regular expression {quoted(pattern)} cannot be searched ({said}): simplify it"
        ) from None
    found: list[str | None] = json.loads(done.stdout)
    return found
