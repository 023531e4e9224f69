"""What is known of the rows of a store: columns of one length, which never change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, NoReturn, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.segments import Dataset, Segments
from egofeat.store.rows import Key, keys
from egofeat.words import quoted

Values = TypeVar("Values")
SAME_TIME = 0.05
"""Seconds that a segment's ends may differ between stores: EPIC-KITCHENS gives them as time stamps
of its videos and as numbers of its frames, which are rounded."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table:
    """Rows, a segment or a person each: who they are, their labels and splits, no features."""

    dataset: str
    ids: NDArray[np.str_]
    """[rows] id of each row's segment."""
    videos: NDArray[np.str_]
    """[rows] key of each segment's video."""
    starts: NDArray[np.float64]
    """[rows] seconds, inclusive, as requested."""
    stops: NDArray[np.float64]
    """[rows] seconds, exclusive, as requested; infinity means the end of the video."""
    splits: NDArray[np.str_]
    """[rows] split of each segment; empty where it has none."""
    groups: NDArray[np.str_]
    """[rows] what must not stand on both sides of a fair split; empty where it is not known."""
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Target to [rows] class index, -1 where there is none; of persons [rows, classes] bool."""
    published: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Name of each published split, where there are several, to [rows] split by it."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Target to class names; the index of a name is its label."""
    tail: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Target to the labels that count as tail classes."""
    unseen: frozenset[str] = frozenset()
    """Groups that appear in no training split by design."""
    benchmark: tuple[str, ...] = ()
    """Targets that the data set's published benchmark judges, where it has others too."""

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> Self:
        """Columns of a data set, in its order."""
        segments = Segments.of(dataset.segments)
        return cls(
            dataset=dataset.name,
            ids=segments.ids.astype(np.str_),
            videos=segments.videos.astype(np.str_),
            starts=segments.starts,
            stops=segments.stops,
            splits=segments.splits.astype(np.str_),
            groups=segments.groups.astype(np.str_),
            labels={target: segments.labels_of(target) for target in dataset.classes},
            published={name: np.array(of, np.str_) for name, of in dataset.published.items()},
            classes={target: tuple(names) for target, names in dataset.classes.items()},
            tail={target: frozenset(labels) for target, labels in dataset.tail.items()},
            unseen=frozenset(dataset.unseen),
            benchmark=dataset.benchmark,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        splits = ", ".join(f"{count} {split or 'of none'}" for split, count in self.counts.items())
        targets = ", ".join(f"{target} {of.shape}" for target, of in self.labels.items())
        return f"Table({self.dataset}: {len(self)} rows; splits {splits}; labels {targets})"

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.splits == split).astype(np.int64)

    def present(self, split: str | None, path: Path | str) -> NDArray[np.int64]:
        """Row numbers of a split that must be there, or of all; `path` is whose rows they are.

        Raises:
            RequestError: no row has that split.
        """
        rows = self.rows(split)
        if split is not None and not len(rows):
            names = ", ".join(name or "'' (of no split)" for name in self.counts) or "none"
            raise RequestError(f"{path} has no split {quoted(split)}: its splits are {names}")
        return rows

    @property
    def counts(self) -> dict[str, int]:
        """Split to how many rows it has, by name."""
        names, counts = np.unique(self.splits, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Id of each segment to its row, the last one where several have it."""
        return {id_: number for number, id_ in enumerate(self.ids.tolist())}

    def of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row number of each id, -1 where there is no such row."""
        return np.array([self.numbers.get(id_, -1) for id_ in ids], np.int64)

    @property
    def keys(self) -> Iterator[Key]:
        """Id, start and stop of each row."""
        return keys(self.ids.tolist(), self.starts, self.stops)

    @property
    def sessions(self) -> NDArray[np.str_]:
        """[rows] group of each row, or its video where it has none."""
        return np.where(self.groups == "", self.videos, self.groups)

    def take(self, rows: NDArray[Any]) -> Self:
        """Pick rows, by number or by a mask [rows]."""
        columns = ("ids", "videos", "starts", "stops", "splits", "groups")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in columns},
            labels={target: of[rows] for target, of in self.labels.items()},
            published={name: of[rows] for name, of in self.published.items()},
        )

    def split_by(self, splits: NDArray[np.str_]) -> Self:
        """Replace the splits, [rows]."""
        return replace(self, splits=splits)

    def disagreement(self, other: "Table") -> str:
        """What two tables of the same segments say differently; empty where they agree."""
        # A table of before there were several published splits tells none.
        both = bool(self.published and other.published)
        alike = {
            "classes": self.classes == other.classes,
            "tail classes": self.tail == other.tail,
            "unseen groups": self.unseen == other.unseen,
            "splits": np.array_equal(self.splits, other.splits),
            "groups": np.array_equal(self.groups, other.groups),
            "labels": _same(self.labels, other.labels),
            "published splits": not both or _same(self.published, other.published),
        }
        return next((what for what, same in alike.items() if not same), "")


def intersect(tables: Sequence[Table]) -> list[NDArray[np.int64]]:
    """Rows of each table that stand in all, in the order of the first one.

    A segment is its id, and its start and stop but for `SAME_TIME`.
    """
    first = tables[0]
    found = np.stack([table.of(first.ids.tolist()) for table in tables])
    found = found[:, (found >= 0).all(axis=0)]
    alike = np.ones(found.shape[1], np.bool_)
    for table, rows in zip(tables, found, strict=True):
        for name in ("starts", "stops"):
            here, there = getattr(first, name)[found[0]], getattr(table, name)[rows]
            alike &= np.isclose(here, there, rtol=0, atol=SAME_TIME)
    return list(found[:, alike])


def _same(columns: Mapping[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> bool:
    """Whether there are the same columns, alike in every row."""
    return columns.keys() == others.keys() and all(
        np.array_equal(columns[name], others[name]) for name in columns
    )


class Column(Generic[Values]):
    """A column of a table, read from whatever has one."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: "Tabled | None", kind: type) -> Values:
        return cast(Values, self if owner is None else getattr(owner.table, self._name))

    def __set__(self, owner: "Tabled", values: Values) -> NoReturn:
        raise AttributeError(f"{self._name} never changes: make another table, see Table.split_by")


class Tabled:
    """What has a table of its rows, and offers its columns as its own: see `Table`."""

    table: Table
    dataset = Column[str]()
    ids = Column[NDArray[np.str_]]()
    videos = Column[NDArray[np.str_]]()
    starts = Column[NDArray[np.float64]]()
    stops = Column[NDArray[np.float64]]()
    splits = Column[NDArray[np.str_]]()
    groups = Column[NDArray[np.str_]]()
    labels = Column[Mapping[str, NDArray[Any]]]()
    published = Column[Mapping[str, NDArray[np.str_]]]()
    classes = Column[Mapping[str, tuple[str, ...]]]()
    tail = Column[Mapping[str, frozenset[int]]]()
    unseen = Column[frozenset[str]]()
    benchmark = Column[tuple[str, ...]]()

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all."""
        return self.table.rows(split)
