"""What every family does to its network before it is used: load strictly, or draw, and freeze."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from egofeat.errors import WeightsError


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network with random weights that depend on the seed alone.

    Activations neither vanish nor explode (He et al., 2015, eq. 10): convolutions that are
    scaled for training with batch norm fade or grow without it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make()
        for child in module.modules():
            if isinstance(child, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(child.weight, mode="fan_in", nonlinearity="relu")
    return module


def damp_branches(
    module: nn.Module, block: type[nn.Module], last_norm: str, scale: float = 0.25
) -> None:
    """Scale down what random blocks add to their input, in place.

    A batch norm with random weights has measured nothing, so each block that adds its branch to
    what it was given would double the variance, and after some 30 float16 would overflow. Trained
    networks start from zero here (Goyal et al., 2017, section 5.1); branches that add nothing
    would be poor random features.

    Args:
        module: network with random weights.
        block: kind of block.
        last_norm: name, in a block, of the batch norm that ends its branch.
        scale: weight of that norm.
    """
    for child in module.modules():
        if isinstance(child, block):
            nn.init.constant_(child.get_parameter(f"{last_norm}.weight"), scale)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a state dict that must fit key by key and shape by shape.

    Args:
        module: takes the weights, in place.
        state: in the module's own layout.
        name: of the backbone, for the error.

    Raises:
        WeightsError: keys that are missing, unexpected or misshapen; it lists them.
    """
    wanted = module.state_dict()
    # Counted by batch norms while they train; older publishers leave it out.
    untrained = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in state and key not in untrained]
    unexpected = [key for key in state if key not in wanted]
    misshapen = [
        f"{key} {list(state[key].shape)} in place of {list(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    problems = [
        f"{len(keys)} {kind}: {_some(keys)}"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if keys
    ]
    if problems:
        raise WeightsError(f"these are not the weights of {name}: {'; '.join(problems)}")
    with torch.no_grad():
        for key, tensor in wanted.items():
            if key in state:
                tensor.copy_(state[key])


def freeze(module: nn.Module) -> nn.Module:
    """Eval mode, gradients off."""
    return module.eval().requires_grad_(requires_grad=False)


def _some(keys: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"
