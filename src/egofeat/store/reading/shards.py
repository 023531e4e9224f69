"""What all shards of a store say, as columns: nothing in Python that grows with the store."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.damage import MovedError
from egofeat.store.formats.person_columns import check_columns
from egofeat.store.formats.shard import Shard, ShardFormat
from egofeat.store.reading.packing import Packed, PackedColumns
from egofeat.store.reading.stamps import FIELDS, Seen
from egofeat.store.rows import Key, keys

UNMAPPED, UNFIT = -1, -2
"""In place of the offset of a tap: it is read through the library; it is not the recipe's."""

Columns = Mapping[str, NDArray[Any]]
Opened = tuple[Shard, NDArray[np.int64]]
"""A shard, and its stamp of before it was opened."""


@dataclass(frozen=True, eq=False)
class Shards:
    """Shards of a store, in the order of their names, and their segments, one after the other."""

    folder: Path
    form: ShardFormat
    by_shard: Columns
    """`name` of the file or folder, and its `stamp` [shards, 5] when it was listed; how many
    segments (`count`) and `rows`; whether it is `flat`, has `stamps`, and is right for `persons`;
    number of its maker in `makers` (`made`), -1 for none; of each tap where its bytes begin
    (`offset/<tap>`) in which file (`file/<tap>`)."""
    by_segment: Columns
    """`id`, `video`, `start`, `stop`, `clipped`, `length` in rows, `stamp` [segments, 4]."""
    makers: tuple[Mapping[str, str], ...]
    """What made the shards, each once."""

    @classmethod
    def of(
        cls,
        folder: Path,
        form: ShardFormat,
        recipe: Recipe,
        opened: Iterable[Opened],
    ) -> Self:
        """Columns of shards that were opened, in their order."""
        one = (cls._one(form, recipe, *pair) for pair in opened)
        return cls.joined([cls._nothing(folder, form, recipe), *one])

    @classmethod
    def _nothing(cls, folder: Path, form: ShardFormat, recipe: Recipe) -> Self:
        whole, truth, text = np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.str_)
        second = np.empty(0, np.float64)
        by_shard: dict[str, NDArray[Any]] = {
            "name": text,
            "stamp": whole.reshape(0, FIELDS),
            "count": whole,
            "rows": whole,
            "made": whole,
        }
        by_shard |= dict.fromkeys(("flat", "stamps", "persons"), truth)
        for tap in recipe.taps:
            by_shard |= {f"offset/{tap}": whole, f"file/{tap}": text}
        by_segment: dict[str, NDArray[Any]] = {"id": text, "video": text}
        by_segment |= dict.fromkeys(("start", "stop"), second)
        by_segment |= {"clipped": truth, "length": whole, "stamp": whole.reshape(0, 4)}
        return cls(folder, form, by_shard, by_segment, ())

    @classmethod
    def _one(
        cls, form: ShardFormat, recipe: Recipe, shard: Shard, stamp: NDArray[np.int64]
    ) -> Self:
        count = len(shard.ids)
        by_shard: dict[str, Any] = {
            "name": shard.path.name,
            "stamp": stamp,
            "count": count,
            "rows": shard.rows,
            "made": 0 if shard.made_with else -1,
            "flat": shard.offsets is not None,
            "stamps": shard.media_stamps is not None,
            "persons": _has_persons(shard),
        }
        for tap in recipe.taps:
            by_shard[f"offset/{tap}"], by_shard[f"file/{tap}"] = _place(recipe, shard, tap)
        lengths = np.ones(count, np.int64) if shard.offsets is None else np.diff(shard.offsets)
        stamps = shard.media_stamps
        by_segment = {
            "id": np.array(shard.ids, np.str_),
            "video": np.array(shard.videos, np.str_),
            "start": shard.starts,
            "stop": shard.stops,
            "clipped": shard.clipped,
            "length": lengths,
            "stamp": np.zeros((count, 4), np.int64) if stamps is None else stamps,
        }
        makers = (shard.made_with,) if shard.made_with else ()
        of_shard = {name: np.array([value]) for name, value in by_shard.items()}
        return cls(shard.path.parent, form, of_shard, by_segment, makers)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All shards of some parts, one part after the other."""
        makers: dict[str, Mapping[str, str]] = {}
        places: dict[str, int] = {}
        made = []
        for part in parts:
            texts = [json.dumps(dict(one), sort_keys=True) for one in part.makers]
            makers |= dict(zip(texts, part.makers, strict=True))
            numbers = [places.setdefault(text, len(places)) for text in texts]
            made.append(np.array([*numbers, -1], np.int64)[part.by_shard["made"]])
        first = parts[0]
        by_shard = _stacked([part.by_shard for part in parts]) | {"made": np.concatenate(made)}
        by_segment = _stacked([part.by_segment for part in parts])
        return cls(first.folder, first.form, by_shard, by_segment, tuple(makers.values()))

    def pick(self, numbers: NDArray[np.int64]) -> Self:
        """Some of the shards, in the order given, and what made them."""
        counts = self.by_shard["count"]
        segments = runs((np.cumsum(counts) - counts)[numbers], counts[numbers])
        made = self.by_shard["made"][numbers]
        known, firsts = np.unique(made[made >= 0], return_index=True)
        known = known[np.argsort(firsts)]
        number_of = np.full(len(self.makers) + 1, -1)  # the last is that of none
        number_of[known] = np.arange(len(known))
        by_shard = {name: column[numbers] for name, column in self.by_shard.items()}
        return type(self)(
            self.folder,
            self.form,
            by_shard | {"made": number_of[made]},
            {name: column[segments] for name, column in self.by_segment.items()},
            tuple(self.makers[number] for number in known.tolist()),
        )

    def __len__(self) -> int:
        return len(self.by_shard["name"])

    def path(self, number: int) -> Path:
        """File or folder of a shard."""
        return self.folder / str(self.by_shard["name"][number])

    def seen(self, number: int) -> Seen:
        """A shard as it was when it was listed."""
        path = os.fspath(self.path(number))
        return Seen(path, self.form.head, tuple(self.by_shard["stamp"][number].tolist()))

    def refuse(self, which: NDArray[np.bool_], why: Callable[[Shard], Any]) -> None:
        """Open the first shard of those that are not right, for `why` to say what is wrong.

        Raises:
            MovedError: it is another shard by now.
            StoreError: what `why` raises, as a sentence on the shard.
        """
        for number in np.flatnonzero(which)[:1].tolist():
            with self.seen(number).reading():
                why(self.form.open(self.path(number)))
                raise MovedError(f"shard {self.path(number)}")

    @property
    def shard_of(self) -> NDArray[np.int64]:
        """[segments] number of the shard of each segment."""
        return np.repeat(np.arange(len(self)), self.by_shard["count"])

    def in_runs(self, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """A column of the segments, of which equal ones that follow each other are one.

        Returns:
            `[runs, …]` its values, and the segment that each begins at.
        """
        of = self.by_segment
        kept = of.packed(name) if isinstance(of, PackedColumns) else Packed.of(of[name])
        return kept.wide, kept.begins

    @property
    def keys(self) -> Iterable[Key]:
        """Every segment."""
        of = self.by_segment
        return keys(of["id"].tolist(), of["start"], of["stop"])


def _has_persons(shard: Shard) -> bool:
    try:
        check_columns(shard)
    except ValueError:
        return False
    return True


def _place(recipe: Recipe, shard: Shard, tap: str) -> tuple[int, str]:
    """Where a tap's bytes begin, and in which file below the shard, empty for itself."""
    try:
        place = shard.tap(tap, recipe.taps[tap], recipe.dtype).place
    except ValueError:
        return UNFIT, ""
    if place is None or not place.file.is_relative_to(shard.path):
        return UNMAPPED, ""
    return place.offset, "/".join(place.file.relative_to(shard.path).parts)


def _stacked(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def runs(firsts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers `[first, first + length)` of each pair, one run after the other."""
    ends: NDArray[np.int64] = np.cumsum(lengths)
    numbers: NDArray[np.int64] = np.repeat(firsts - (ends - lengths), lengths)
    numbers += np.arange(len(numbers))
    return numbers
