"""What leaves for people never commands their terminal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat import console


@pytest.mark.parametrize("print_", [console.note, console.say])
def test_control_characters_are_written_out(print_, capsys) -> None:
    kept = "[red]c[/] :tada: déjà 日本 👩\u200d🍳"
    print_(f"a\x1b]0;TITLE\x07b\x1b[31m \x9b0m \u202e \udcff {kept}")
    out, err = capsys.readouterr()
    expected = f"a\\x1b]0;TITLE\\x07b\\x1b[31m \\x9b0m \\u202e \\udcff {kept}\n"
    assert out + err == expected


@settings(deadline=None)
@given(st.text(st.characters()))
def test_no_text_moves_the_cursor(text: str) -> None:
    shown = console.printable(text)
    assert not {chr(code) for code in (*range(32), *range(127, 160))} - set("\n\t") & set(shown)
    shown.encode()
    if text.isprintable():
        assert shown == text
