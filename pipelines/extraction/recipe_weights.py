"""Which published weights a recipe was made with, and the backbone that has them."""

from collections.abc import Sequence

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import WeightsError
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.weights import Weights, at_hand, sha256_of
from egofeat.recipe import Recipe


def named_weights(recipe: Recipe) -> str | None:
    """What `--weights` calls those of a recipe; None for a file of the user's own."""
    if recipe.weights == "none" or recipe.weights.startswith("own:"):
        return "default"
    if recipe.weights.startswith("random:"):
        return recipe.weights
    published = spec_of(recipe.backbone).weights
    return next((record.name for record in published if _made(record, recipe)), None)


def _made(record: Weights, recipe: Recipe) -> bool:
    digest = recipe.weights.removeprefix("sha256:")
    if record.sha256:
        return digest.startswith(record.sha256)
    path = at_hand(record)  # no digest is published: only the file itself can tell
    return path is not None and sha256_of(path) == digest


def backbone_of(recipe: Recipe, taps: Sequence[str], weights: str | None, device: str) -> Backbone:
    """The backbone that made a store, with the very weights.

    Args:
        recipe: of the store.
        taps: outputs to make.
        weights: backbone weights file, where the store's were a user's own.
        device: where to run.

    Raises:
        WeightsError: they are not those of the recipe, or a user's own and not given.
    """
    if (package := spec_of(recipe.backbone).package) != recipe.package:
        raise WeightsError(
            f"the run's features were made by {recipe.network} of package "
            f"{recipe.package or 'none'}, and {package or 'none'} is installed: install the one "
            "that made them, or extract the features again"
        )
    if weights is None:
        weights = named_weights(recipe)
        if weights is None:
            raise WeightsError(
                f"the run's features were made with weights of your own ({recipe.weights[:15]}…): "
                "name the file with `weights`"
            )
    backbone = load(
        recipe.backbone,
        weights=weights,
        taps=taps,
        device=choose_device(device),
        precision=recipe.precision,
        engine=recipe.engine,
        note=console.note,
    )
    if backbone.weights != recipe.weights:
        raise WeightsError(
            f"the run's features were made with {recipe.network} weights {recipe.weights[:15]}…, "
            f"these are {backbone.weights[:15]}…: name the right file with `weights`"
        )
    return backbone
