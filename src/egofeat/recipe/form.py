"""The JSON form of a recipe's parts: fields by name, tuples as lists, nothing that is None."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Self

from annotated_types import Interval, Len

Count = Annotated[int, Interval(ge=1, le=2**31)]
"""Of frames, pixels, channels: more is no network's."""
Rate = Annotated[float, Interval(gt=0, le=1e6)]
"""Frames a second."""
Channels = Annotated[tuple[float, ...], Len(1, 16)]
"""One value a channel."""


class Part:
    """A frozen dataclass that stands in a recipe."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def but(self, **changes: Any) -> Self:
        """The same with other values."""
        return replace(self, **changes)  # type: ignore[type-var]

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form, in which every value must stand.

        Raises:
            ValueError: a value is missing, unknown or of another kind; the message is a clause.
        """
        from egofeat.schema import parse  # noqa: PLC0415

        parse(cls, json.dumps(form, allow_nan=False))
        # Numbers stay as they are written: 25 and 25.0 have other digests.
        part = cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in form.items()})
        if odd := part.to_dict().keys() ^ form.keys():
            raise ValueError(f"{min(odd)!r} is missing or empty")
        return part
