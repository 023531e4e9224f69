"""docs/options.md from the command line itself: `python tests/docs/make_options.py` writes it."""

import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from typer.main import get_command

from egofeat.cli import app
from egofeat.options import Declared

PAGE = Path(__file__).parents[2] / "docs/options.md"
_HEAD = """# Every option

Made from the command line by `python tests/docs/make_options.py`; `egofeat COMMAND --help` shows
the same. `--config FILE` reads options from YAML or JSON by these names, with `_` for `-`; options
that are typed win.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(map(_section, commands(get_command(app), ())))


def commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it, by name."""
    below: dict[str, Any] = getattr(group, "commands", {})
    if not below:
        yield path, group
    for name, command in sorted(below.items()):
        yield from commands(command, (*path, name))


def _section(named: tuple[tuple[str, ...], Any]) -> str:
    path, command = named
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join(["egofeat", *path, *map(_argument, arguments)])
    lines = [f"\n## {' '.join(path)}\n", f"    {usage}\n", _paragraphs(command.help or ""), ""]
    lines += ["| option | default | |", "|---|---|---|"]
    for one in [*arguments, *options]:
        own = command.said("options").get(one.name)
        lines.append(f"| {_names(one)} | {_default(one, own)} | {_cell(_help(one, own))} |")
    return "\n".join(lines) + "\n"


def _argument(one: Any) -> str:
    word = one.metavar or one.name.upper()
    return word.removesuffix("…") + ("…" if one.nargs == -1 else "")


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`"
    return ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])


def _default(one: Any, declared: Declared | None) -> str:
    if declared is None:
        return ""
    if declared.default is MISSING:
        return "required"
    said = declared.default_words
    return _cell(said if declared.option.default_is or not said else f"`{said}`")


def _help(one: Any, declared: Declared | None) -> str:
    if declared is None:
        return one.help or ""
    return " ".join([declared.option.help, *declared.remarks])


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(re.sub(r"\s+", " ", part) for part in text.strip().split("\n\n"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
