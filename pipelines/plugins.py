"""`egofeat plugins`: what installed packages add to egofeat, and what is wrong with it."""

from dataclasses import dataclass

from egofeat.adapters import ADAPTERS
from egofeat.extract.backbones import BACKBONES
from egofeat.heads import HEADS
from egofeat.store import FORMATS


@dataclass(frozen=True, kw_only=True)
class Added:
    """One thing that a package adds."""

    kind: str
    name: str
    target: str
    """`module:NAME`, where it stands."""
    package: str
    """Name and version."""
    problem: str
    """Why it cannot be used; empty when it can."""

    def line(self) -> str:
        """One plain line."""
        return self.problem or f"{self.kind} {self.name}: {self.package} ({self.target})"


@dataclass(frozen=True)
class Plugins:
    """All that packages add."""

    plugins: tuple[Added, ...]

    def lines(self) -> list[str]:
        """A line each."""
        return [plugin.line() for plugin in self.plugins] or ["no installed package adds anything"]


def plugins() -> Plugins:
    """Import what every package adds, and see whether it can be used."""
    return Plugins(
        tuple(
            Added(
                kind=plugin.kind,
                name=plugin.name,
                target=plugin.target,
                package=plugin.package,
                problem=problem,
            )
            for registry in (BACKBONES, HEADS, ADAPTERS, FORMATS)
            for plugin, problem in registry.plugins()
        )
    )
