"""Options, declared once: a field of a dataclass carries its help, bounds and choices.

The command line, `--help`, the page of options in the docs, saved configurations and the Python
call are made from the fields. A value is checked in one place, when the dataclass is made.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from inspect import get_annotations
from numbers import Integral
from pathlib import Path
from pkgutil import resolve_name
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    dataclass_transform,
    get_origin,
    get_type_hints,
)

from egofeat import option_types
from egofeat.errors import RequestError

Choices = tuple[Any, ...] | str
"""Values, or `package.module:NAME` of a table or function that has them: it is asked when a value
is checked or help is printed, and not before, because it may import torch."""

REQUEST = "request"
"""Key under which reports and runs keep the options that were asked for."""
_COUNTABLE = 2**63
_Group = TypeVar("_Group", bound="Options")


@dataclass(frozen=True, kw_only=True)
class Option:
    """What an option says of itself."""

    help: str
    flag: str = ""
    """As it is typed, `--name` or `--name,-n`; empty takes the name of the field."""
    default_is: str = ""
    """What the default means, in words, where it is None or empty."""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    choices: Choices = ()
    known: Choices = ()
    """Values for help to show, where others are possible."""
    read: Callable[[str], Any] | None = None
    """Reads what is typed; None reads by the type of the field, lists by comma."""
    show: Callable[[Any], str] | None = None
    """Writes a value as it is typed."""
    repeated: bool = False
    """A list is typed by giving the option several times, not by comma."""
    imports: bool = False
    """A value may be `package.module:NAME`, which is imported where it was typed."""
    writes: Literal["", "file", "folder", "either"] = ""
    """What is made at this path."""
    argument: bool = False
    """It is typed without a name, in its place."""
    metavar: str | None = None

    @property
    def bounds(self) -> str:
        """What it may be, in words; empty where all is allowed."""
        if choices := [str(choice) for choice in listed(self.choices)]:
            return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
        lower = _bound("", self.least) or _bound("more than ", self.above)
        upper = _bound("", self.most) or _bound("less than ", self.below)
        if lower and upper:
            return f"{lower} to {upper}" if self.above is None else f"{lower}, up to {upper}"
        return f"{lower} or more" if self.least is not None else lower

    def wanted(self, value: Any) -> str:
        """What to do in place of a value that it cannot be."""
        if self.choices:
            return f"choose {self.bounds}"
        most = max(value if isinstance(value, tuple | list) else (value,), default=0)
        if self.most is None and self.below is None and not most < _COUNTABLE:
            return "give less than 2**63" if isinstance(most, Integral) else "give a finite number"
        return f"give {self.bounds}"

    def allows(self, value: Any) -> bool:
        """Whether the option can be so; numbers with a bound are finite."""
        if self.choices:
            return value in listed(self.choices)
        if {self.least, self.above, self.most, self.below} == {None}:
            return True
        numbers = value if isinstance(value, tuple | list) else (value,)
        return bool(numbers) and all(
            # A whole number is one that a machine counts to, any other is finite.
            (math.isfinite(number) if isinstance(number, float) else abs(number) < _COUNTABLE)
            and (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
            for number in numbers
        )


def _bound(words: str, bound: float | None) -> str:
    return "" if bound is None else f"{words}{bound:g}"


def option(help: str, *, default: Any = MISSING, **said: Any) -> Any:  # noqa: A002
    """Declare a field of `Options`: each name and type once, in a group where commands share it.

    Args:
        help: one sentence, the verb first where something is done.
        default: of the field; without one, a value must be given.
        said: what else `Option` has.
    """
    given = {"default_factory": dict} if default == {} else {"default": default}
    return field(**given, metadata={"option": Option(help=help, **said)})


def inherited(help: str = "", **said: Any) -> Any:  # noqa: A002
    """Take the option of a group that the class inherits, and say what is different here.

    Args:
        help: in place of the group's.
        said: what else `option` takes; a new default means what it says, but for `default_is`.
    """
    return _Inherited(said | ({"help": help} if help else {}))


class _Inherited(dict[str, Any]):
    """What is different about the option of a group."""

    def of(self, group: Field[Any]) -> Any:
        """The option as a field of the heir."""
        words = vars(group.metadata["option"])
        if "default" in self:
            words = words | {"default_is": ""}
        return option(**{**words, "default": group.default, **self})


def listed(choices: Choices) -> tuple[Any, ...]:
    """The values themselves."""
    if not isinstance(choices, str):
        return choices
    found: Callable[[], Iterable[Any]] | Iterable[Any] = resolve_name(choices)
    return tuple(found() if callable(found) else found)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, field))
@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person can choose: each class below is a frozen, keyword-only dataclass of options.

    A group of options is a class, `class Storage(Options, panel="Store")`. A command's own class
    inherits the groups that it has, or holds them in fields. What it says anew of an option, by
    `inherited`, stands in its own panel.

    Raises:
        RequestError: a value that its option cannot have, of its type or beyond its bounds.
    """

    panel: ClassVar[str] = ""
    """Heading in help that the class's own fields stand under; empty is that of the heir."""

    def __init_subclass__(cls, panel: str = "") -> None:
        cls.panel = panel
        for name, said in list(vars(cls).items()):
            if isinstance(said, _Inherited):
                options = (one for of in cls.__mro__[1:] for one in fields(of) if one.name == name)
                setattr(cls, name, said.of(next(options)))
        dataclass(frozen=True, kw_only=True)(cls)

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(hint) is not ClassVar and not option_types.fits(value, hint):
                wanted = option_types.words(hint)
                raise RequestError(f"`{name}` is {value!r}: give a {wanted}")
        for one in declared(type(self)):
            value = getattr(self, one.name, None)
            if value not in (None, one.default) and not one.option.allows(value):
                raise RequestError(f"`{one.name}` is {one.show(value)}: {one.option.wanted(value)}")
            if one.option.writes and isinstance(value, Path):
                one.check_place(value)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Make it, and what it holds, of values by the name of their field."""
        own = {one.name: given[one.name] for one in fields(cls) if one.name in given}
        return cls(**own | {name: kind.of(given) for name, kind in _held(cls).items()})

    @classmethod
    def over(cls, saved: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
        """What was typed over what a file says, by the name of the field."""
        return {**saved, **typed}

    @classmethod
    def saved(cls, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options in a file, of all that stands there."""
        request: Mapping[str, Any] = found.get(REQUEST, found)
        return request

    def group(self, kind: type[_Group]) -> _Group:
        """The options of a group, of those here."""
        return kind(**{one.name: getattr(self, one.name) for one in fields(kind)})


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An option in its place."""

    name: str
    """Of the field."""
    hint: Any
    """Type of the field, but for None."""
    default: Any
    """MISSING where a value must be given."""
    option: Option
    panel: str

    @property
    def flags(self) -> tuple[str, ...]:
        """As it is typed, long name first; of an argument, none."""
        if self.option.argument:
            return ()
        return tuple((self.option.flag or f"--{self.name.replace('_', '-')}").split(","))

    @property
    def typed(self) -> str:
        """What the command line calls it."""
        return (self.flags or (self.option.metavar or self.name.upper(),))[0]

    @property
    def names(self) -> set[str]:
        """What files and sentences may call it: as the field, or as it is typed."""
        long = (flag.removeprefix("--") for flag in self.flags if flag.startswith("--"))
        return {self.name, *(flag.replace("-", "_") for flag in long)}

    @property
    def remarks(self) -> list[str]:
        """Choices or bounds, as help has them: `[1 or more]`."""
        shown = ", ".join(map(str, listed(self.option.choices or self.option.known)))
        return [f"[{said}]" for said in (shown or self.option.bounds,) if said]

    @property
    def default_words(self) -> str:
        """The default as it is typed, or what it means; empty where there is none."""
        if self.option.default_is or self.default is MISSING:
            return self.option.default_is
        none = self.default is False or self.default in (None, (), {})
        return "" if none else self.show(self.default)

    @property
    def default_remark(self) -> list[str]:
        """The default, as help has it: `[default: 5]`, `[required]`."""
        if self.default is MISSING:
            return ["[required]"]
        return [f"[default: {said}]" for said in (self.default_words,) if said]

    def check_place(self, path: Path) -> None:
        """Refuse a path that nothing can be written to, before the work begins.

        Raises:
            RequestError: it is a folder in place of a file, or the other way round.
        """
        if path.is_dir() and self.option.writes == "file":
            raise RequestError(f"{path} is a folder: name a file with `{self.name}`")
        there = next((place for place in (path, *path.parents) if place.exists()), None)
        if there and not there.is_dir() and (there != path or self.option.writes == "folder"):
            raise RequestError(f"{there} is a file: name a folder with `{self.name}`")

    def show(self, value: Any) -> str:
        """A value as it is typed; text in quotes where it could be mistaken."""
        if self.option.show:
            return self.option.show(value)
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)


def declared(kind: type[Options]) -> tuple[Declared, ...]:
    """Every option of a class and of those it holds, panel after panel: its own come first.

    Arguments come before, as on the command line: those of a group before the class's own.
    """
    hints, held = get_type_hints(kind), _held(kind)
    groups = [group for group in kind.__mro__ if issubclass(group, Options)]
    place = {
        name: (number, own)
        for number, group in reversed(list(enumerate(groups)))
        for own, name in enumerate(get_annotations(group))
    }
    found: list[Declared] = []
    for one in sorted(fields(kind), key=lambda one: place[one.name]):
        if one.name in held:
            found += declared(held[one.name])
        elif "option" in one.metadata:
            found.append(
                Declared(
                    name=one.name,
                    hint=_without_none(hints[one.name]),
                    default=one.default if one.default_factory is MISSING else {},
                    option=one.metadata["option"],
                    panel=_panel(groups[place[one.name][0]], kind),
                )
            )
    panels = [one.panel for one in found]

    def order(one: Declared) -> tuple[bool, int]:
        options = not one.option.argument
        return options, panels.index(one.panel) if options else -place[one.name][0]

    return tuple(sorted(found, key=order))


def _panel(group: type[Options], kind: type[Options]) -> str:
    """Of a group's options: its own, or that of the first of its heirs that has one."""
    heirs = [of for of in reversed(kind.__mro__) if issubclass(of, group) and of.panel]
    return heirs[0].panel if heirs else "Options"


