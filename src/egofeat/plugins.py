"""What installed packages add to egofeat by name; `package.module:NAME` is code of one's own.

A package says what it adds by entry points, which are asked for once a process and only where a
name is not egofeat's own. What is wrong with one is one sentence, told to whoever asks for it.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pkgutil import resolve_name
from sys import stdlib_module_names
from typing import Any, TypeVar

from egofeat.errors import RequestError
from egofeat.words import plain

T = TypeVar("T")

TRUST = "EGOFEAT_TRUST"
"""Environment variable: top-level modules, by comma, that files may name as `module:NAME`."""
_GIVEN: set[str] = set()
"""Paths that the user gave, by a command's words or in a call: they may be imported."""
_PATH = re.compile(r"([A-Za-z_]\w*)(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class FromFile(str):
    """A name that a file gives: whoever wrote the file chose it, and not the user."""


@dataclass(frozen=True)
class Plugin:
    """One thing that a package adds."""

    kind: str
    """What it is, for sentences: `head`."""
    name: str
    target: str
    """`module:NAME`, where it stands."""
    package: str
    """Name and version of the distribution; empty for a module that none has installed."""

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'" + (f" of {self.package}" if self.package else "")

    def load(self) -> Any:
        """Import it.

        Raises:
            RequestError: it cannot be imported, or a file names what is no plug-in.
        """
        module = _top(self.target)
        if isinstance(self.name, FromFile) and self.name not in _GIVEN:
            trusted = module in ("egofeat", *os.environ.get(TRUST, "").split(","))
            if not trusted and not _is_plugin(module):
                raise RequestError(
                    f"the {self} is no plug-in of egofeat, and a file names it: if you trust "
                    f"that file, set {TRUST}={module}"
                )
        try:
            return metadata.EntryPoint(self.name, self.target, self.kind).load()
        except (Exception, SystemExit) as error:  # whatever a stranger's module raises
            said = plain(" ".join(f"{type(error).__name__}: {error}".split()), 300)
            mend = (
                "correct that package, or uninstall it"
                if self.package
                else "correct the name, or put the module's folder on PYTHONPATH"
            )
            raise RequestError(f"the {self} cannot be imported ({said}): {mend}") from None


class Registry(Mapping[str, T]):
    """Things of one kind by name: egofeat's own, then those of installed packages.

    Args:
        kind: what one is, for sentences: `head`.
        group: entry-point group that packages add to.
        own: egofeat's own, or `module:NAME` of each, imported on use; nobody can take their names.
        adopt: what a package gives to what is kept of it; raises TypeError with what it must be.
        by_path: whether `package.module:NAME` is a name too.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, T | str],
        adopt: Callable[[Plugin, Any], T],
        *,
        by_path: bool = False,
    ) -> None:
        self.kind = kind
        self.group = group
        self.own = own
        self._adopt = adopt
        self._by_path = by_path
        self._adopted: dict[Plugin, T] = {}

    def __getitem__(self, name: str) -> T:
        """What has a name.

        Raises:
            KeyError: nothing has.
            RequestError: a package's, which cannot be imported or is not what it must be.
        """
        if name in self.own:
            found = self.own[name]
            return resolve_name(found) if isinstance(found, str) else found
        plugin = self._plugin(name)
        if plugin is None:
            raise KeyError(name)
        if plugin not in self._adopted:
            found = plugin.load()
            try:
                self._adopted[plugin] = self._adopt(plugin, found)
            except TypeError as error:
                raise RequestError(
                    f"the {plugin} is {plain(repr(found))}, and must be {error}: correct it"
                ) from None
        return self._adopted[plugin]

    def __contains__(self, name: object) -> bool:
        """Whether a name is known; what it names may prove broken."""
        return isinstance(name, str) and (name in self.own or self._plugin(name) is not None)

    def __iter__(self) -> Iterator[str]:
        """Names: egofeat's own, then those that packages add; nothing is imported."""
        added = dict.fromkeys(one.name for one in _installed(self.kind, self.group))
        return iter([*self.own, *(name for name in added if name not in self.own)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def package(self, name: str) -> str:
        """Name and version of the distribution that adds something; empty of egofeat's own."""
        plugin = None if name in self.own else self._plugin(name)
        return plugin.package if plugin else ""

    def plugins(self) -> list[tuple[Plugin, str]]:
        """All that packages add, each with what is wrong with it; empty where nothing is."""
        return [(plugin, self._problem(plugin)) for plugin in _installed(self.kind, self.group)]

    def _problem(self, plugin: Plugin) -> str:
        if plugin.name in self.own:
            return f"the {plugin} is not used, egofeat has one of that name: rename it"
        try:
            _ = self[plugin.name]
        except RequestError as error:
            return str(error)
        return ""

    def _plugin(self, name: str) -> Plugin | None:
        named = [one for one in _installed(self.kind, self.group) if one.name == name]
        if len({one.target for one in named}) > 1:
            packages = " and ".join(sorted(one.package for one in named))
            raise RequestError(
                f"the {self.kind} '{name}' is added by {packages}: uninstall one of them"
            )
        if named:
            return named[0]
        top = _PATH.fullmatch(name) if self._by_path else None
        if top is None or top[1] in stdlib_module_names:
            return None
        if not isinstance(name, FromFile):
            _GIVEN.add(name)
        return Plugin(self.kind, name, name, _package_of(top[1]))


@functools.cache
def _entry_points() -> Any:  # Python 3.11 has another type than 3.12
    return metadata.entry_points()


def _installed(kind: str, group: str) -> list[Plugin]:
    return [
        Plugin(kind, point.name, point.value, _said(point.dist))
        for point in _entry_points().select(group=group)
    ]


def _is_plugin(module: str) -> bool:
    """Whether an entry point of egofeat stands in a top-level module."""
    groups = [group for group in _entry_points().groups if group.startswith("egofeat.")]
    added = [plugin.target for group in groups for plugin in _installed("", group)]
    return module in {_top(target) for target in added}


def _top(target: str) -> str:
    return re.split("[.:]", target)[0]


def _said(dist: metadata.Distribution | None) -> str:
    return f"{dist.metadata['Name']} {dist.version}" if dist else "a package without a name"


@functools.cache  # every file of every package is listed
def _package_of(module: str) -> str:
    names = metadata.packages_distributions().get(module, [])
    return _said(metadata.distribution(names[0])) if names else ""
