"""What a run was asked for, as flat words; and the fewest of them that tell several runs apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from egofeat.pipelines.runs.config import File, RunConfig

SEED = "seed"
SEEDS = (SEED, "data_seed")
"""What runs of one configuration differ by."""
_FIRST = ("head", "preset", "features", "fuse", "targets")
"""What people call a run by, before anything else."""
_WAYS = ("optimizer", "schedule")
"""Said wherever runs of one head and preset differ by it: one often comes with the other, and what
comes first would stand for both."""
_ASIDE = ("device", "device_cache")
"""Where a head was trained says nothing of what it is."""


def settings_of(config: RunConfig) -> dict[str, str]:
    """Name of each choice to its value, as it is typed.

    Options of the head and of the trainer have their own names, what a recipe says the path to it,
    `plan.frames`; of several stores, joined by +.
    """
    sources = config.sources
    known: dict[str, Any] = {
        "head": config.head,
        "preset": config.preset,
        "features": "+".join(f"{one.recipe.network}/{one.tap}" for one in sources),
        "fuse": config.fuse,
        "targets": ",".join(config.targets),
        "dataset": config.dataset,
        **config.options,
        "normalize": config.normalize,
        "init": config.init.sha256[:12] if isinstance(config.init, File) else config.init,
        **{name: of for name, of in vars(config.splits).items() if name != "val_groups"},
        **{name: of for name, of in vars(config.trainer).items() if name not in _ASIDE},
    }
    recipes = [dict(leaves(one.recipe.to_dict())) for one in sources]
    for path in dict.fromkeys(path for recipe in recipes for path in recipe):
        known[path] = "+".join(said(recipe.get(path)) for recipe in recipes)
    return {name: said(value) for name, value in known.items()}


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Path to each value of a recipe, `plan.frames`, but for its backbone and taps."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and name != "taps":
            yield from leaves(value, f"{above}{name}.")
        elif name not in ("backbone", "taps"):
            yield above + name, value


def said(value: Any) -> str:
    """A value as it is typed; nothing of None."""
    if isinstance(value, list | tuple):
        return ",".join(map(said, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def differences(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of settings, the fewest in their order that tell all runs apart that differ at all.

    Optimizer and schedule are named beside them where a person chose them.

    Args:
        runs: settings of each.
    """
    names = list(dict.fromkeys([*_FIRST, *(name for settings in runs for name in settings)]))
    chosen: list[str] = []
    apart = 1
    for name in names:
        kinds = {tuple(one.get(of, "") for of in (*chosen, name)) for one in runs}
        if len(kinds) > apart or (name in _WAYS and _chosen(name, runs)):
            chosen.append(name)
            apart = len(kinds)
    return chosen


def _chosen(name: str, runs: Sequence[Mapping[str, str]]) -> bool:
    """Whether runs of one head and preset differ by a setting: it is not the head's own."""
    kinds = {(one.get("head"), one.get("preset"), one.get(name)) for one in runs}
    return len(kinds) > len({kind[:2] for kind in kinds})


def labels(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """Call each run by its head and what else tells it apart: `lstm i3d/gap, lr 0.01`."""
    apart = [name for name in differences(runs) if name != "head"]
    return [" ".join([one["head"], ", ".join(_words(one, apart))]).strip() for one in runs]


def spoken(names: Sequence[str]) -> list[str]:
    """Settings as people call them: of a path the last word, where no other of them ends in it."""
    last = [name.rpartition(".")[2] for name in names]
    pairs = zip(names, last, strict=True)
    return [(of if last.count(of) == 1 else name).replace("_", " ") for name, of in pairs]


def _words(settings: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    for name, called in zip(names, spoken(names), strict=True):
        value = settings.get(name, "")
        if name == "features":
            yield value
        elif value:
            yield f"{called} {value}"
