"""What every entry of a manifest shares: strict keys, and paths that start at the manifest."""

import os
import re
from datetime import date
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from egofeat.errors import ManifestError
from egofeat.words import nearest, quoted


def folder_name(name: str) -> str:
    """`name`, of a data set, once it is sure to do as that of a folder; else `ValueError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(
            "the name becomes that of a folder: use letters, digits, '-', '_' and '.', 100 at most"
        )
    return name


def takes(what: str) -> WrapValidator:
    """Make a validator that answers any mistake in a union with `what` it takes."""

    def check(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            mend = ": quote the names that YAML takes for something else" * _is_misread(value)
            raise ValueError(f"takes {what}, not {quoted(value)}{mend}") from None

    return WrapValidator(check)


def _is_misread(value: Any) -> bool:
    """Whether a list of names has `on`, `12` or the like without quotes among them."""
    return isinstance(value, list) and any(
        isinstance(one, bool | int | float | date) for one in value
    )


Rate = Annotated[float, Field(gt=0, le=10_000)]
"""Frames per second."""

FirstFrame = Annotated[
    Literal["lowest"] | Annotated[int, Field(ge=0, le=10**9)],
    takes("the number of the image shown at second 0, or `lowest`"),
]
"""Key `first_frame` of entries whose videos may be images."""


class Strict(BaseModel):
    """A mapping of the manifest: no unknown key, no key missing, no value converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, data: Any) -> Any:
        """Pydantic would refuse these too, but without the mend."""
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.model_fields:
                raise ValueError(
                    f"unknown key {quoted(key)}: {nearest(key, list(cls.model_fields))}"
                )
        for key, field in cls.model_fields.items():
            if field.is_required() and key not in data:
                what = f", {field.description}" if field.description else ""
                raise ValueError(f"key {quoted(key)} is missing: add `{key}:`{what}")
        return data


def describe(error: ValidationError) -> str:
    """Say the first mistake that pydantic found, as one clause that names the key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])
    else:
        said = f"{first['msg'][0].lower()}{first['msg'][1:]}, not {quoted(first['input'])}"
    return f"key {quoted(key)}: {said}" if key else said


class Entry(Strict):
    """One data set of a manifest: the keys that every format has."""

    format: str
    media: str = Field(description="the folder that holds the videos")
    obtain: str = ""
    """What to do when the data is not there; ends the error's sentence."""

    def name_of(self, name: str) -> str:
        """Name of the data set that an entry of that name reads."""
        return getattr(self, "dataset", None) or name

    def locate(self, key: str, root: Path) -> Path:
        """Find the file or folder that `key` names.

        `~` and `$VARIABLE` are expanded; a relative path starts at `root`.

        Raises:
            ManifestError: nothing is there, or a variable is not set.

        """
        path = expand(getattr(self, key), key, root)
        try:
            there = path.exists()
        except (OSError, ValueError) as error:  # of rights, of a NUL, of a name too long
            raise ManifestError(
                f"{quoted(key)} is {quoted(str(path))}, which cannot be looked at "
                f"({getattr(error, 'strerror', None) or error}): correct the path"
            ) from None
        if not there:
            mend = " ".join(self.obtain.split()) or "correct the path or put the data there"
            raise ManifestError(f"{quoted(key)} is {path}, which does not exist: {mend}")
        return path

    def locate_folder(self, key: str, root: Path) -> Path:
        """`locate`, and it must be a folder."""
        path = self.locate(key, root)
        if not path.is_dir():
            raise ManifestError(
                f"{quoted(key)} is {path}, which is a file: name the folder it lies in"
            )
        return path


def expand(text: str, key: str, root: Path) -> Path:
    """`text` as a path: `~` and `$VARIABLE` expanded, a relative one starting at `root`."""
    try:
        return root / Path(Template(text).substitute(os.environ)).expanduser()
    except KeyError as error:
        raise ManifestError(
            f"{quoted(key)} is {quoted(text)}, and the environment has no {error.args[0]}: set it, "
            "or write the path out"
        ) from None
    except (ValueError, RuntimeError):
        raise ManifestError(
            f"{quoted(key)} is {quoted(text)}, which cannot be expanded: write the path out "
            "('$$' stands for a plain '$')"
        ) from None
