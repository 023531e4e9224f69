"""Values of options as they are typed, and as they stand in a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError

from egofeat.errors import RequestError
from egofeat.options import REQUEST, Declared, Options, declared
from egofeat.plugins import FromFile
from egofeat.words import nearest, plain, quoted

_MOST = 4 << 20
"""Bytes."""


def read_value(one: Declared, typed: Any) -> Any:
    """What was typed, as the field has it.

    Raises:
        RequestError: it cannot be read so.
    """
    if one.option.read:
        read = one.option.read
        typed = [read(text) for text in typed] if one.option.repeated else read(typed)
        return dict(typed) if get_origin(one.hint) is Mapping else typed
    if one.option.repeated:
        inner = get_args(one.hint)[0]
        parts = [_parted(text) for text in typed] if get_origin(inner) is tuple else typed
        return _checked(one, tuple(parts), f"{one.typed} {','.join(map(str, typed))}")
    if get_origin(one.hint) is tuple:
        return _checked(one, _parted(typed), f"{one.typed} {typed}")
    return typed


def _parted(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _checked(one: Declared, value: Any, said: str) -> Any:
    try:
        return TypeAdapter[Any](one.hint).validate_python(value)
    except ValidationError:  # any other list is of text
        raise RequestError(f"{said} is no list of numbers: give them by comma, as 5,10") from None


def read_saved(path: Path, kinds: Sequence[type[Options]]) -> dict[str, Any]:
    """Options of a file, by the name of their field.

    Args:
        path: YAML or JSON of options by name; or what --json printed, or a run's config.yaml,
            which keep them under `request`.
        kinds: whose options they may be.

    Raises:
        RequestError: the file cannot be read, or says what no option says.
    """
    found: Any = _mapping(path)
    try:
        for kind in kinds:
            found = kind.saved(found)
            if not isinstance(found, dict):
                raise RequestError(f"{path} holds no options: write NAME: VALUE, a line each")
    except (KeyError, TypeError, AttributeError):
        raise RequestError(f"{path} is damaged: it is no config.yaml of a run") from None
    options = {name: one for kind in kinds for one in declared(kind) for name in one.names}
    given = {}
    for name, value in ((str(key).replace("-", "_"), value) for key, value in found.items()):
        if name not in options:
            raise RequestError(
                f"{path}: there is no option {quoted(name)}: {nearest(name, list(options))}"
            )
        one = options[name]
        if value is not None:
            given[one.name] = read_plain(path, name, one, value)
        if one.option.imports and one.name in given:
            said = given[one.name]
            given[one.name] = (
                FromFile(said) if isinstance(said, str) else tuple(map(FromFile, said))
            )
    return given


def read_plain(path: Path | str, name: str, one: Declared, value: Any) -> Any:
    """What stands in a file, as the field has it.

    Args:
        path: of the file, or where in it, for the sentence.
        name: that the file gives the option.
        one: the option.
        value: plain, or text as it is typed.

    Raises:
        RequestError: it cannot be so.
    """
    if isinstance(value, str) and (one.option.read or get_origin(one.hint) is tuple):
        return read_value(one, [value] if one.option.repeated else value)
    if one.option.repeated and isinstance(value, list) and {type(text) for text in value} == {str}:
        return read_value(one, value)  # as typed several times
    try:
        return TypeAdapter[Any](one.hint).validate_json(json.dumps(value), strict=True)
    except (ValidationError, TypeError) as error:
        why = _why(error) if isinstance(error, ValidationError) else "no plain value"
        raise RequestError(f"{path}: {name} cannot be {quoted(value)}: {why}") from None


def _mapping(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError as error:
        raise RequestError(f"--config {path} cannot be read: {error.strerror}") from None
    try:
        if len(content) > _MOST:
            raise ValueError(f"it is larger than {_MOST} bytes")
        if b"*" in content and any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(content)):
            raise ValueError("it refers to parts of itself")
        found = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(f"--config {path} is no YAML: {_where(error)}") from None
    return found if isinstance(found, dict) else {REQUEST: found}


def _where(error: Exception) -> str:
    """What is wrong with a text, and in which line of it."""
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.MarkedYAMLError) and mark and error.problem:
        return plain(f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}", 200)
    return plain(" ".join(str(error).split()), 200)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "tuple_type":  # of JSON a list
        return "give a list"
    said = first["msg"].removeprefix("Value error, ")
    return said[0].lower() + said[1:]
