"""Options, declared once: a field of a dataclass carries its help, bounds and choices.

The command line, `--help`, the page of options in the docs, saved configurations and the Python
call are made from the fields. A value is checked in one place, when the dataclass is made.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from inspect import get_annotations
from pathlib import PurePath
from pkgutil import resolve_name
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform, get_type_hints

from egofeat.errors import RequestError

Choices = tuple[Any, ...] | str
"""Values, or `package.module:NAME` of a table or function that has them: it is asked when a value
is checked or help is printed, and not before, because it may import torch."""

_COUNTABLE = 2**63
_Group = TypeVar("_Group", bound="Options")


@dataclass(frozen=True, kw_only=True)
class Option:
    """What an option says of itself."""

    help: str
    flag: str = ""
    """As it is typed, `--name` or `--name,-n`; empty takes the name of the field."""
    default: str = ""
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

    def allows(self, value: Any) -> bool:
        """Whether the option can be so; numbers with a bound are finite."""
        if self.choices:
            return value in listed(self.choices)
        if {self.least, self.above, self.most, self.below} == {None}:
            return True
        numbers = value if isinstance(value, tuple) else (value,)
        return all(
            -_COUNTABLE < number < _COUNTABLE
            and (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
            for number in numbers
        )


def _bound(words: str, bound: float | None) -> str:
    return "" if bound is None else f"{words}{bound:g}"


def option(help: str, *, default: Any = MISSING, default_is: str = "", **said: Any) -> Any:  # noqa: A002
    """Declare a field of `Options`.

    Args:
        help: one sentence, the verb first where something is done.
        default: of the field; without one, a value must be given.
        default_is: what the default means, in words.
        said: what else `Option` has.
    """
    given = {"default_factory": dict} if default == {} else {"default": default}
    return field(**given, metadata={"option": Option(help=help, default=default_is, **said)})


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
    inherits the groups that it has, or holds them in fields.

    Raises:
        RequestError: a value that its option cannot have.
    """

    panel: ClassVar[str] = "Options"
    """Heading in help that the class's own fields stand under."""

    def __init_subclass__(cls, panel: str = "Options") -> None:
        cls.panel = panel
        dataclass(frozen=True, kw_only=True)(cls)

    def __post_init__(self) -> None:
        for one in declared(type(self)):
            value = getattr(self, one.name, None)
            if one.holder is type(self) and value is not None and not one.option.allows(value):
                verb = "choose" if one.option.choices else "give"
                raise RequestError(f"{one.typed} is {one.show(value)}: {verb} {one.option.bounds}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Make it, and what it holds, of values by the name of their field."""
        held = _held(cls)
        own = {one.name: given[one.name] for one in fields(cls) if one.name in given}
        return cls(**own | {name: kind.of(given) for name, kind in held.items()})

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
    holder: type[Options]
    """Whose field it is; of an inherited one, the heir."""

    @property
    def flags(self) -> tuple[str, ...]:
        """As it is typed, long name first; of an argument, none."""
        if self.option.argument:
            return ()
        return tuple((self.option.flag or f"--{self.name.replace('_', '-')}").split(","))

    @property
    def typed(self) -> str:
        """What messages call it."""
        return (self.flags or (self.option.metavar or self.name.upper(),))[0]

    def show(self, value: Any) -> str:
        """A value as it is typed; text in quotes where it could be mistaken."""
        if self.option.show:
            return self.option.show(value)
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)


def declared(kind: type[Options]) -> tuple[Declared, ...]:
    """Every option of a class and of those it holds: its own first, then group after group."""
    hints = get_type_hints(kind)
    here = {one.name: one for one in fields(kind)}
    order = dict.fromkeys(
        (name, of.panel)
        for of in kind.__mro__
        if issubclass(of, Options)
        for name in get_annotations(of)
        if name in here
    )
    found: list[Declared] = []
    seen: set[str] = set()
    held = _held(kind)
    for name, panel in order:
        if name in seen:
            continue
        seen.add(name)
        if name in held:
            found += declared(held[name])
        elif own := here[name].metadata.get("option"):
            default = here[name].default_factory
            default = here[name].default if default is MISSING else default()
            of_type = _without_none(hints[name])
            found.append(
                Declared(
                    name=name, hint=of_type, default=default, option=own, panel=panel, holder=kind
                )
            )
    return tuple(found)


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
    """The values in what JSON and YAML have: `read_options` reads them again."""
    found: dict[str, Any] = _plain(asdict(options))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, PurePath) else value
