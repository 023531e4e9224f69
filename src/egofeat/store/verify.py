"""Going through a whole store, every byte of it, and saying what is wrong."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.host import cores
from egofeat.recipe import Recipe
from egofeat.store.damage import MovedError
from egofeat.store.description import NAME as STORE_JSON
from egofeat.store.description import Description
from egofeat.store.files import PREFIX, is_of_the_living
from egofeat.store.formats.person_columns import check_columns, wrong_rows
from egofeat.store.formats.registry import format_of, is_shard
from egofeat.store.formats.shard import Shard, ShardFormat, offsets_of
from egofeat.store.formats.soundness import faults_of
from egofeat.store.reading.selection import select
from egofeat.store.reading.shards import Opened, Shards
from egofeat.store.reading.stamps import TIMES, Listed, Seen
from egofeat.store.seal import has_seal
from egofeat.store.sidecar.box_table import NAME as BOXES_NPZ
from egofeat.store.sidecar.box_table import BoxTable
from egofeat.store.sidecar.gaze import NAME as GAZE_NPZ
from egofeat.store.sidecar.gaze import GazeTable
from egofeat.store.sidecar.segments import NAME as SEGMENTS_JSON
from egofeat.store.sidecar.segments import read_segments
from egofeat.store.sidecar.sources import check_sources


@dataclass(frozen=True)
class Problem:
    """Something wrong in a store."""

    shard: str
    """File or folder name; empty where the whole store is meant."""
    id: str | None
    """The segment; None where the whole shard is meant."""
    message: str
    """What is wrong and how to mend it."""
    harmless: bool = False
    """Whether all is read rightly nevertheless."""


def verify(path: Path | str) -> list[Problem]:
    """Check a store's description, what stands beside the shards, and every byte of the shards.

    Reads everything once, a block at a time; changes nothing. A sound store has no problem that is
    not harmless.
    """
    store = Path(path)
    problems: list[Problem] = []
    with _noting(problems):
        description = Description.read(store)
    if problems:
        return problems
    wanted = None
    with _noting(problems):
        wanted = read_segments(store)
    with _noting(problems):
        check_sources(store, description.recipe)
    for table in (GazeTable, BoxTable):
        with _noting(problems):
            table.read(store)
    if not problems:  # what is damaged is told already
        problems += _unsealed(store)
    problems += _leftovers(store)
    form = format_of(store, description)
    opened, found = _examined(store / "shards", form, description.recipe)
    problems += found
    problems += _unchecked([shard for shard, _ in opened])
    columns = Shards.of(store / "shards", form, description.recipe, opened)
    selection = select(columns, wanted)
    problems += _spare(
        columns,
        selection.duplicates,
        "is in an earlier row too, and is read from there: harmless, but it takes space",
    )
    problems += _spare(
        columns,
        selection.stale,
        "is not what the manifest now asks for, and is not read: delete its shard to free the "
        "space; what is still needed of it is then extracted again",
    )
    return problems


_Examined = tuple[Seen, Opened | None, list[Problem]]
"""A shard as it was listed, what it says if it could be opened, and what is wrong with it."""


def _examined(
    folder: Path, form: ShardFormat, recipe: Recipe
) -> tuple[list[Opened], list[Problem]]:
    """Check every byte of the shards; those that come or go meanwhile are not damaged.

    Returns:
        Those that could be opened, and what is wrong with any; by name.
    """
    done: dict[str, _Examined] = {}
    for _ in range(TIMES):
        listed = Listed.of(folder, lambda name: is_shard(name, form), form.head)
        seen = {
            name: Seen(f"{folder}/{name}", form.head, tuple(stamp.tolist()))
            for name, stamp in zip(listed.names.tolist(), listed.stamps, strict=True)
        }
        done = {name: of for name, of in done.items() if seen.get(name) == of[0]}
        new = [name for name in seen if name not in done]
        # Whoever reads bytes and computes checksums lets other threads go on.
        with ThreadPoolExecutor(cores()) as pool:
            examined = pool.map(partial(_one, form, recipe), [seen[name] for name in new])
            done |= {name: of for name, of in zip(new, examined, strict=True) if of}
        if all(name in done for name in new):
            break
    ordered = [done[name] for name in sorted(done)]
    problems = [problem for _, _, found in ordered for problem in found]
    return [opened for _, opened, _ in ordered if opened], problems


def _one(form: ShardFormat, recipe: Recipe, seen: Seen) -> _Examined | None:
    """Check a shard; None if it is another one by now."""
    path, opened = Path(seen.path), None
    problems: list[Problem] = []
    try:
        with seen.reading():
            shard = form.open(path)
            opened = shard, np.array(seen.stamp)
            problems += _damage(shard, form, recipe)
    except MovedError:
        return None
    except StoreError as error:
        problems.append(Problem(path.name, None, str(error)))
    return seen, opened, problems


@contextlib.contextmanager
def _noting(problems: list[Problem]) -> Iterator[None]:
    """Note what a file is refused for, and go on."""
    try:
        yield
    except StoreError as error:
        problems.append(Problem("", None, str(error)))


def _unsealed(store: Path) -> Iterator[Problem]:
    for name in (STORE_JSON, SEGMENTS_JSON, GAZE_NPZ, BOXES_NPZ):
        if (store / name).is_file() and not has_seal(store / name):
            yield Problem(
                name,
                None,
                "has no checksum: an earlier egofeat wrote it, and nothing shows whether it was "
                "altered",
            )


def _leftovers(store: Path) -> Iterator[Problem]:
    for folder in (store, store / "shards"):
        for path in sorted(folder.glob(f"{PREFIX}*")):
            if not is_of_the_living(path):
                yield Problem(
                    path.name,
                    None,
                    "is half written: unless an extraction is running on another machine, delete "
                    "it, or run `egofeat extract` again, which does",
                )


def _damage(shard: Shard, form: ShardFormat, recipe: Recipe) -> Iterator[Problem]:
    name = shard.path.name
    offsets = offsets_of(shard, flat=recipe.flat)
    for tap, row_shape in recipe.taps.items():
        try:
            shard.tap(tap, row_shape, recipe.dtype)
        except ValueError as error:
            yield Problem(name, None, str(error))
    mend = f"delete the shard and run `egofeat {'roi' if recipe.of_persons else 'extract'}` again"
    for segment, wrong in faults_of(shard, form):
        yield Problem(name, segment, f"{wrong}: {mend}")
    if recipe.of_persons:
        check_columns(shard)
        owners = np.repeat(np.arange(len(shard.ids)), np.diff(offsets))
        for rows, wrong in wrong_rows(shard, form):
            for number in np.unique(owners[rows]).tolist():
                yield Problem(name, shard.ids[number], f"{wrong}: {mend}")


def _unchecked(shards: Sequence[Shard]) -> Iterator[Problem]:
    old = sum(shard.checksums is None for shard in shards)
    if old:
        yield Problem(
            "",
            None,
            f"{old} of {len(shards)} shards have no checksums of their times and ids: an earlier "
            "egofeat wrote them, and nothing shows whether these were altered; "
            "shards that are extracted again have them",
        )


def _spare(shards: Shards, segments: NDArray[np.int64], message: str) -> Iterator[Problem]:
    names = shards.by_shard["name"][shards.shard_of[segments]]
    ids = shards.by_segment["id"][segments]
    for name, id_ in zip(names.tolist(), ids.tolist(), strict=True):
        yield Problem(name, id_, message, harmless=True)
