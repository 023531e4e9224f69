"""Reading JSON by a schema of pydantic, which is slow to import: import this where JSON is read."""

import functools
from collections.abc import Hashable
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from egofeat.names import fault_of
from egofeat.words import plain

_Schema = TypeVar("_Schema")
_SAID = 160
"""Letters of what pydantic says that a sentence takes over."""


def parse(schema: type[_Schema], content: bytes | str) -> _Schema:
    """Read JSON by a schema: a model, or a dataclass.

    Raises:
        ValueError: it is not what the schema asks for; the message is a clause that says where.
    """
    try:
        read: _Schema = _adapter(cast(Hashable, schema)).validate_json(content, strict=True)
        return read
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place, said = plain(".".join(map(str, first["loc"]))), plain(first["msg"], _SAID)
        said = said.removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]
        raise ValueError(f"{place}: {said}" if place else said) from None


@functools.cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _named(name: str) -> str:
    if fault := fault_of(name):
        raise ValueError(f"the name {fault}")
    return name


Name = Annotated[str, AfterValidator(_named)]
"""A name that becomes part of a path."""
Count = Annotated[int, Field(ge=1, le=2**31)]
"""Of frames, pixels, channels: more is no network's."""
