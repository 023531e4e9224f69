"""What the texts of a store must say: a schema of store.json, one of segments.json.

Kept by themselves since pydantic is slow to import, and few who import egofeat read a text.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
)

from egofeat.errors import StoreError
from egofeat.names import fault_of
from egofeat.words import plain

_Schema = TypeVar("_Schema", bound=BaseModel)
_SAID = 160
"""Letters of what pydantic says that a sentence takes over."""


def parse(schema: type[_Schema], content: bytes | str) -> _Schema:
    """Read JSON by a schema.

    Raises:
        ValueError: it is not what the schema asks for; the message is a clause that says where.
    """
    try:
        return schema.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place, said = plain(".".join(map(str, first["loc"]))), plain(first["msg"], _SAID)
        said = said.removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]
        raise ValueError(f"{place}: {said}" if place else said) from None


def _named(name: str) -> str:
    if fault := fault_of(name):
        raise ValueError(f"the name {fault}")
    return name


class _Told(dict[str, Any]):
    """A part of a recipe that was read; what it does not tell is missed in a sentence."""

    def __missing__(self, key: str) -> Any:
        raise StoreError(
            f"the recipe of these features tells no {key!r}: extract them again with this egofeat"
        )


def _planned(plan: dict[str, Any]) -> dict[str, Any]:
    sampling = parse(_Plan, json.dumps(plan)).sampling
    if lacking := _NEEDED.get(sampling or "", set()) - set(plan):
        raise ValueError(f"there is no {min(lacking)!r}")
    return _Told(plan)


def _transformed(transform: dict[str, Any]) -> dict[str, Any]:
    parse(_Transform, json.dumps(transform))
    return _Told(transform)


Name = Annotated[str, AfterValidator(_named)]
"""A name that becomes part of a path."""
Count = Annotated[int, Field(ge=1, le=2**31)]
"""Of frames, pixels, channels: more is no network's."""
_Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
_Texts = Annotated[list[str], FailFast()]
_Label = Annotated[int, Field(ge=-1, lt=2**31)]
_Second = Annotated[float, Field(allow_inf_nan=False)]
_NEEDED = {
    "uniform": {"frames"},
    "clips": {"clips", "frames", "stride", "fps"},
    "windows": {"size", "stride", "fps"},
    "key-frames": {"frames"},
}
"""Way of sampling to what a plan says of it."""


class _Plan(BaseModel):
    """What is read of a plan, whatever else it says."""

    model_config = ConfigDict(extra="allow")

    sampling: Literal["uniform", "clips", "windows", "key-frames"] | None = None
    frames: Count | None = None
    clips: Count | None = None
    size: Count | None = None
    stride: Count | None = None
    fps: _Rate | None = None
    boxes: str = ""


class _Transform(BaseModel):
    """What is read of a transform, whatever else it says."""

    model_config = ConfigDict(extra="allow")

    resize: str = ""
    size: Count | tuple[Count, Count] | None = None
    crop: Count | None = None
    crops: Literal[1, 3] | None = None
    motion: dict[str, Any] | None = None
    roi: dict[str, Any] | None = None
    pool_grid: Count | None = None
    pool_time: bool | None = None


class RecipeText(BaseModel):
    """A recipe, in store.json and in a run's config.yaml."""

    model_config = ConfigDict(extra="forbid")

    backbone: Name
    weights: str
    transform: Annotated[dict[str, Any], AfterValidator(_transformed)]
    plan: Annotated[dict[str, Any], AfterValidator(_planned)]
    taps: Annotated[
        dict[Name, Annotated[tuple[Count, ...], Field(min_length=1, max_length=5)]],
        Field(min_length=1, max_length=1000),
    ]
    dtype: Literal["float16", "float32"]
    precision: str = "float32"
    decoder: str = "pyav"


class Version(BaseModel):
    """What every store.json says, also a newer one."""

    schema_: int = Field(alias="schema")


class StoreText(Version):
    """store.json."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    recipe: dict[str, Any]
    dataset: Name
    format: Literal["hdf5", "zarr"]
    compress: Literal["gzip", "lzf", "zstd"] | None
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
    cause: Literal["damaged", "missing", "unreadable"] | None = None
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
