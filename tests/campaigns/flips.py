"""One flipped bit: found by `verify`, refused by the reader, or without effect on its answers."""

import io
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaigns.kills import EXTRACT, ROI, WINDOWS
from tests.campaigns.process import Child, Verdict, in_one_child, run_here
from tests.campaigns.reading import Digests, read_run, read_store
from tests.campaigns.stage import Stage, Trial

STORES: Mapping[str, Sequence[str]] = {
    "hdf5": EXTRACT,
    "gzip": (*EXTRACT, "--compress", "gzip", "--out", "gzip"),
    "zarr": (*EXTRACT, "--format", "zarr", "--out", "zarr"),
    "zstd": (*EXTRACT, "--format", "zarr", "--compress", "zstd", "--out", "zstd"),
    "windows": (*WINDOWS, "--out", "windows"),
    "persons": (*ROI, "--out", "persons"),
}
TRAINED = ("--store", "features/few", "--epochs", "2", "--batch-size", "4", "--device", "cpu")
RUNS = {
    "linear": ("fit-head", "linear", *TRAINED, "--out", "runs/linear"),
    "lstm": ("fit-head", "lstm", *TRAINED, "--out", "runs/lstm"),
}
OF_STORES, OF_RUNS, TOGETHER = 260, 220, 20
"""Flips a store, flips a run, flips a child."""
LIMIT, MEMORY = 60.0, 4 << 30


@dataclass(frozen=True)
class Flip:
    """A bit of a file."""

    file: str
    byte: int
    bit: int

    def apply(self, folder: Path) -> None:
        """Turn it over."""
        path = folder / self.file
        data = bytearray(path.read_bytes())
        data[self.byte] ^= 1 << self.bit
        path.write_bytes(bytes(data))


def trials(stage: Stage) -> Iterator[Trial]:
    """Stores of every kind, then runs."""
    start = stage.start("stores and runs", lambda: stage.do(*STORES.values(), *RUNS.values()))
    for name, arguments in STORES.items():
        out = arguments[arguments.index("--out") + 1] if "--out" in arguments else "features"
        (store,) = (start / out).glob("*/*")
        yield from _each(stage, f"bits of a store, {name}", store, _read_store, OF_STORES)
    for name in RUNS:
        yield from _each(stage, f"bits of a run, {name}", start / "runs" / name, _read_run, OF_RUNS)


def _each(
    stage: Stage, row: str, pristine: Path, read: Callable[[Path], Digests], count: int
) -> Iterator[Trial]:
    start = next(p for p in pristine.parents if p.parent.name.startswith("start-"))
    copy = stage.place / pristine.relative_to(start)
    stage.begin(start)
    told = stage.folder / "pristine.json"

    def look() -> int:
        sound, said = verify(copy)
        told.write_text(json.dumps({"digests": read(copy), "sound": sound, "said": said}))
        return 0

    ending = Child(look, stage.output).wait()
    looked = (
        {"sound": False, "said": ending.last_line} if ending.code else json.loads(told.read_text())
    )
    if not looked["sound"]:
        detail = f"unaltered, and verify says: {looked['said']}"
        yield Trial(row, "unaltered", lambda: [Verdict("not verified", bad=True, detail=detail)])
        return
    flips = _flips(row, pristine, max(1, round(count * stage.scale)))
    judge = partial(_judge, pristine=pristine, copy=copy, read=read, expected=looked["digests"])
    for first in range(0, len(flips), TOGETHER):
        some = flips[first : first + TOGETHER]

        def one(some: Sequence[Flip] = some) -> Iterator[Verdict]:
            stage.begin(start)
            yield from in_one_child(some, judge, limit=LIMIT, memory=MEMORY, output=stage.output)

        yield Trial(row, f"{first} to {first + len(some) - 1}", one)


def _flips(row: str, folder: Path, count: int) -> list[Flip]:
    """Half of them anywhere in the bytes, half in a file that was chosen first."""
    rng = random.Random(row)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")
    sizes = [path.stat().st_size for path in files]
    flips = []
    for number in range(count):
        (path,) = rng.choices(files, sizes if number % 2 else None)
        if path.stat().st_size:
            byte = rng.randrange(path.stat().st_size)
            flips.append(Flip(path.relative_to(folder).as_posix(), byte, rng.randrange(8)))
    return flips


def _judge(
    flip: Flip, pristine: Path, copy: Path, read: Callable[[Path], Digests], expected: Digests
) -> Verdict:
    from egofeat.errors import EgofeatError

    shutil.rmtree(copy)
    shutil.copytree(pristine, copy)
    flip.apply(copy)
    refusal, found = "", {}
    try:
        found = read(copy)
    except EgofeatError as error:
        refusal = str(error)
    shutil.rmtree(copy)  # reading a run may write into it
    shutil.copytree(pristine, copy)
    flip.apply(copy)
    sound, _ = verify(copy)
    if not sound:
        return Verdict("found by verify")
    if refusal:
        return Verdict("refused")
    changed = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    if changed:
        detail = f"{flip} of {pristine.name}: verify says sound, other {sorted(changed)[0]}"
        return Verdict("silently different", bad=True, detail=detail)
    return Verdict("without effect")


def verify(path: Path) -> tuple[bool, str]:
    """Say whether `egofeat verify` calls a store or a run sound, and its last line."""
    code, text = run_here(("verify", str(path)))
    return code == 0, (text.strip().splitlines() or [""])[-1]


def _read_store(path: Path) -> Digests:
    from egofeat.store import list_stores, progress_of

    list_stores(path.parent)
    progress_of(path)
    return read_store(path)


def _read_run(path: Path) -> Digests:
    """What its files say, and what it says of the store that it was trained on."""
    from egofeat.errors import EgofeatError

    found = read_run(path)
    code, text = run_here(
        ("evaluate", str(path), "--device", "cpu", "--json"), stderr=io.StringIO()
    )
    if code:
        raise EgofeatError(text)
    return {**found, "evaluated": text}
