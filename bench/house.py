"""The house in numbers: lines by room, files a folder, lengths of functions, type switches.

python bench/house.py            # of this checkout
python bench/house.py --of PATH  # of another one, to hold against it
"""

import argparse
import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("extract", "heads", "pipelines", "src/egofeat")
_NAMES = r"Store|PersonRows|JoinedRows|Concatenated|AveragedHeads|WeightedHeads"
KINDS = rf"isinstance\([^()]*(?:{_NAMES})\b"


def modules(top: Path) -> Iterator[Path]:
    """Every module of the product, each once: the links in `src/egofeat` are not followed."""
    for room in ROOMS:
        for path in sorted((top / room).rglob("*.py")):
            inside = path.relative_to(top).parts
            if inside[:2] == ("src", "egofeat") and inside[2] in ROOMS:
                continue
            yield path


def room_of(path: Path, top: Path) -> str:
    """`extract`, `heads`, `pipelines`, or the folder below `src/egofeat`."""
    parts = path.relative_to(top).parts
    if parts[0] != "src":
        return parts[0]
    return parts[2] if len(parts) > 3 else "shared"


def lengths(tree: ast.AST) -> Iterator[int]:
    """Lines of every function, its docstring and decorators aside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            yield (node.end_lineno or node.lineno) - body[0].lineno + 1


def code(text: str, tree: ast.AST) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    said: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(ast.Constant(str())) as words, *_]:
                    said |= set(range(words.lineno, (words.end_lineno or words.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(number not in said and line.strip()[:1] not in ("", "#") for number, line in lines)


def public(tree: ast.Module) -> int:
    """Names of a module's own that do not begin with an underscore."""
    named = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        named += [target.id for target in targets if isinstance(target, ast.Name)]
    return sum(not name.startswith("_") for name in named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", type=Path, default=Path(__file__).parents[1], help="a checkout")
    top: Path = parser.parse_args().of.resolve()
    lines: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    functions: list[int] = []
    names, switches, untyped, coded = 0, 0, 0, 0
    for path in modules(top):
        text = path.read_text()
        tree = ast.parse(text)
        lines[room_of(path, top)] += text.count("\n")
        folders[str(path.parent.relative_to(top))] += path.name != "__init__.py"
        functions += lengths(tree)
        names += public(tree)
        coded += code(text, tree)
        switches += len(re.findall(KINDS, text))
        untyped += text.count("Mapping[str, Any]") + text.count("dict[str, Any]")
    print("| room | lines |\n|---|--:|")
    for room, count in sorted(lines.items()):
        print(f"| {room} | {count:,} |")
    print(f"| **all** | **{sum(lines.values()):,}** |\n")
    print(f"of them neither blank nor comment nor docstring: {coded:,}")
    tests = sum(path.read_text().count("\n") for path in (top / "tests").rglob("*.py"))
    most = ", ".join(f"{folder} {count}" for folder, count in folders.most_common(3))
    ordered = sorted(functions)
    print(f"tests: {tests:,} lines")
    print(f"modules: {sum(folders.values())} in {len(folders)} folders; the fullest: {most}")
    print(
        f"functions: {len(ordered):,}; median {statistics.median(ordered):.0f} lines, "
        f"90th percentile {ordered[len(ordered) * 9 // 10]}, longest {ordered[-1]}"
    )
    print(f"public names of modules: {names:,}")
    print(f"`isinstance` over kinds of store or head: {switches}")
    print(f"untyped mappings in signatures: {untyped}")


if __name__ == "__main__":
    main()
