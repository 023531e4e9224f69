"""Folders of files: put down, and compared byte by byte."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.timeless import timeless

MEASURED = (".rates.jsonl",)
"""Files of how long things took, which is never the same."""


def contents(folder: Path) -> dict[str, str]:
    """Every file to the digest of its bytes, seconds aside; every empty folder to a word."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in MEASURED:
            continue
        if path.is_symlink():
            found[name] = "link"
        elif path.is_file():
            found[name] = hashlib.sha256(timeless(path)).hexdigest()
        elif path.is_dir() and not any(path.iterdir()):
            found[name] = "empty folder"
    return found


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Say how two contents differ; empty where they do not."""
    said = [f"no {name}" for name in expected if name not in found]
    said += [f"{name} too many" for name in found if name not in expected]
    said += [f"{name} differs" for name in found if expected.get(name, found[name]) != found[name]]
    return ", ".join(said[:6]) + (f" and {len(said) - 6} more" if len(said) > 6 else "")


def fresh(folder: Path, start: Path | None = None) -> Path:
    """Make a folder anew, empty or as another one is."""
    shutil.rmtree(folder, ignore_errors=True)
    if start:
        shutil.copytree(start, folder, symlinks=True)
    else:
        folder.mkdir(parents=True)
    return folder
