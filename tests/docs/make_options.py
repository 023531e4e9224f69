"""docs/options.md from the command line itself: `python tests/docs/make_options.py` writes it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from egofeat.cli import app

PAGE = Path(__file__).parents[2] / "docs/options.md"
_HEAD = """# Every option

Made from the command line by `python tests/docs/make_options.py`; `egofeat COMMAND --help` shows
the same.
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
        lines.append(f"| {_names(one)} | {_default(one)} | {_cell(_help(one))} |")
    return "\n".join(lines) + "\n"


def _argument(one: Any) -> str:
    return (one.metavar or one.name.upper()) + ("…" if one.nargs == -1 or one.multiple else "")


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`"
    return ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])


_SAID_DEFAULT = re.compile(r"\s*\[default: (.*)\]$")


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if said := _SAID_DEFAULT.search(one.help or ""):
        return _cell(said[1])
    value = one.default() if callable(one.default) else one.default
    if value is None or value is False or value in ((), []):
        return ""
    return f"`{_cell(str(value))}`"


def _help(one: Any) -> str:
    return _SAID_DEFAULT.sub("", one.help or "")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(re.sub(r"\s+", " ", part) for part in text.strip().split("\n\n"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