def _held(kind: type[Options]) -> dict[str, type[Options]]:
    """Fields that are options again, which the metadata say by their class."""
    hints = {name: _without_none(hint) for name, hint in get_type_hints(kind).items()}
    return {
        one.name: hints[one.name]
        for one in fields(kind)
        if isinstance(hints[one.name], type) and issubclass(hints[one.name], Options)
    }


def _without_none(hint: Any) -> Any:
    """`X` of `X | None`."""
    inner = [one for one in getattr(hint, "__args__", ()) if one is not type(None)]
    union = type(None) in getattr(hint, "__args__", ())
    return inner[0] if union and len(inner) == 1 else hint


def plain(options: Options) -> dict[str, Any]:
    """The values by name, in what JSON and YAML have; `read_saved` reads them again."""
    found: dict[str, Any] = {}
    for one in fields(options):
        value = getattr(options, one.name)
        if isinstance(value, Options):
            found |= plain(value)
        elif "option" in one.metadata:
            found[one.name] = json.loads(json.dumps(value, default=str))
    return found


class Device(Options, panel="Compute"):
    """Where networks run."""

    device: str = option("Run on this device: auto, cpu, cuda or cuda:1.", default="auto")


class Seed(Options):
    """What is drawn at random."""

    seed: int = option("Draw random numbers with this seed.", default=0, least=0)
