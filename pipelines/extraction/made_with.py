"""What features were made with: recorded beside them, never compared."""

from collections.abc import Mapping

import torch

from egofeat.device import device_name
from egofeat.extract.backbones.engine import engine_version
from egofeat.extract.flow import library_of
from egofeat.extract.video import decoder_version
from egofeat.recipe import Recipe
from egofeat.store import versions


def made_with(recipe: Recipe, device: torch.device, called: Mapping[str, str]) -> dict[str, str]:
    """Versions, decoder and device of this process.

    Args:
        recipe: of the features.
        device: where the network runs.
        called: what the weights, and the boxes, were called.
    """
    made = {**versions(), **called}
    if recipe.engine != "torch":
        made["engine"] = engine_version(recipe.engine)
    made["decoder"] = decoder_version(recipe.decoder)
    made["device"] = device_name(device)
    motion = recipe.transform.motion
    if motion and (library := library_of(motion)):
        made["motion"] = library
    return made
