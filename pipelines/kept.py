"""Which stores and runs are meant by a path, and `egofeat verify` of each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from egofeat import console
from egofeat.errors import RequestError
from egofeat.names import VARIANT
from egofeat.pipelines.runs import CONFIG
from egofeat.store import Problem, StoreSummary, open_store
from egofeat.store import verify as verify_store
from egofeat.store.description import NAME as STORE_JSON
from egofeat.store.description import Description, find_stores
from egofeat.store.reading.opening import find_deeper, some
from egofeat.store.sidecar.segments import NAME as SEGMENTS_JSON
from egofeat.words import counted


def find_kept(paths: Sequence[Path]) -> list[Path]:
    """Stores and runs that are meant by some paths: themselves, or all up to two folders below.

    Raises:
        RequestError: there is none at one of them.
    """
    found: dict[Path, None] = {}
    for path in paths:
        here = [path] if (path / CONFIG).exists() or (path / STORE_JSON).exists() else []
        below = here or [*find_stores(path, superseded=True), *find_runs(path)]
        if not below:
            deeper = find_deeper(path)
            mend = (
                f"name one of those below: {some(deeper)}" if deeper else "name the folder of one"
            )
            raise RequestError(f"there is no feature store and no run at {path}: {mend}")
        found |= dict.fromkeys(below)
    return list(found)


def find_runs(root: Path) -> list[Path]:
    """Runs at a folder, or up to two folders below it, sorted."""
    return sorted(
        path.parent
        for pattern in (CONFIG, f"*/{CONFIG}", f"*/*/{CONFIG}")
        for path in root.glob(pattern)
    )


def verify(path: Path) -> list[Problem]:
    """Check one store or one run; see `egofeat.store.verify` and `verify_run`."""
    if (path / STORE_JSON).exists():
        return [*verify_store(path), *_without_segments(path)]
    from egofeat.pipelines.runs.verify import verify_run  # noqa: PLC0415  torch is slow to import

    return verify_run(path)


@dataclass
class Verified:
    """Stores and runs, checked one after the other while they are told."""

    kept: Sequence[Path]
    problems: list[dict[str, str | bool | None]] = field(default_factory=list)
    """What is wrong, of those that were told."""

    @property
    def exit_code(self) -> int:
        """1 where something is wrong that is not harmless."""
        return int(not all(problem["harmless"] for problem in self.problems))

    def lines(self) -> Iterator[str]:
        """A line a problem, and whether it is sound."""
        for path in self.kept:
            found = verify(path)
            self.problems += [{"path": str(path), **asdict(problem)} for problem in found]
            where = [str(path)] if len(self.kept) > 1 else []
            for words in _told(found):
                yield ": ".join([*where, *filter(None, words)])
            if all(one.harmless for one in found):
                yield f"{path} is sound{lacking(path)}"

    def to_dict(self) -> list[dict[str, str | bool | None]]:
        """The list that `--json` prints."""
        list(self.lines())
        return self.problems


def _told(problems: Sequence[Problem]) -> Iterator[Sequence[str | None]]:
    """The words of a line a problem; what is harmless of many segments of a shard is one line."""
    harmless = Counter((one.shard, one.message) for one in problems if one.harmless)
    for one in problems:
        number = harmless[one.shard, one.message] if one.harmless else 1
        if number == 1:
            yield one.shard, one.id, one.message
        elif number:
            yield one.shard, f"each of {counted(number, 'segments')} {one.message}"
            harmless[one.shard, one.message] = 0


def say_store(store: StoreSummary) -> list[str]:
    """One store in figures, for people."""
    aside = " (superseded)" if store.superseded else ""
    if store.problem:
        return [f"{store.path}{aside}", f"  {store.problem}"]
    taps = ", ".join(f"{tap} {list(shape)}" for tap, shape in store.taps.items())
    packing = f"{store.format} {store.compress}" if store.compress else store.format
    said = [
        f"{store.path}{aside}",
        f"  {store.held}, {counted(store.failures, 'failures')}, {console.size(store.bytes)}",
        f"  {taps}, {packing}",
    ]
    if store.backbone.startswith(VARIANT):
        said.append(f"  {store.backbone}")
    if store.imported:
        said.append(f"  imported, not extracted: {store.imported}")
    if store.stale:
        stale = counted(store.stale, "segments")
        said.append(f"  and {stale} that the manifest no longer has")
    for library, (then, now) in store.changed.items():
        said.append(f"  made with {library} {then}, now {now}")
    return said + [f"  {remark}" for remark in store.remarks]


def say_none(folder: Path) -> list[str]:
    """What to say of a folder without stores."""
    said = [f"no feature stores in {folder}"]
    if deeper := find_deeper(folder):
        said.append(f"  but there are further below: {some(deeper)}")
    if runs := find_runs(folder):
        said.append(f"  but there are runs, for `egofeat evaluate`: {some(runs)}")
    return said


def lacking(path: Path) -> str:
    """Say of a sound store how many of the manifest's segments it has; empty where it has all.

    A shard that is gone leaves no trace but this.
    """
    if not (path / STORE_JSON).exists():
        return ""
    store = open_store(path, next(iter(Description.read(path).recipe.taps)))
    asked = store.asked
    count = 0 if asked is None else len(asked) - len(store)
    if asked is None or not count:
        return ""
    return (
        f"; of the {len(asked):,} segments of the manifest {count:,} are without "
        "features: not extracted, failed, or lost with their shards"
    )


def _without_segments(store: Path) -> list[Problem]:
    """Every command writes segments.json before its first shard."""
    if (store / SEGMENTS_JSON).exists() or not any((store / "shards").glob("[!.]*")):
        return []
    mend = "give the command that made the store again, which keeps the features"
    return [
        Problem(SEGMENTS_JSON, None, f"is missing, and labels, classes and splits with it: {mend}")
    ]
