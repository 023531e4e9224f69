"""Which fonts write a text: that of all pictures and, of letters that it lacks, installed ones."""

import re
from contextlib import suppress
from functools import cache
from typing import NamedTuple
from unicodedata import category

from matplotlib import font_manager, get_data_path
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

from egofeat import console

_NO_LETTERS = re.compile(r"color|last ?resort", re.IGNORECASE)
"""Families of fonts whose letters have no outlines, or are boxes."""
_SAID = 5
"""Letters that a sentence names."""


class Font(NamedTuple):
    """One face of a file."""

    family: str
    file: str
    face: int = 0


@cache
def usual() -> Font:
    """The font of all pictures."""
    name = "DejaVu Sans"
    upright = FontProperties(  # of what is left out, a user's settings would decide
        family=name, style="normal", variant="normal", weight=400, stretch="normal"
    )
    return Font(name, str(findfont(upright)))


_known: dict[str, Font] = {}
"""Letter to its font; the usual one too where no font has it."""


def runs(text: str) -> list[tuple[Font, str]]:
    """Parts of a text, each with the font that has its letters."""
    look_for(text)
    parts: list[tuple[Font, str]] = []
    for letter in text:
        font, before = parts[-1] if parts else (usual(), "")
        own = font if _joined(letter) else _known.get(letter, usual())
        parts[-1:] = [(font, before + letter)] if own == font else [*parts[-1:], (own, letter)]
    return parts


def others(text: str) -> list[str]:
    """Families of the fonts that have what the usual one lacks of a text."""
    if text.isascii():
        return []
    return list(dict.fromkeys(font.family for font, _ in runs(text) if font != usual()))


def look_for(text: str) -> None:
    """Find fonts of letters, if that was not done: of many, those that have the most of them.

    To look for the letters of many texts at once is faster, for every installed font is opened.
    """
    new = {letter for letter in set(text) - _known.keys() if letter > "~" and not _joined(letter)}
    _known.update(dict.fromkeys(new, usual()))
    left = new - _had(usual(), new)
    fonts = _installed() if left else []
    having = {font: letters for font in fonts if (letters := _had(font, left))}
    while left and having:
        most = max(having, key=lambda font: len(having[font] & left))
        found = having.pop(most) & left
        _known.update(dict.fromkeys(found, most))
        left -= found
    if left:
        some = ", ".join(sorted(left)[:_SAID])
        console.note_once(
            "letters",
            f"no installed font has {some}{', …' if len(left) > _SAID else ''}: pictures show "
            "boxes in their place; install a font that has them, as Noto Sans CJK or Noto Emoji",
        )


def _joined(letter: str) -> bool:
    """Whether it stands in the font of the letter before it, as accents and joiners do."""
    return category(letter) in {"Cf", "Mn"}


def _had(font: Font, letters: set[str]) -> set[str]:
    """Which of the letters a font has; none where its file is gone or damaged."""
    try:
        # Of an older matplotlib, which cannot be asked so, every font is the first face.
        face = FT2Font(font.file, face_index=font.face) if font.face else FT2Font(font.file)
    except (OSError, RuntimeError):
        return set()
    return {letter for letter in letters if face.get_char_index(ord(letter))}


def _installed() -> list[Font]:
    """Upright fonts of a usual weight, a file a family, those without serifs first."""
    own = get_data_path()
    listed = {entry.fname for entry in fontManager.ttflist}  # when matplotlib was first used here
    for file in set(font_manager.findSystemFonts()) - listed:
        with suppress(Exception):  # a damaged font makes it raise whatever there is
            fontManager.addfont(file)
    upright = {
        entry.name: Font(entry.name, entry.fname, getattr(entry, "index", 0))
        for entry in fontManager.ttflist
        if (entry.style, entry.weight, entry.stretch) == ("normal", 400, "normal")
        and not _NO_LETTERS.search(entry.name)
        and not entry.fname.startswith(own)  # made for mathematics: what they have is elsewhere
    }
    return sorted(upright.values(), key=lambda font: ("Sans" not in font.family, font))
