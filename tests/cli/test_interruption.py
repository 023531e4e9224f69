"""What the command line says when it is interrupted."""

import sys

import pytest

from egofeat.cli import app, main


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("extract", "interrupted: give the same command again to go on where it stopped\n"),
        ("bench", "interrupted\n"),
    ],
)
def test_only_commands_that_go_on_say_so(command, said, monkeypatch, capsys):
    monkeypatch.setattr(type(app), "__call__", lambda _: sys.exit(130))
    monkeypatch.setattr(sys, "argv", ["egofeat", command])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == said
