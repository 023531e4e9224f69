"""Where trials work, how many of them there are, and what a trial is."""

import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tests.campaigns.process import Child, Ending, Verdict, command
from tests.campaigns.scene import Scene, lay, make_scene, small_shards
from tests.campaigns.shim import Arm
from tests.campaigns.tree import fresh

Point = TypeVar("Point")

KEPT = 20
"""Folders of bad trials that are kept to look at."""


@dataclass(frozen=True)
class Trial:
    """Something to try, or many of a kind."""

    row: str
    """Line of the table that it counts in."""
    name: str
    """Unlike all others of its row, and the same on every run."""
    run: Callable[[], Iterable[Verdict]]


class Stage:
    """A folder for everything, one path in it where each trial works in turn."""

    def __init__(self, folder: Path, scale: float, code: str) -> None:
        self.folder, self.scale, self._code = folder.resolve(), scale, code
        self.place = self.folder / "trial"
        """Runs and stores may tell their own paths, so all trials have the same."""
        self.output = self.folder / "output.txt"

    @cached_property
    def scene(self) -> Scene:
        """Videos and manifests, drawn when they are first needed."""
        source = Path(__file__).with_name("scene.py").read_bytes()
        import hashlib

        return make_scene(self.folder / f"scene-{hashlib.sha256(source).hexdigest()[:8]}")

    def lay(self) -> Path:
        """Put the scene, and nothing else, at the place."""
        return lay(self.scene, self.place)

    def start(self, name: str, make: Callable[[], None]) -> Path:
        """Give a folder as it is when `make` has worked at the place, made once."""
        kept = self.folder / f"start-{self._code}" / name
        if not kept.exists():
            self.lay()
            make()
            kept.parent.mkdir(exist_ok=True)
            shutil.copytree(self.place, kept, symlinks=True)
        return kept

    def do(self, *commands: Sequence[str]) -> None:
        """Run commands that must succeed, but for videos that are broken on purpose."""
        for arguments in commands:
            ending = self.run(arguments)
            if ending.escaped or ending.refused:
                raise RuntimeError(f"egofeat {' '.join(arguments)}:\n{ending.text}")

    def begin(self, start: Path) -> Path:
        """Have the place as a start has it."""
        return fresh(self.place, start)

    def child(self, arguments: Sequence[str], arm: Arm | None = None, number: int = 0) -> Child:
        """Start `egofeat ARGUMENTS` at the place."""
        output = self.output.with_suffix(f".{number}.txt")
        return Child(small_shards(command(arguments, self.place)), output, arm)

    def run(self, arguments: Sequence[str], arm: Arm | None = None) -> Ending:
        """Run `egofeat ARGUMENTS` at the place to its end."""
        return self.child(arguments, arm).wait()

    def thin(self, points: Sequence[Point], salt: str, least: int = 1) -> list[Point]:
        """Choose as many points as the scale says, in order; a larger scale chooses these too."""
        order = list(range(len(points)))
        random.Random(salt).shuffle(order)
        count = min(len(points), max(least, round(len(points) * self.scale)))
        return [points[index] for index in sorted(order[:count])]

    def keep(self, row: str, name: str) -> None:
        """Keep the place as a bad trial left it, unless enough are kept."""
        kept = self.folder / "bad"
        kept.mkdir(exist_ok=True)
        if self.place.exists() and len(list(kept.iterdir())) < KEPT:
            folder = kept / f"{row} {name}".replace("/", "_").replace(" ", "-")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.place, folder, symlinks=True)
