"""How every family builds its network: drawn or loaded strictly, then frozen and folded."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from egofeat.errors import WeightsError

KINETICS_CLASSES = 400
AVA_CLASSES = 80

Module = TypeVar("Module", bound=nn.Module)

_FACTORIES = (torch.empty, torch.zeros, torch.ones)
_folding: ContextVar[bool] = ContextVar("_folding", default=True)
_FILLING = (Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_)


def fill(
    make: Callable[..., nn.Module],
    state: Mapping[str, Tensor] | None,
    seed: int,
    classifier: str,
    needed: bool,
    name: str,
) -> nn.Module:
    """The network with its weights, loaded strictly, or random ones made from `seed`.

    Args:
        make: takes `num_classes`.
        state: in the network's own layout, with any number of classes.
        seed: of random weights.
        classifier: name of the last layer.
        needed: whether a tap was asked for that the classifier gives; `state` may come
            without it otherwise.
        name: of the backbone, for the error.

    Raises:
        WeightsError: keys or shapes that are not the network's, or no classifier that is needed.
    """
    if state is None:
        return seeded(make, seed)
    classes = count_classes(state, f"{classifier}.weight", needed, name)
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        network = make() if classes is None else make(num_classes=classes)
    if classes is None:
        own = network.get_submodule(classifier).state_dict(prefix=f"{classifier}.")
        state = {**own, **state}
    load_strictly(network, state, name)
    return network


def count_classes(state: Mapping[str, Tensor], weight: str, needed: bool, name: str) -> int | None:
    """Classes of the classifier in a state dict; None where it has none.

    Args:
        state: in the network's own layout.
        weight: key of the classifier's weight, whose first axis counts the classes.
        needed: whether a tap was asked for that the classifier gives.
        name: of the backbone, for the error.

    Raises:
        WeightsError: a classifier that is needed is not there.
    """
    if weight in state:
        return len(state[weight])
    if needed:
        raise WeightsError(
            f"these weights of {name} have no classifier ({weight}): choose another tap "
            "than its logits, or give weights that have one"
        )
    return None


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
    with torch.no_grad():  # `load_state_dict` of MNASNet asks for a version besides
        for key, tensor in wanted.items():
            if key in state:
                tensor.copy_(state[key])


def _some(keys: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"


def freeze(module: nn.Module) -> nn.Module:
    """Eval mode, gradients off.

    Every layer keeps the name that it has here, in the published layout: see `layers_of`.
    """
    for name, child in module.named_modules():
        child.published_name = name
    return module.eval().requires_grad_(requires_grad=False)


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """All layers of a network, or of the part of it that is kept, by their published names."""
    named = ((getattr(of, "published_name", name), of) for name, of in module.named_modules())
    kinds = (nn.ModuleDict, nn.ModuleList, torch.jit.ScriptModule)  # never called; takes no hooks
    return {name: child for name, child in named if name and not isinstance(child, kinds)}


@contextmanager
def unfolded() -> Iterator[None]:
    """Leave batch norms apart, as they were published, in networks that are built meanwhile."""
    before = _folding.set(False)
    try:
        yield
    finally:
        _folding.reset(before)


def folds() -> bool:
    """Whether convolutions take up their batch norms; see `unfolded`."""
    return _folding.get()


def fold_batch_norms(module: nn.Module, pairs: Sequence[tuple[str, str]] = ()) -> nn.Module:
    """Fold, in place, every convolution with the batch norm that follows it.

    Followers are neighbours in one `nn.Sequential`, and children of one module that bear
    the names of a pair. The module must be in eval mode.

    Args:
        module: 2-D or 3-D network.
        pairs: names of (convolution, batch norm) wherever both are children of one module.
    """
    if not folds():
        return module
    for child in module.children():
        fold_batch_norms(child, pairs)
    if isinstance(module, nn.Sequential):
        names = list(dict(module.named_children()))
        pairs = [*pairs, *itertools.pairwise(names)]
    children = dict(module.named_children())
    for conv_name, norm_name in pairs:
        conv, norm = children.get(conv_name), children.get(norm_name)
        if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(
            norm, nn.BatchNorm2d | nn.BatchNorm3d
        ):
            setattr(module, conv_name, _fused(conv, norm))
            setattr(module, norm_name, nn.Identity())
    return module


def _fused(conv: nn.Conv2d | nn.Conv3d, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> nn.Module:
    """The convolution with the norm in it; in place where there are no numbers to change."""
    if not conv.weight.is_meta:
        return fuse_conv_bn_eval(conv, norm)
    if conv.bias is None:
        like = conv.weight
        bias = like.new_empty(conv.out_channels)
        conv.bias = nn.Parameter(bias, requires_grad=like.requires_grad)
    return conv


def blank(make: Callable[[], Module]) -> Module:
    """The network that `make` makes, on the `meta` device: nothing is allocated or drawn.

    Where weights are to be loaded, `allocate` makes room for them.
    """
    with _Unallocated():
        module = make()
    return module.to("meta")


def allocate(module: Module) -> Module:
    """Make room, on the default device, for the weights of a `blank` network; they are no numbers.

    What `to_empty` does, for which torch imports its compiler.
    """
    for child in module.modules():
        own = *child.named_parameters(recurse=False), *child.named_buffers(recurse=False)
        for name, tensor in own:
            room = torch.empty(tensor.shape, dtype=tensor.dtype)
            weight = isinstance(tensor, nn.Parameter)
            setattr(child, name, nn.Parameter(room, tensor.requires_grad) if weight else room)
    return module


class _Unallocated(TorchFunctionMode):
    """Only what layers allocate their weights with goes to `meta`.

    A default device would send everything there, and constructors that compute widths or
    window indices with small tensors could not read them back.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES:
            kwargs["device"] = "meta"
        elif func in _FILLING or getattr(func, "__module__", "") == nn.init.__name__:
            filled = args[0] if args else kwargs["tensor"]
            if filled.is_meta:  # torch decomposes these in Python, and imports its compiler
                return filled
        return func(*args, **kwargs)
