"""Outputs of any layer of a network, by the name that the layer has in the published checkpoint."""

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Backbone, time_first
from egofeat.extract.backbones.building import layers_of

Convolution = nn.Conv2d | nn.Conv3d

_LISTED = 8


class FoundError(BaseException):
    """Every layer has run: what is deeper need not. No fault: who mends faults lets it by."""


def convolutions(module: nn.Module) -> dict[str, Convolution]:
    """All convolutions by their published names, in the network's order."""
    children = layers_of(module).items()
    return {name: child for name, child in children if isinstance(child, Convolution)}


def check_layer(known: Collection[str], name: str, backbone: str, kind: str = "layer") -> None:
    """Refuse a name that no layer has.

    Raises:
        RequestError: there is none; it lists the names that are near.
    """
    if name not in known:
        inside = [one for one in known if name in one]
        near = inside or difflib.get_close_matches(name, known, n=_LISTED, cutoff=0.5)
        near = near or list(known)
        more = f" and {len(near) - _LISTED} more" if len(near) > _LISTED else ""
        raise RequestError(
            f"{backbone} has no {kind} '{name}': choose from {', '.join(near[:_LISTED])}{more}; "
            f"`egofeat backbones {backbone} --layers` lists the convolutions"
        )


def outputs_of(backbone: Backbone, names: Sequence[str], batch: Tensor) -> dict[str, Tensor]:
    """What layers give for one normalised batch: the first time each runs, before what follows.

    Of a network that was built folded, a convolution gives what its batch norm gave; see
    `building.unfolded`.

    Args:
        backbone: run by PyTorch, as deep as the layers.
        names: of layers that it has.
        batch: as a backbone takes it.

    Returns:
        float32, as a backbone's taps: `[B, C, h, w]` of images, `[B, t, C, h, w]` of clips.

    Raises:
        RequestError: a layer is not used, or gives something else.
    """
    if not names:
        return {}
    with caught(backbone, names) as found, suppress(FoundError):
        backbone(batch)
    return {name: time_first(_known(found, name, backbone).float()) for name in names}


def shapes_of(
    backbone: Backbone, names: Sequence[str], size: int, frames: int
) -> dict[str, tuple[int, ...]]:
    """Shape of what each layer gives for one square input; see `Backbone.tap_shapes`."""
    if not names:
        return {}
    with caught(backbone, names) as found, suppress(FoundError):
        backbone.run_blank(size, frames)
    return {name: tuple(time_first(_known(found, name, backbone)).shape[1:]) for name in names}


def _known(found: dict[str, Tensor], name: str, backbone: Backbone) -> Tensor:
    if name not in found:
        raise RequestError(
            f"layer '{name}' of {backbone.spec.called} gives no maps: choose another"
        )
    return found[name]


@contextmanager
def caught(backbone: Backbone, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What layers give while the backbone's module runs, which ends with a `FoundError`."""
    found: dict[str, Tensor] = {}

    def catching(name: str) -> Callable[..., None]:
        def catch(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                found.setdefault(name, output.clone())  # what comes next may write over it
            if len(found) == len(set(names)):
                raise FoundError

        return catch

    layers = layers_of(backbone.module)
    hooks = [layers[name].register_forward_hook(catching(name)) for name in dict.fromkeys(names)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
