"""Types of options: whether a value has one, and what it is called in a sentence."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

_WORDS = {bool: "bool", int: "whole number", float: "number", str: "string", Path: "path"}
_NUMBERS: dict[Any, type] = {int: Integral, float: Real}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of a field; a list may stand for a tuple."""
    inner = get_args(hint)
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(fits(value, one) for one in inner)
    if get_origin(hint) is Mapping:
        return isinstance(value, Mapping)
    if get_origin(hint) in (tuple, Sequence):
        listed = isinstance(value, tuple | list) and all(fits(one, inner[0]) for one in value)
        return listed and len(value) == (_length(hint) or len(value))
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    return isinstance(value, hint)


def words(hint: Any) -> str:
    """What a type is called, without its article: `whole number`, `tuple of 2 whole numbers`."""
    inner = get_args(hint)
    if isinstance(hint, UnionType):
        return " or a ".join(words(one) for one in inner if one is not type(None))
    if get_origin(hint) is Mapping:
        return "mapping"
    if get_origin(hint) in (tuple, Sequence):
        count = f"{_length(hint)} " if _length(hint) else ""
        noun, of, rest = words(inner[0]).partition(" of ")
        return f"tuple of {count}{noun}s{of}{rest}"
    return _WORDS.get(hint) or str(hint.__name__)


def _length(hint: Any) -> int:
    """Of a tuple; 0 where it may have any."""
    inner = get_args(hint)
    return 0 if get_origin(hint) is Sequence or ... in inner else len(inner)
