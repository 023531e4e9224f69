"""Every read and write of an extraction fails once: no wrong row, no crash, and it is resumed.

The network sees one frame at a time here, so that a row has the same bits whatever was read
before it.
"""

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.process import Child, Ending, Verdict, command, exit_code
from tests.campaigns.reading import Digests, read_stores
from tests.campaigns.scene import GAP, NETWORK, READ, small_shards
from tests.campaigns.shim import MUTATING, READING, Arm
from tests.campaigns.stage import Stage, Trial

ERRORS = {name: getattr(errno, name) for name in ("EIO", "ENOSPC", "EDQUOT", "ESTALE")}
MEDIA = ("mp4", "mkv", "ts", "avi", "frames", "tar")
FORMATS = (("hdf5",), ("hdf5", "--compress", "gzip"), ("zarr",))
LASTING = 12
"""Points from which on the disk stays full, a format."""


def _extract(dataset: str, form: Sequence[str] = ("hdf5",)) -> list[str]:
    one = ("--batch-size", "1", "--format", *form)
    return ["extract", "--dataset", dataset, *NETWORK, *READ, *GAP, *one]


def trials(stage: Stage) -> Iterator[Trial]:
    """Reads of each kind of video, then writes of each format, then a disk that stays full."""
    videos = (stage.scene.folder / "videos").resolve()
    for kind in MEDIA:
        row = f"a read of {kind} fails"
        yield from _each(stage, row, _extract(kind), READING, videos, list(ERRORS))
    for form in FORMATS:
        row = f"a write fails, {' '.join(form[::2])}"
        arguments = _extract("mp4", form)
        yield from _each(stage, row, arguments, MUTATING, stage.place, list(ERRORS))
        row = f"the disk stays full, {' '.join(form[::2])}"
        yield from _each(
            stage, row, arguments, ("write",), stage.place, ["ENOSPC", "EDQUOT"], LASTING
        )


def _each(
    stage: Stage,
    row: str,
    arguments: Sequence[str],
    calls: Sequence[str],
    below: Path,
    errors: Sequence[str],
    lasting: int = 0,
) -> Iterator[Trial]:
    stage.lay()
    unbroken = stage.run(arguments, Arm(calls, below))
    expected = _resume(stage, arguments)[0].rows
    if unbroken.code or not expected:
        verdict = Verdict("does not run", bad=True, detail=unbroken.last_line)
        yield Trial(row, "unbroken", lambda: [verdict])
        return
    points = [(number, name) for number in range(1, unbroken.calls + 1) for name in errors]
    chosen = stage.thin(points, row)
    if lasting:
        chosen = chosen[:: max(1, len(chosen) // lasting)]
    for number, name in chosen:

        def one(number: int = number, name: str = name) -> list[Verdict]:
            stage.lay()
            failed = stage.run(arguments, Arm(calls, below, number, ERRORS[name], bool(lasting)))
            if not failed.hit:
                return [Verdict("not reached")]
            how = f"{name} at call {number} ({failed.hit.replace(f'{stage.place}/', '')})"
            return [_judge(stage, failed, arguments, expected, how, bool(lasting))]

        yield Trial(row, f"{name} {number}", one)


def _judge(
    stage: Stage,
    failed: Ending,
    arguments: Sequence[str],
    expected: Digests,
    how: str,
    full: bool,
) -> Verdict:
    if failed.escaped:
        return Verdict("escape", bad=True, detail=f"{how}: {failed.escaped}")
    left, again, made = _resume(stage, arguments)
    hint = ".rates.jsonl" in how  # how fast it went: a forecast's, nothing that was asked for
    done = hint and failed.code == 0 and left.rows == expected
    if full and not (failed.refused and failed.code == 1) and not done:
        return Verdict("no sentence", bad=True, detail=f"{how}: {failed.code} {failed.last_line}")
    if wrong := _unlike(left.rows, expected):
        said = f"{how}: exit code {failed.code}, {wrong[0]} and {len(wrong) - 1} more"
        return Verdict("wrong rows", bad=True, detail=said)
    if left.refusal and failed.code == 0:
        detail = f"{how}: exit code 0, but {left.refusal}"
        return Verdict("unreadable", bad=True, detail=detail)
    if again.escaped or again.code:
        said = f"{how}; then {again.escaped or again.code}: {again.last_line}"
        return Verdict("not resumed", bad=True, detail=said)
    wrong = _unlike(made.rows, expected) + [f"no {row}" for row in expected if row not in made.rows]
    if made.refusal or wrong:
        detail = f"{how}; then exit code 0, but {made.refusal or wrong[0]}"
        return Verdict("other rows after resuming", bad=True, detail=detail)
    return Verdict("unharmed" if failed.code == 0 else "told, then resumed")


def _unlike(rows: Digests, expected: Digests) -> list[str]:
    return [row for row, digest in rows.items() if expected.get(row, "") != digest]


@dataclass(frozen=True)
class Left:
    """What an extraction left behind."""

    rows: Digests
    """What readers get."""
    refusal: str
    """What they are told where they get nothing, or what `verify` finds."""

    @classmethod
    def at(cls, features: Path) -> "Left":
        """Read all stores of a folder, in this process."""
        from egofeat.errors import EgofeatError
        from egofeat.store import verify
        from egofeat.store.description import find_stores

        if not features.exists():
            return cls({}, "")
        try:
            rows = read_stores(features)
            problems = [problem for store in find_stores(features) for problem in verify(store)]
        except EgofeatError as error:
            return cls({}, str(error))
        return cls(rows, "; ".join(problem.message for problem in problems))


def _resume(stage: Stage, arguments: Sequence[str]) -> tuple[Left, Ending, Left]:
    """Say what there is, give the command again, say what there is then; all in one child."""
    told, features = stage.folder / "left.json", stage.place / "features"
    told.unlink(missing_ok=True)

    def work() -> int:
        before = Left.at(features)
        try:
            code = small_shards(command(arguments, stage.place))()
        except SystemExit as stop:
            code = exit_code(stop)
        told.write_text(json.dumps([vars(before), vars(Left.at(features))]))
        return code

    ending = Child(work, stage.output).wait()
    if not told.exists():
        return Left({}, ""), ending, Left({}, "")
    before, after = (Left(**said) for said in json.loads(told.read_text()))
    return before, ending, after
