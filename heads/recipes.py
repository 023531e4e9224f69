"""How a preset trains: values of the trainer that go with a published construction."""

from typing import Any

from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig

_STAM: dict[str, Any] = {"iterations": 3000, "eval_every": 100, "patience": 0}
_RANGER: dict[str, Any] = {**_STAM, "optimizer": "ranger", "schedule": "plateau"}

RECIPES: dict[str, dict[str, Any]] = {
    "stam-egtea": {
        **_STAM,
        "optimizer": "sgd",
        "lr": 1e-2,
        "schedule": "multistep",
        "lr_milestones": (300, 1000),
    },
    "stam-egtea-ranger": _RANGER,
    "stam-egtea-expanded": _RANGER,
}
"""Preset to what it changes of `TrainerConfig`, whose defaults are the recipe of `seed`.

The STAM report names 3,000 iterations, the milestones, the plateau (halved after 5) and Ranger;
it names no rate, no batch size and no interval of evaluation, which are ours.
"""


def trainer_config(preset: str | None, **given: Any) -> TrainerConfig:
    """Return the trainer of a preset, `given` values over its own.

    `epochs` given count in epochs, whatever the preset counts in.

    Raises:
        RequestError: a value that its option cannot take, or both epochs and iterations given.
    """
    recipe = dict(RECIPES.get(preset or "", {}))
    if "epochs" in given:
        if given.get("iterations"):
            raise RequestError("both epochs and iterations are given: a training is counted in one")
        for option in ("iterations", "eval_every"):
            recipe.pop(option, None)
    return TrainerConfig(**{**recipe, **given})
