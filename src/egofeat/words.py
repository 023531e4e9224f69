"""What sentences are made of: numbers of things, and what is quoted of a file's content.

What is quoted is never longer than a person reads.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

_MOST = 80
"""Letters of a quoted value; a cell may have as many thousands."""
_PLAIN = 40
"""Letters of a stranger's text that stands in a sentence without quotes."""
_LISTED = 12
"""Known words that are listed where none is near."""


def quoted(value: Any, most: int = _MOST) -> str:
    """Python's way of writing a value, its middle left out where it is long."""
    if isinstance(value, str) and len(value) > most:  # what follows would be as long again
        value = f"{value[: most // 2]}…{value[-(most // 2) :]}"
    try:
        said = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        said = f"a very large {type(value).__name__}"
    return said if len(said) <= 2 * most else f"{said[:most]}…{said[-(most // 2) :]}"


def nearest(word: Any, known: Sequence[str]) -> str:
    """Clause that offers the known word most like `word`, or lists some of them."""
    some = [name for name in known if len(name) <= _MOST]
    likely = isinstance(word, str) and len(word) <= _MOST
    if likely and (close := get_close_matches(word, some, n=1)):
        return f"did you mean {quoted(close[0])}?"
    listed = ", ".join(map(quoted, known[:_LISTED]))
    return f"known are {listed}{', …' if len(known) > _LISTED else ''}"


def shortened(sentence: str, most: int = 1000) -> str:
    """A sentence of at most so many letters, its middle left out."""
    half = most // 2
    return sentence if len(sentence) <= most else f"{sentence[:half]} … {sentence[-half:]}"


def plain(text: str, most: int = _PLAIN) -> str:
    """Make a stranger's text fit to stand in a sentence."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def decimals(value: float) -> str:
    """A loss for people: `0.324`, and one that grows beyond all bounds as `4.63e+23`."""
    return f"{value:.3f}" if abs(value) < 10_000 else f"{value:.3g}"


def counted(number: int, units: str) -> str:
    """A number of things for people: `1 video`, `3,156 videos`.

    Args:
        number: how many.
        units: their name where they are several, that of one with an s.
    """
    return f"{number:,} {units.removesuffix('s') if number == 1 else units}"
