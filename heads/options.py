"""Options of a head: declared by its constructor, read from there and checked here.

A head's keyword-only parameters are its options. Their annotations say what they may be, in the
words of pydantic: `Annotated[float, Field(gt=0)]`, `Literal["last", "mean"]`, `int | None`; the
names below are those that several heads share.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from egofeat.errors import RequestError
from egofeat.heads.added import blamed
from egofeat.words import quoted


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("it must be odd")
    return value


Count = Annotated[int, Field(ge=1)]
"""How many of something that there must be."""
Odd = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""Side of a kernel that has a middle."""
Positive = Annotated[float, Field(ge=1e-20, le=1e9)]
"""What float32 can neither take for 0 nor for infinite."""
Rate = Annotated[float, Field(ge=0, lt=1)]
"""What part is dropped out."""


def declared_options(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return option to its declaration, of whatever builds a head."""
    with blamed(build, alone=True):
        parameters = inspect.signature(build, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def default_options(build: Callable[..., Any]) -> dict[str, Any]:
    """Return option to default of whatever builds a head; those without one are left out."""
    declared = declared_options(build).values()
    return {p.name: p.default for p in declared if p.default is not p.empty}


def read_options(head: str, build: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the head's constructor declares them; words are read as what they mean.

    Args:
        head: its name, for messages.
        build: what builds it.
        given: option to value, or to what stands for it on a command line, as `"128"`, `"true"`;
            `"none"` is no value where there may be none.

    Raises:
        RequestError: the head has no such option, it cannot be so, or one that has no default is
            not given.
    """
    declared = declared_options(build)
    for option in given:
        if option not in declared:
            knows = f"it knows {', '.join(declared)}" if declared else "it has none"
            raise RequestError(f"head '{head}' has no option '{option}': {knows}")
    read: dict[str, Any] = {}
    for option, parameter in declared.items():
        value = given.get(option, parameter.default)
        if value is parameter.empty:
            raise RequestError(
                f"head '{head}' needs its option {option}: give `options` {option}=VALUE"
            )
        with blamed(build, alone=True):
            read[option] = _read(f"option {option} of head '{head}'", value, parameter.annotation)
        if not isinstance(read[option], bool | int | float | str | None):
            raise RequestError(
                f"option {option} of head '{head}' is {quoted(read[option])}: an option is a "
                "number, a word, true, false or none"
            )
    return read


def _read(what: str, value: Any, annotation: Any) -> Any:
    kind = TypeAdapter[Any](Any if annotation is inspect.Parameter.empty else annotation)
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        if isinstance(value, str) and value.lower() == "none":
            try:
                return kind.validate_python(None)
            except ValidationError:
                pass  # told below, of the word that was given
        why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise RequestError(f"{what} cannot be {value!r}: {why[0].lower()}{why[1:]}") from None


def describe_options(
    build: Callable[..., Any], preset: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Return each option of what builds a head: name, type, and bounds and default in words.

    Args:
        build: what builds it.
        preset: option to the default that a preset gives it.
    """
    found = declared_options(build).values()
    with blamed(build, alone=True):
        return [_described(one.replace(default=preset.get(one.name, one.default))) for one in found]


def _described(parameter: inspect.Parameter) -> tuple[str, str, str]:
    schema = TypeAdapter[Any](parameter.annotation).json_schema()
    kinds = [schema, *schema.get("anyOf", ())]
    kind = "|".join(str(k["type"]) for k in kinds if k.get("type", "null") != "null")
    said = [", ".join(map(str, schema["enum"]))] if "enum" in schema else []
    for key, words in (
        ("minimum", "{} or more"),
        ("exclusiveMinimum", "more than {}"),
        ("maximum", "{} or less"),
        ("exclusiveMaximum", "less than {}"),
    ):
        said += [words.format(one[key]) for one in kinds if key in one]
    said = [f"[{', '.join(said)}]"] if said else []
    empty = parameter.default is parameter.empty
    return (
        parameter.name,
        kind,
        " ".join([*said, "[required]" if empty else f"[default: {parameter.default}]"]),
    )
