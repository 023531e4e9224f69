"""What stands in the documentation to be copied: commands, manifests and Python."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
    if path.name != "options.md"  # made from the command line itself
)


@dataclass(frozen=True)
class Block:
    """One block of a page, in its order."""

    kind: str
    """`command`, a line of a shell; else the language of a fenced block."""
    line: int
    """Number, from 1, of its first line."""
    text: str


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, and every line of an indented one that is a command."""
    lines = (ROOT / page).read_text(encoding="utf-8").split("\n")
    found: list[Block] = []
    number = 0
    while number < len(lines):
        if fence := re.match(r"( *)```(\w+)$", lines[number]):
            indent, kind = fence.groups()
            stop = next(k for k in range(number + 1, len(lines)) if lines[k] == f"{indent}```")
            inside = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : stop])
            found.append(Block(kind, number + 2, inside + "\n"))
            number = stop
        elif re.match(r" {4,}(egofeat|make|pip|pytest|python|\.ci/run)\b", lines[number]):
            first, text = number + 1, lines[number].strip()
            while text.endswith("\\"):
                number += 1
                text = f"{text[:-1]} {lines[number].strip()}"
            found.append(Block("command", first, re.sub(r"\s+#.*$", "", text)))
        number += 1
    return found
