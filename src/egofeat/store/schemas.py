"""What the texts of a store must say: a schema of store.json, one of segments.json.

Kept by themselves since pydantic is slow to import, and few who import egofeat read a text.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from egofeat.schema import Name
from egofeat.words import plain

_Texts = Annotated[list[str], FailFast()]
_Label = Annotated[int, Field(ge=-1, lt=2**31)]
_Second = Annotated[float, Field(allow_inf_nan=False)]


class Version(BaseModel):
    """What every store.json says, also a newer one."""

    schema_: int = Field(alias="schema")


class StoreText(Version):
    """store.json."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    recipe: dict[str, Any]
    dataset: Name
    format: Name
    compress: str | None
    made_with: dict[str, str]
    sha256: str | None = None


class FailureLine(BaseModel):
    """A line of failures-<worker>.jsonl."""

    model_config = ConfigDict(extra="forbid")

    id: str
    video: str
    start: _Second
    stop: _Second | None
    reason: str
    cause: Literal["damaged", "overflow", "missing", "unreadable"] | None = None
    windows: Annotated[int, Field(ge=0)] = 0
    file: tuple[int, int] | None = None
    also: list[tuple[str, _Second, _Second | None]] = []


class SegmentsText(BaseModel):
    """segments.json."""

    model_config = ConfigDict(extra="forbid")

    dataset: Name
    classes: dict[Name, Annotated[tuple[str, ...], FailFast()]]
    tail: dict[str, Annotated[frozenset[_Label], FailFast()]]
    unseen: Annotated[frozenset[str], FailFast()]
    id: _Texts
    video: _Texts
    start: Annotated[list[_Second], FailFast()]
    stop: Annotated[list[_Second | None], FailFast()]
    split: _Texts
    group: _Texts
    labels: dict[str, Annotated[list[_Label | None], FailFast()]]
    published: dict[str, _Texts] = Field(default_factory=dict)
    benchmark: tuple[str, ...] = ()
    sha256: str | None = None

    def check(self) -> None:
        """Refuse columns that do not fit together.

        Raises:
            ValueError: saying which.
        """
        columns = {name: getattr(self, name) for name in ("video", "start", "stop", "split")}
        columns |= {"group": self.group} | {f"labels.{t}": of for t, of in self.labels.items()}
        columns |= {f"published.{name}": of for name, of in self.published.items()}
        for name, column in columns.items():
            if len(column) != len(self.id):
                raise ValueError(f"{name}: of {len(column)} segments, and id: of {len(self.id)}")
        for target, labels in self.labels.items():
            highest = max((label for label in labels if label is not None), default=-1)
            if highest >= len(self.classes.get(target, ())):
                raise ValueError(f"labels.{plain(target)}: {highest} has no class")


_Stamp = tuple[int, int, int, int, int]


class TableText(BaseModel):
    """What a store's index says of the manifest's table, its columns aside."""

    classes: dict[Name, tuple[str, ...]]
    tail: dict[str, frozenset[_Label]]
    unseen: frozenset[str]
    benchmark: tuple[str, ...]
    labels: tuple[str, ...]
    published: tuple[str, ...]
    segments: _Stamp
    stale: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0, lt=2**40)]


class IndexText(BaseModel):
    """What a store's index says beside its columns."""

    recipe: str
    taken: int
    shards: Annotated[int, Field(ge=0, lt=2**40)]
    segments: Annotated[int, Field(ge=0, lt=2**40)]
    makers: tuple[dict[str, str], ...]
    table: TableText | None


_Kind = Annotated[str, Field(pattern=r"^(<U[1-9]\d{0,5}|\|S[1-9]\d{0,5}|\|i1|<i[248]|<f8|\|b1)$")]
_Extent = Annotated[int, Field(ge=0, lt=2**40)]


class ColumnsText(BaseModel):
    """Where in the file of an index each column lies: kind, shape, offset, crc32."""

    notes: IndexText
    columns: dict[str, tuple[_Kind, tuple[_Extent, ...], _Extent, int]]
