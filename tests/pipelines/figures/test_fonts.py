"""Letters that the font of all pictures lacks are written in installed fonts that have them."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from matplotlib import font_manager
from PIL import Image

from egofeat import console
from egofeat.pipelines.annotated.captions import Label, Tag, draw_overlay
from egofeat.pipelines.figures import fonts, style
from egofeat.pipelines.figures.mosaics import draw_mosaic
from egofeat.pipelines.figures.runs import accuracies

pytestmark = pytest.mark.drawn

LETTERS = "日本語あ한🏀"


def blocks(path: Path, letters: str = LETTERS, family: str = "Blocks Sans") -> None:
    """A font in which each of the letters is a filled square, and there is no other, not even A."""
    builder = FontBuilder(1000)
    names = [f"u{ord(letter):x}" for letter in letters]
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap(dict(zip(map(ord, letters), names, strict=True)))
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder.setupGlyf(dict.fromkeys([".notdef", *names], pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)


@pytest.fixture(params=["installed", "absent"])
def installed(request, tmp_path, monkeypatch):
    """Whether the machine has a font with the letters; nothing was looked for before."""
    monkeypatch.setattr(fonts, "_known", {})
    monkeypatch.setattr(console, "_noted", set())
    others = [of for of in font_manager.fontManager.ttflist if "DejaVu" in of.name]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", others)
    new = tmp_path / "damaged.ttf", tmp_path / "blocks.ttf"
    new[0].write_bytes(b"no font")
    if request.param == "installed":
        blocks(new[1])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [*map(str, new)])
    return request.param == "installed"


def filled(pixels, colour, side=8):
    """How many squares of one colour there are, of so many pixels a side."""
    same = (pixels[..., :3] == colour).all(axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(same, (side, side))
    return int(windows.all(axis=(2, 3)).sum())


INK = tuple(bytes.fromhex(style.INK[1:]))


def of(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_name_is_written_in_an_installed_font_that_has_its_letters(installed, tmp_path, capsys):
    spans = [(0.5, 0.4, 0.6), (0.4, 0.3, 0.5)]
    path = accuracies(["take 日本語", "あ한 put"], spans, tmp_path / "a.png", "語")
    assert bool(filled(of(path), INK)) == installed
    tiles = np.ones((1, 2, 6, 6, 3), np.float32)
    path = draw_mosaic(tiles, tmp_path / "m.png", title="tiles", rows=["日本"], note="x")
    assert bool(filled(of(path), INK)) == installed
    said = "no installed font has あ, 日, 本, 語, 한: pictures show boxes in their place"
    assert capsys.readouterr().err.count(said) == (not installed)


def test_so_is_a_label_of_a_video(installed):
    picture = draw_overlay([Tag((Label("日本 cut", 0.5),))], (200, 100)).picture
    assert bool(filled(np.asarray(picture), (255, 255, 255))) == installed


def test_letters_of_europe_are_in_the_font_of_all_pictures(capsys, monkeypatch):
    monkeypatch.setattr(fonts, "_known", {})
    names = ["Äpfel schälen", "нарезать", "κόβω", "café", "cafe\u0301"]
    assert [fonts.runs(name) for name in names] == [[(fonts.usual(), name)] for name in names]
    assert not capsys.readouterr().err


def test_a_letter_alone_takes_another_font_and_an_accent_stays_with_it(installed):
    parts = [(font.family, part) for font, part in fonts.runs("a 日\u0301本 b")]
    other = [("DejaVu Sans", "a "), ("Blocks Sans", "日\u0301本"), ("DejaVu Sans", " b")]
    assert parts == (other if installed else [("DejaVu Sans", "a 日\u0301本 b")])


@pytest.mark.skipif(not hasattr(font_manager.FontEntry, "index"), reason="first faces are listed")
def test_every_face_of_a_file_is_known_by_its_own_letters(tmp_path, monkeypatch):
    fonts.usual()  # which is found among all
    monkeypatch.setattr(fonts, "_known", {})
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    file = TTCollection()
    for family, letters in (("One", "日本"), ("Two", "あ한")):
        blocks(tmp_path / f"{family}.ttf", letters, family)
        file.fonts.append(TTFont(tmp_path / f"{family}.ttf"))
    file.save(tmp_path / "both.ttc")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "both.ttc")])
    found = [(font.family, font.face, part) for font, part in fonts.runs("日あ")]
    assert found == [("One", 0, "日"), ("Two", 1, "あ")]
