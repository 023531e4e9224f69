"""The whole road of heads at EPIC-KITCHENS-100 size, from the command line: time and memory.

    python bench/epic_size.py --folder /tmp/epic --rows 2000   # small, to try it
    python bench/epic_size.py --folder /tmp/epic               # 67,217 + 9,668 rows, 4 GB

A store of rows [20, 1280] float16 is made, with labels of 97 verbs and 300 nouns that the features
tell; then `ls`, `verify`, `fit-head` of every head of vectors, `evaluate` and `export-challenge`
run one after the other, each in a process of its own. What is done stands in
`<folder>/figures.json`: given again, the road goes on after the last step that was done.

Private memory is what a process alone has: "written" is what it wrote, which nothing can take from
it; "with mapped pages" adds those of the store that no other process maps, which the system can
take back at any time.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import made
import numpy as np
from made import SHAPE
from numpy.typing import NDArray
from ratios import machine, options, private_bytes, watched

from egofeat.segments import Dataset, Media, Segment

CLASSES = {"verb": 97, "noun": 300}
TRAINING, VALIDATION = 67_217, 9_668
"""Segments of EPIC-KITCHENS-100."""
A_VIDEO = 128
"""Segments a video, and a shard."""
HEADS = ("linear", "attention_pool", "conv1d", "lstm", "transformer")


@dataclass(frozen=True)
class Step:
    """One command of the road."""

    name: str
    words: tuple[str, ...]
    """Of the command line, after `egofeat`."""


@dataclass(frozen=True)
class Figures:
    """What a step took."""

    seconds: float
    written: int
    """Bytes of private memory that were written, at most."""
    mapped: int
    """The same with private pages of mapped files."""
    said: str
    """The first line of its output."""


def write_store(out: Path, training: int, validation: int) -> Path:
    """Write the store below a folder; returns its own folder."""
    rows = training + validation
    rng = np.random.default_rng(0)
    labels = {target: long_tailed(rng, rows, count) for target, count in CLASSES.items()}
    firsts = range(0, rows, A_VIDEO)
    videos = {f"P{first // A_VIDEO % 37:02d}_{first // A_VIDEO:03d}": first for first in firsts}
    segments = tuple(
        Segment(
            id=f"{video}_{row - first}",
            video=video,
            start=float(row),
            stop=row + 1.0,
            split="train" if row < training else "val",
            labels={target: int(values[row]) for target, values in labels.items()},
            group=video[:3],
        )
        for video, first in videos.items()
        for row in range(first, min(first + A_VIDEO, rows))
    )
    dataset = Dataset(
        name="epic",
        media={video: Media(out / f"{video}.mp4") for video in videos},
        segments=segments,
        classes={t: tuple(f"{t}_{k}" for k in range(count)) for t, count in CLASSES.items()},
        tail={target: frozenset(range(count // 4, count)) for target, count in CLASSES.items()},
        unseen=frozenset({"P36"}),
    )
    marks = {
        target: rng.standard_normal((count, SHAPE[1]), dtype=np.float32)
        for target, count in CLASSES.items()
    }

    def shards() -> Iterator[tuple[tuple[Segment, ...], NDArray[np.float16]]]:
        for first in firsts:
            here = slice(first, first + A_VIDEO)
            meant = sum(marks[target][values[here]] for target, values in labels.items())
            yield segments[here], like_relu6(np.asarray(meant), rng)

    return made.write_store(out, dataset, shards())


def long_tailed(rng: np.random.Generator, rows: int, classes: int) -> NDArray[np.int64]:
    """Labels `[rows]` by Zipf's law, the first class the most frequent."""
    odds = 1 / np.arange(1, classes + 1)
    return rng.choice(classes, size=rows, p=odds / odds.sum())


def like_relu6(meant: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float16]:
    """Features `[n, *SHAPE]`; the marks `[n,C]` of what is meant stand in them faintly."""
    features = rng.standard_normal((len(meant), *SHAPE), dtype=np.float32)
    features += 0.25 * meant[:, None]
    return np.maximum(features, 0, out=features).astype(np.float16)


def road(folder: Path, heads: Sequence[str], epochs: int) -> Iterator[Step]:
    """Yield the commands of the road, in their order."""
    (place,) = (folder / "features" / "epic").iterdir()
    store, runs = str(place), folder / "runs"
    yield Step("ls", ("ls", store))
    yield Step("verify", ("verify", store))
    for head in heads:
        words = ("fit-head", head, "--store", store, "--epochs", str(epochs))
        yield Step(f"fit-head {head}", (*words, "--out", str(runs / head)))
    last = str(runs / heads[-1])
    yield Step(f"evaluate {heads[-1]}", ("evaluate", last))
    challenge = ("export-challenge", last, "--split", "val", "--out", str(folder / "val.zip"))
    yield Step(f"export-challenge {heads[-1]}", challenge)


def measured(step: Step) -> Figures:
    """Run a command in a process of its own, and watch its memory twice a second.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("egofeat")), *step.words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with watched(0.5, process.pid) as peak:
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"egofeat {' '.join(step.words)} ended with {process.returncode}")
    said = next((line for line in output.splitlines() if line.strip()), "")
    return Figures(time.perf_counter() - began, peak.written, peak.mapped, said)


def main() -> None:
    asked = options(__doc__, folder="", rows=TRAINING, epochs=2, heads=",".join(HEADS))
    if not asked.folder:
        raise SystemExit("--folder is missing: name the folder of everything that is made")
    folder = Path(asked.folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "figures.json"
    done: dict[str, dict[str, object]] = json.loads(kept.read_text()) if kept.exists() else {}

    def keep(name: str, figures: Figures) -> None:
        done[name] = asdict(figures)
        kept.write_text(json.dumps(done, indent=1) + "\n")
        print(row(name, figures), flush=True)

    print(f"{machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("\n| step | seconds | written | with mapped pages | said |\n|---|---|---|---|---|")
    if "write" in done:
        print(row("write", Figures(**done["write"])))  # type: ignore[arg-type]
    else:
        began = time.perf_counter()
        validation = round(asked.rows * VALIDATION / TRAINING)
        write_store(folder / "features", asked.rows, validation)
        dirty, clean = private_bytes(os.getpid())
        taken = time.perf_counter() - began
        keep("write", Figures(taken, dirty, dirty + clean, f"{asked.rows} + {validation} rows"))
    for step in road(folder, asked.heads.split(","), asked.epochs):
        if step.name in done:
            print(row(step.name, Figures(**done[step.name])))  # type: ignore[arg-type]
        else:
            keep(step.name, measured(step))


def row(name: str, figures: Figures) -> str:
    """One line of the table."""
    written, mapped = figures.written / 1e9, figures.mapped / 1e9
    words = f"{figures.seconds:.1f} | {written:.2f} GB | {mapped:.2f} GB | {figures.said}"
    return f"| `{name}` | {words} |"


if __name__ == "__main__":
    main()
