"""One HTML file that carries its style, its script and its data, and fetches nothing."""

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from egofeat import console

_SCRIPTS = ("dom.js", "table.js", "chart.js", "matrix.js", "page.js")


def page(title: str, data: Any) -> bytes:
    """The page as bytes.

    Args:
        title: of the page; any text.
        data: what the script draws; strings in it may be anything.
    """
    script = f"const DATA = JSON.parse(document.getElementById('data').textContent);\n{_script()}"
    shown = Template(_read("page.html")).substitute(
        title=escape(console.printable(title)),
        style=_read("page.css"),
        data=as_json(data),
        script=script,
    )
    return shown.encode("utf-8", "replace")


def as_json(data: Any) -> str:
    """JSON that no tag can end: of what is HTML there is no letter left in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _script() -> str:
    return "\n".join(map(_read, _SCRIPTS))


def _read(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")
