"""SIGKILL before every call that changes the disk; the same command again; the same bits.

And at random moments of two processes on one store.
"""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.process import Ending, Verdict
from tests.campaigns.scene import GAP, NETWORK, READ
from tests.campaigns.shim import MUTATING, Arm
from tests.campaigns.stage import Stage, Trial
from tests.campaigns.tree import contents, difference

EXTRACT = ("extract", "--dataset", "few", *NETWORK, *READ, *GAP)
WINDOWS = ("extract", "--dataset", "few", *NETWORK, *READ, "--tap", "gap", "--windows", "8")
ROI = ("roi", "--dataset", "people", *NETWORK, *READ, "--tap", "roi")
OWN = tuple("own.pth" if word == "random" else word for word in NETWORK)
AGAIN = ("--device", "cpu", *READ)
SWAP = (
    *("reextract", "--from", "features/few/mobilenetv2-*", "--out", "again", *AGAIN),
    *("--backbone", "mobilenetv2", "--tap", "block2", "--weights", "random"),
)
TRAINED = ("--epochs", "3", "--batch-size", "4", "--device", "cpu")


@dataclass(frozen=True)
class Work:
    """A command that goes on where it was killed."""

    name: str
    arguments: Sequence[str]
    before: Sequence[Sequence[str]] = ()
    """Commands that make what it begins from."""
    stale: bool = False
    """Whether the weights were replaced in between."""


WORKS = (
    Work("extract hdf5", EXTRACT),
    Work("extract gzip", (*EXTRACT, "--compress", "gzip")),
    Work("extract windows", WINDOWS),
    Work("roi", ROI),
    Work("reextract --from", SWAP, (EXTRACT,)),
    Work("reextract --all", ("reextract", "--all", "few", *AGAIN), stale=True),
    Work("fit-head", ("fit-head", "lstm", "--store", "features/few", *TRAINED), (EXTRACT,)),
    Work(
        "fit-head --out",
        ("fit-head", "linear", "--store", "features/few", "--out", "runs/one", *TRAINED),
        (EXTRACT,),
    ),
    Work("extract zarr", (*EXTRACT, "--format", "zarr")),
)


def trials(stage: Stage) -> Iterator[Trial]:
    """Every point of every command, then two processes at a time."""
    for work in WORKS:
        yield from _each_call(stage, work)
    parts = [(*EXTRACT, "--part", f"{number}/2") for number in (1, 2)]
    yield from _two(stage, "kill two, parts", parts)
    yield from _two(stage, "kill two, the same", [EXTRACT, EXTRACT])


def start_of(stage: Stage, work: Work) -> Path:
    """Give the folder that a command begins from."""
    if work.stale:
        return stage.start("stale", lambda: _stale(stage))
    names = "+".join(arguments[0] for arguments in work.before)
    return stage.start(f"after {names}", lambda: stage.do(*work.before))


def _stale(stage: Stage) -> None:
    """Leave a store whose weights file was replaced afterwards."""
    _weights(stage, 1)
    stage.do(("extract", "--dataset", "few", *OWN, *READ, *GAP))
    _weights(stage, 2)


def _each_call(stage: Stage, work: Work) -> Iterator[Trial]:
    start = start_of(stage, work)
    place = stage.begin(start)
    unbroken = stage.run(work.arguments, Arm(MUTATING, place))
    expected = contents(place)
    row = f"kill {work.name}"
    if unbroken.escaped or unbroken.refused or not unbroken.calls:
        verdict = Verdict("does not run", bad=True, detail=unbroken.last_line)
        yield Trial(row, "unbroken", lambda: [verdict])
        return
    for number in stage.thin(range(1, unbroken.calls + 1), row):

        def one(number: int = number) -> list[Verdict]:
            stage.begin(start)
            killed = stage.run(work.arguments, Arm(MUTATING, place, number))
            if killed.code != -signal.SIGKILL:
                if killed.escaped:
                    return [Verdict("escape", bad=True, detail=killed.escaped)]
                return [Verdict("not reached")]
            again = stage.run(work.arguments)
            return [judge(again, unbroken, expected, place, f"killed before {killed.hit}")]

        yield Trial(row, str(number), one)


def judge(
    again: Ending, unbroken: Ending, expected: dict[str, str], place: Path, how: str
) -> Verdict:
    """Say whether a command that was given again ended as the unbroken one."""
    how = how.replace(f"{place}/", "")
    if again.escaped:
        return Verdict("escape", bad=True, detail=f"{how}; then {again.escaped}")
    if again.refused or again.code != unbroken.code:
        detail = f"{how}; then exit code {again.code}: {again.last_line}"
        return Verdict("not resumed", bad=True, detail=detail)
    unlike = difference(expected, contents(place))
    if unlike:
        return Verdict("other bits", bad=True, detail=f"{how}; then {unlike}")
    return Verdict("same bits")


def _two(stage: Stage, row: str, commands: Sequence[Sequence[str]]) -> Iterator[Trial]:
    start = start_of(stage, WORKS[0])
    place = stage.begin(start)
    began = time.monotonic()
    unbroken = [stage.run(arguments) for arguments in commands]
    seconds = (time.monotonic() - began) / len(commands)
    expected = contents(place)
    for number in range(max(1, round(60 * stage.scale))):

        def one(number: int = number) -> list[Verdict]:
            moments = random.Random(f"{row} {number}")
            stage.begin(start)
            children = [stage.child(c, number=k) for k, c in enumerate(commands)]
            doomed = moments.sample(range(2), moments.choice((1, 2)))
            waits = sorted(moments.uniform(0, 1.5 * seconds) for _ in doomed)
            began = time.monotonic()
            for child, wait in zip((children[k] for k in doomed), waits, strict=True):
                time.sleep(max(0.0, wait - (time.monotonic() - began)))
                os.kill(child.pid, signal.SIGKILL)
            endings = [child.wait() for child in children]
            for index, ending in enumerate(endings):
                if ending.escaped and index not in doomed:
                    detail = f"beside a killed one: {ending.escaped}"
                    return [Verdict("escape", bad=True, detail=detail)]
            again = [stage.run(arguments) for arguments in commands]
            how = f"{len(doomed)} of two killed at {', '.join(f'{w:.2f} s' for w in waits)}"
            verdicts = [
                judge(now, then, expected, place, how)
                for now, then in zip(again, unbroken, strict=True)
            ]
            return [next((v for v in verdicts if v.bad), verdicts[0])]

        yield Trial(row, str(number), one)


def _weights(stage: Stage, seed: int) -> None:
    """Save weights of a seed as the file that the commands name."""
    from tests.campaigns.process import Child

    def save() -> int:
        import torch
        import torchvision

        torch.manual_seed(seed)
        model = torchvision.models.mobilenet_v2()
        torch.save(model.state_dict(), stage.place / "own.pth")
        return 0

    ending = Child(save, stage.output).wait()
    assert ending.code == 0, ending.text
