"""How well a head of persons finds each action, on average over its seeds."""

import json
from contextlib import suppress
from typing import Any

from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import file_of


def precisions(of: Configuration, split: str | None) -> dict[str, Any] | None:
    """Class to annotated persons and average precision; None where evaluate has not written them.

    Args:
        of: the configuration.
        split: on which it was evaluated; None is the validation split.
    """
    each = []
    for run in of.runs:
        with suppress(OSError, ValueError, KeyError, TypeError):
            each.append(json.loads(file_of(run, split).read_bytes())["classes"])
    names = [name for name in each[0] if all(name in one for one in each)] if each else []
    if not names:
        return None
    sums = [sum(one[name]["average_precision"] for one in each) for name in names]
    return {
        "names": names,
        "annotated": [each[0][name]["annotated"] for name in names],
        "ap": [round(total / len(each), 4) for total in sums],
    }
