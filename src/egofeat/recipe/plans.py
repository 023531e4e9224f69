"""The JSON forms of all plans."""

from collections.abc import Mapping
from typing import Any

from egofeat.recipe.imported import Imported
from egofeat.recipe.plan import Plan
from egofeat.recipe.sampling import Clips, KeyFrames, Uniform, Windows

_KINDS: Mapping[str, type[Plan]] = {
    "uniform": Uniform,
    "clips": Clips,
    "windows": Windows,
    "key-frames": KeyFrames,
    "imported": Imported,
}


def plan_of(form: Mapping[str, Any]) -> Plan:
    """Read the JSON form of a plan.

    Raises:
        ValueError: it is none; the message is a clause.
    """
    kind = _KINDS.get(str(form.get("sampling")))
    if kind is None:
        raise ValueError(f"its sampling is none of {', '.join(_KINDS)}")
    return kind.from_dict(form)
