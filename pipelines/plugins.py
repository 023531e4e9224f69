"""`egofeat plugins`: what installed packages add to egofeat, and what is wrong with it."""

from dataclasses import dataclass
from typing import Any

from egofeat.adapters import ADAPTERS
from egofeat.extract.backbones import BACKBONES
from egofeat.heads import HEADS
from egofeat.plugins import Plugin
from egofeat.store import FORMATS


@dataclass(frozen=True)
class Plugins:
    """All that packages add, each with why it cannot be used; empty where it can."""

    plugins: list[tuple[Plugin, str]]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"plugins": [vars(one) | {"problem": problem} for one, problem in self.plugins]}

    def lines(self) -> list[str]:
        """A line each."""
        said = [
            problem or f"{one.kind} {one.name}: {one.package} ({one.target})"
            for one, problem in self.plugins
        ]
        return said or ["no installed package adds anything"]


def plugins() -> Plugins:
    """Import what every package adds, and see whether it can be used."""
    registries = (BACKBONES, HEADS, ADAPTERS, FORMATS)
    return Plugins([found for registry in registries for found in registry.plugins()])
