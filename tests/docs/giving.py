"""Giving a command of the documentation as it stands, but small.

Only what makes it small is added: random weights, one epoch. Stores are named in
the documentation by patterns, `features/epic/i3d-*`, which a shell takes as well.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from egofeat.cli import app

LITTLE = {
    "extract": ["--weights=random", "--workers=1"],
    "reextract": ["--weights=random"],
    "roi": ["--weights=random", "--size=64", "--workers=1"],
    "persons": ["--weights=random", "--workers=1"],
    "fit-head": ["--epochs=1"],
    "sweep": ["--set=epochs=1"],
    "bench heads": ["--lengths=5", "--outputs=50", "--seconds=0"],
    "bench storage": ["--segments=1", "--seconds=0"],
    "visualize kernels": ["--weights=random"],
    "visualize maps": ["--weights=random"],
    "visualize activation-maximisation": ["--weights=random", "--steps=1"],
}
"""What is added to a command unless it says so itself."""

PLACEHOLDERS = {"VIDEO": "kitchen.mp4"}
"""Words for things of the reader's own."""


def give(line: str, where: str) -> None:
    """Give a command; it must succeed.

    Raises:
        AssertionError: it did not; the message says what was printed, and where it is written.
    """
    result = CliRunner().invoke(app, in_little(shlex.split(line)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{where}: {line}: {result.exception}") from result.exception
    assert result.exit_code == 0, f"{where}: {line}: {result.output}"


def read(line: str, where: str) -> None:
    """Read the options of a command, and do nothing.

    Raises:
        AssertionError: it has no such option, or lacks one.
    """
    words = shlex.split(line)
    name = named(words)
    command = get_command(app)
    for word in name.split():
        command = command.commands[word]
    try:
        command.make_context(name, words[1 + len(name.split()) :])
    except Exception as error:
        raise AssertionError(f"{where}: {line}: {error}") from error


def named(words: list[str]) -> str:
    """The command's name: two words below a group."""
    below = getattr(get_command(app).commands[words[1]], "commands", None)
    return " ".join(words[1:3]) if below else words[1]


def in_little(words: list[str]) -> list[str]:
    """The same command made small, its patterns expanded."""
    given = {word.split("=")[0] for word in words}
    # What is made again, or out of what is made, keeps how it was made.
    kept = "--all" in given or (named(words) == "roi" and "--store" in given)
    little = [] if kept else LITTLE.get(named(words), [])
    more = [word for word in little if word.split("=")[0] not in given]
    return [*(path for word in words[1:] for path in _expanded(word)), *more]


def _expanded(word: str) -> Iterator[str]:
    """What a shell makes of a word."""
    found = sorted(map(str, Path().glob(word))) if "*" in word else []
    yield from found or [PLACEHOLDERS.get(word, word)]
