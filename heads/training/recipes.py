"""How a preset trains: values of the trainer that go with a published construction."""

from typing import Any

from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig, idle

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
    "ava": {
        "iterations": 14_000,
        "warmup": 1000,
        "eval_every": 500,
        "patience": 0,
        "batch_size": 64,
        "optimizer": "sgd",
        "lr": 0.1,
        "schedule": "cosine",
        "l2": 0.5e-7,  # λ‖W‖² decays by 2λ: 1e-7 of the classifiers, as of all else
        "weight_decay": 1e-7,
        "monitor": "mAP",
    },
    "kinetics": {
        "epochs": 196,
        "warmup": 34,
        "warmup_from": 0.1,
        "patience": 0,
        "batch_size": 64,
        "optimizer": "momentum",
        "lr": 0.1,
        "schedule": "cosine",
        "l2": 0.5e-4,  # as of `ava`, 1e-4 of the classifiers, too
        "weight_decay": 1e-4,
        "monitor": "top1",
    },
}
"""Preset to what it changes of `TrainerConfig`, whose defaults are the recipe of `seed`.

The STAM report names 3,000 iterations, the milestones, the plateau (halved after 5) and Ranger;
it names no rate, no batch size and no interval of evaluation, which are ours.

`ava` is how SlowFast's detection networks train. Feichtenhofer et al. (2019, section 5) name 14,000
iterations, a linear warm-up in the first 1,000, weight decay 1e-7 and SGD of momentum 0.9
(Nesterov's in PySlowFast, as `sgd` is here). Half a period of a cosine is what the analysis behind
this recipe names; the paper lowers the rate by steps. A rate of 0.1 for a batch of 64 is that of
PySlowFast (configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml), whose batch counts key frames where ours
counts persons.
The interval of evaluation, the choice of the best by mAP and the clipping of gradients are ours.

`kinetics` is how recognition networks of that analysis train: SGD of momentum 0.9, half a period
of a cosine, a warm-up of 34 epochs from 0.01 to 0.1, weight decay 1e-4, dropout 0.5, a rate that
grows with the batch. 196 epochs and a rate of 0.1 for a batch of 64 are those of PySlowFast's
configurations; the choice of the best by top-1 and the clipping of gradients are ours.
"""

RATE_BATCH = {"ava": 64, "kinetics": 64}
"""Preset to the batch size that its rate is for: the rate grows with the batch in proportion (Goyal
et al., 2017, section 2.1)."""


def trainer_config(preset: str | None, **given: Any) -> TrainerConfig:
    """Return the trainer of a preset, `given` values over its own.

    `epochs` given count in epochs, whatever the preset counts in. A preset's warm-up keeps its
    share of another length, and a rate for a batch size follows that of the batch: what the trainer
    says is what it does.

    Raises:
        RequestError: a value that its option cannot take, or both epochs and iterations given.
    """
    recipe = dict(RECIPES.get(preset or "", {}))
    length = given.get("epochs", given.get("iterations"))
    if "warmup" in recipe and length is not None:
        of = recipe.get("iterations") or recipe["epochs"]
        recipe["warmup"] = round(recipe["warmup"] * length / of)
    if preset in RATE_BATCH:
        batch_size = given.get("batch_size", recipe["batch_size"])
        recipe["lr"] *= batch_size / RATE_BATCH[preset]
    if "epochs" in given:
        if given.get("iterations"):
            raise RequestError("`epochs` and `iterations` are both given: leave one out")
        for option in ("iterations", "eval_every"):
            recipe.pop(option, None)
    for option in idle({**recipe, **given}):  # of another schedule than the preset's
        recipe.pop(option, None)
    return TrainerConfig(**{**recipe, **given})
