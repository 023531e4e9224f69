"""Lines of a study: a list in a value's place is a choice, and choices multiply."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from egofeat.errors import RequestError
from egofeat.options import Declared
from egofeat.plugins import FromFile
from egofeat.saved_options import read_plain
from egofeat.words import nearest, quoted

Known = Mapping[str, Declared]
"""What a line may say, by every name that it may give it."""
_MOST = 10_000
"""Of one line: more is a mistake, and would be trained for years."""


def known(options: Sequence[Declared], but: Sequence[str] = ()) -> Known:
    """Options by name, as their fields and as they are typed, but for some."""
    return {name: one for one in options if one.name not in but for name in one.names}


@contextmanager
def told(where: str) -> Iterator[None]:
    """Say of what cannot be where in the study it stands."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None


def multiply(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the choices of a line, the last one changing first.

    A mapping is multiplied inside.

    Raises:
        RequestError: a choice of nothing, or far too many combinations.
    """
    axes: list[list[Any]] = []
    for name, value in line.items():
        axis = value if isinstance(value, list) else [value]
        axis = multiply(value) if isinstance(value, dict) else axis
        if not axis:
            raise RequestError(f"`{name}` is an empty list: name a value, or leave it out")
        axes.append([one for place, one in enumerate(axis) if one not in axis[:place]])
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > _MOST:
        raise RequestError(f"its lists multiply to {count:,} combinations: make them shorter")
    return [dict(zip(line, values, strict=True)) for values in product(*axes)]


def read_values(
    where: str, said: Mapping[str, Any], options: Known, also: Sequence[str] = ()
) -> dict[str, Any]:
    """Values by the name of their field; what is null is not given.

    Args:
        where: for sentences.
        said: one of a line's combinations.
        options: that it may have.
        also: other names that the line may have, for the sentence.

    Raises:
        RequestError: an option that there is not, or a value that it cannot have.
    """
    given = {}
    for key, value in said.items():
        name = str(key).replace("-", "_")
        if name not in options:
            raise RequestError(
                f"{where}: unknown key {quoted(key)}: {nearest(name, [*also, *options])}"
            )
        one = options[name]
        if value is not None:
            given[one.name] = read_plain(where, name, one, _typed(one, value))
        if one.option.imports and isinstance(value, str):
            given[one.name] = FromFile(value)
    return given


def _typed(one: Declared, value: Any) -> Any:
    """Numbers that stand as text: YAML takes 3e-4 for a word, and options are typed."""
    if not isinstance(value, str) or one.option.read:
        return value
    for kind in (int, float):
        if one.hint is kind:
            try:
                return kind(value)
            except ValueError:
                return value
    if one.hint is bool:
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
