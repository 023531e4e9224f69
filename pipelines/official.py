"""Which official weights a recipe was made with."""

from egofeat.extract.backbones import spec_of
from egofeat.extract.weights import Weights, at_hand, sha256_of
from egofeat.store import Recipe


def official_name(recipe: Recipe) -> str | None:
    """Name of the official weights that a recipe's are, or None for others."""
    for record in spec_of(recipe.backbone).weights:
        if _made(record, recipe):
            return record.name
    return None


def named_weights(recipe: Recipe) -> str | None:
    """What `--weights` calls those of a recipe; None for a file of the user's own."""
    if recipe.weights == "none":  # what has no weights takes any name
        return "default"
    return recipe.weights if recipe.weights.startswith("random:") else official_name(recipe)


def _made(record: Weights, recipe: Recipe) -> bool:
    digest = recipe.weights.removeprefix("sha256:")
    if record.sha256:
        return digest.startswith(record.sha256)
    path = at_hand(record)  # no digest is published: only the file itself can tell
    return path is not None and sha256_of(path) == digest
