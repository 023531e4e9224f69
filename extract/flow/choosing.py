"""Which motion a network is given: what its weights learnt from, unless a person says otherwise."""

from collections.abc import Callable
from typing import Any, get_args

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.flow import raft
from egofeat.extract.flow.motion import opencv
from egofeat.recipe.motion import KINDS, METHODS, Method, Motion, Values

_OF_FLOW = ("farneback", "tvl1", "raft", "raft_small", "frames")
OF_COLOURS = ("none", "rgbdiff", "weighted")
"""What networks of three channels take."""
_BOTH_SIDES = 4
"""Channels of a network that sees the flow on both sides of a frame."""


def choose_motion(
    spec: Spec,
    name: str | None,
    values: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Motion | None:
    """The motion that the options ask for a backbone; None means colours.

    Args:
        spec: of the backbone.
        name: one of `METHODS`; None means the backbone's own.
        values: one of `Values`; None means 8 bits, as networks were trained with, and float32 for
            what only measures the flow.
        note: told, in one line, when weights are downloaded.

    Raises:
        RequestError: options that the backbone cannot take, or OpenCV is not there.
        WeightsError: RAFT's weights are not to be had.
    """
    name = name or spec.motion
    if name not in METHODS:
        raise RequestError(f"there is no `motion` '{name}': choose from {', '.join(METHODS)}")
    suiting = _OF_FLOW if spec.channels != 3 else OF_COLOURS
    if name not in suiting:
        takes = "optical flow" if spec.channels != 3 else "colours"
        raise RequestError(
            f"{spec.called} takes {takes}, and `motion` {name} gives it none: choose from "
            f"{', '.join(suiting)}"
        )
    if name == "none":
        if values:
            raise RequestError("`motion_values` is of motion: give `motion` as well")
        return None
    grid = spec.channels == _BOTH_SIDES
    computed = "float32" if grid else "uint8"
    encoded: Any = values or ("uint8" if name == "frames" else computed)
    if encoded not in (known := get_args(Values)):
        raise RequestError(
            f"there are no `motion_values` '{encoded}': choose from {', '.join(known)}"
        )
    if name == "frames" and encoded != "uint8":
        raise RequestError("`motion` frames has 8 bits: leave out `motion_values`")
    return Motion(_method_of(name, note), encoded, both_sides=grid or name == "weighted")


def _method_of(name: str, note: Callable[[str], None]) -> Method:
    """A method by its name, with its usual settings; refused where it cannot be had."""
    if name in ("raft", "raft_small"):
        return raft.load_published("large" if name == "raft" else "small", note)
    if name in ("farneback", "tvl1", "weighted"):
        opencv()
    return KINDS[name]()
