"""A whole process of `egofeat extract`, by engine, and of another tool on the same films.

    python bench/peer.py [--films FOLDER] [--frames 10000] [--engines torch,…] [--precision bf16]
        [--words "--size 224"] [--other COMMAND] [--repeats 1]

Every frame through MobileNetV2 at 256 pixels, or as other words of `extract` say, from the shell's
prompt to files on the disk; and the same of one frame, which is what starting takes. Ways take
turns, and medians are printed. In COMMAND, a shell's, `{films}` stands for the films, one after the
other, and `{out}` for an empty folder: any tool that takes files can be asked. Films are made where
none are given.
"""

import itertools
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from made import film
from ratios import machine, options

from egofeat.extract.video import open_video
from egofeat.segments import Media

Command = Sequence[str]
Make = Callable[[Sequence[Path], Path, str], Command]


def whole(command: Command) -> tuple[float, float]:
    """Wall seconds and processor seconds of a process and of those that it starts."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    user, system = (getattr(after, f"ru_{k}time") - getattr(before, f"ru_{k}time") for k in "us")
    return wall, user + system


def frames_of(path: Path) -> int:
    with open_video(Media(path)) as source:
        return len(source.times)


def choose(given: Sequence[Path], frames: int, folder: Path) -> tuple[list[Path], int]:
    """Films that have so many frames together, or a few more, and how many they have."""
    chosen, found = list[Path](), 0
    while found < frames:
        number = len(chosen)
        if given and number == len(given):
            break
        path = given[number] if given else film(folder / f"{number}.mp4", min(frames, 600))
        chosen.append(path)
        found += frames_of(path)
    return chosen, found


def ours(films: Sequence[Path], folder: Path, words: str) -> Command:
    """`egofeat extract` of every frame of films, with more words."""
    place = folder / "media" / "train" / "any"
    place.mkdir(parents=True)
    for path in films:
        (place / path.name).symlink_to(path.absolute())
    manifest = {"version": 1, "datasets": {"films": {"format": "folder", "media": "media"}}}
    (folder / "data_manifest.yaml").write_text(json.dumps(manifest))
    words = f"-m egofeat extract --windows 1 --stride 1 --device cpu {words}"
    where = ["--manifest", str(folder / "data_manifest.yaml"), "--out", str(folder / "out")]
    return [sys.executable, *shlex.split(words), *where]


def theirs(films: Sequence[Path], folder: Path, text: str) -> Command:
    """Another tool's command."""
    text = text.replace("{films}", shlex.join(map(str, films)))
    return ["sh", "-c", text.replace("{out}", shlex.quote(str(folder)))]


def main() -> None:
    asked = options(
        __doc__,
        films="",
        frames=10_000,
        engines="torch,openvino",
        precision="float32",
        words="",
        other="",
        repeats=1,
    )
    given = sorted(Path(asked.films).rglob("*.mp4")) if asked.films else []
    print(machine(), f"{os.cpu_count()} cores")
    rest = f"--precision {asked.precision} {asked.words}"
    ways: dict[str, tuple[Make, str]] = {
        engine: (ours, f"--engine {engine} {rest}") for engine in asked.engines.split(",")
    }
    ways |= {"other": (theirs, asked.other)} if asked.other else {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sets = {"one frame": choose([], 1, root), "all": choose(given, asked.frames, root)}
        frames = sets["all"][1]
        cost: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(asked.repeats):
            for (which, (films, _)), way in itertools.product(sets.items(), ways):
                (folder := root / f"{number} {way} {which}").mkdir()
                make, words = ways[way]
                cost.setdefault((way, which), []).append(whole(make(films, folder, words)))
    for way in ways:
        one, (wall, cpu) = (
            [statistics.median(figures) for figures in zip(*cost[way, which], strict=True)]
            for which in sets
        )
        print(
            f"{way:8}: {frames} frames in {wall:.1f} s, {frames / wall:.1f} frames/s, "
            f"{cpu:.1f} processor s; of one frame {one[0]:.1f} s, {one[1]:.1f} processor s"
        )


if __name__ == "__main__":
    main()
