"""`egofeat visualize kernels`: a network's kernels, as it holds them.

Grey, or white, is zero, and the strongest weight of a kernel has full colour: scaled so, a
kernel looks the same whatever constant its batch norm was folded into it, but for the sign.
"""

import difflib
import math
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.visualize.options import KernelsConfig
from egofeat.pipelines.visualize.pictures import Pictures, file_of, load_network, maps_and_vectors

Convolution = nn.Conv2d | nn.Conv3d

_SINGLE = 100
"""Most kernels in a picture where each is one tile."""
_CROSSED = 40
"""Most inputs, and most flat kernels, in a picture with a tile for both."""
_SCALE = "each kernel by its strongest weight"


def kernels(asked: KernelsConfig) -> Pictures:
    """Draw first-layer kernels and those of chosen convolutions, a PNG each.

    Without any chosen, of residual networks, the second ones of the last bottleneck of each stage.

    Raises:
        RequestError: no such backbone or convolution, or a backbone without any.
        WeightsError: see `load`.
    """
    spec = spec_of(asked.backbone)
    network = load_network(asked, maps_and_vectors(spec), "cpu")
    bgr = network.published is not None and network.published.channels == "BGR"
    known = convolutions(network.module)
    for name in asked.layers:
        find_layer(known, name, asked.backbone)
    if not known:
        raise RequestError(f"{asked.backbone} has no kernels to draw: choose another `backbone`")
    first = [name for name, layer in known.items() if layer.in_channels == spec.channels]
    chosen = dict.fromkeys([*first, *(asked.layers or bottleneck_layers(network.module))])
    return Pictures.of(
        draw_kernels(
            known[name], file_of(asked, "kernels", name), f"{asked.backbone} {name}", bgr=bgr
        )
        for name in chosen
    )


def convolutions(module: nn.Module) -> dict[str, Convolution]:
    """All convolutions by their names in the module, in its order."""
    children = module.named_modules()
    return {name: child for name, child in children if isinstance(child, Convolution)}


def bottleneck_layers(module: nn.Module) -> list[str]:
    """Names of the second convolutions of bottlenecks: of each row of one shape, the last.

    A bottleneck (He et al., 2016, figure 5) is 1×1, k×k, 1×1 in space, with a 1×1 shortcut
    after it or none; stages differ in shape.
    """
    seconds: dict[str, Convolution] = {}
    for parent, child in module.named_modules():
        inner = convolutions(child)
        pointwise = [math.prod(layer.kernel_size[-2:]) == 1 for layer in inner.values()]
        if pointwise in ([True, False, True], [True, False, True, True]):
            name = list(inner)[1]
            seconds[f"{parent}.{name}"] = inner[name]
    rows = groupby(seconds.items(), key=lambda item: item[1].weight.shape)
    return [list(row)[-1][0] for _, row in rows]


def find_layer(layers: Mapping[str, Convolution], name: str, backbone: str) -> None:
    """Refuse a name that no convolution has.

    Raises:
        RequestError: there is none; it lists the names that are near.
    """
    if name not in layers:
        inside = [known for known in layers if name in known]
        near = inside or difflib.get_close_matches(name, layers, n=8, cutoff=0.5) or list(layers)
        more = f" and {len(near) - 8} more" if len(near) > 8 else ""
        raise RequestError(
            f"{backbone} has no convolution '{name}': choose from {', '.join(near[:8])}{more}"
        )


def draw_kernels(layer: Convolution, out: Path, title: str, *, bgr: bool = False) -> Path:
    """Draw the kernels of one convolution.

    Kernels of colours, or of flow, are one tile each, and so are those of a single input
    (depthwise); of all others a row is a kernel and a column one of its inputs. A kernel
    over time has one picture a step, from top to bottom.

    Args:
        layer: 2-D or 3-D, folded or not.
        out: PNG to write.
        title: above the picture; shape and counts are added.
        bgr: whether the network takes colours as blue, green, red.
    """
    weight = layer.weight.detach().float().cpu()
    weights_OIthw = weight.reshape(*weight.shape[:2], -1, *weight.shape[-2:]).numpy()
    kernels, inputs, steps, high, wide = weights_OIthw.shape
    title += f": {kernels} kernels of {inputs} × {' × '.join(map(str, layer.kernel_size))}"
    of_steps = f"; {steps} time steps from top to bottom" if steps > 1 else ""
    if inputs <= 3:
        if bgr and inputs == 3:
            weights_OIthw = weights_OIthw[:, ::-1]
        title += f" (first {_SINGLE})" * (kernels > _SINGLE)
        tiles, meaning = _single_tiles(weights_OIthw[:_SINGLE])
        columns = math.ceil(math.sqrt(2 * len(tiles) * steps))
        columns = math.ceil(len(tiles) / math.ceil(len(tiles) / columns))
        firsts = range(0, len(tiles), columns)
        rows = [f"{first} – {min(first + columns, len(tiles)) - 1}" for first in firsts]
        note, gap = f"{meaning}, {_SCALE}{of_steps}", 1 if steps == 1 else 2
        return draw_mosaic(tiles, out, title=title, rows=rows, note=note, gap=gap)
    some = weights_OIthw[: max(1, _CROSSED * wide // (steps * high)), :_CROSSED]
    shown = len(some)
    tiles = coloured(_scaled(some), "RdBu_r").reshape(-1, steps * high, wide, 3)
    if (kernels, inputs) != some.shape[:2]:
        title += f" (first {shown} × {some.shape[1]})"
    note = "a row is a kernel, a column one of its inputs; blue below 0, red above"
    rows = [str(number) if number % 5 == 0 else "" for number in range(shown)]
    return draw_mosaic(tiles, out, title=title, rows=rows, note=f"{note}, {_SCALE}{of_steps}")


def _single_tiles(weights_OIthw: NDArray[np.float32]) -> tuple[Pixels, str]:
    """A tile `[O, H, W, RGB]` a kernel, its time steps below one another; what colours mean."""
    scaled, inputs = _scaled(weights_OIthw), weights_OIthw.shape[1]
    if inputs == 1:
        painted, meaning = coloured(scaled[:, 0], "RdBu_r"), "blue below 0, red above"
    else:
        blank = np.full_like(scaled[:, :1], 0.5)
        painted = np.moveaxis(np.concatenate([scaled, blank], axis=1)[:, :3], 1, -1)
        meaning = "" if inputs == 3 else "red: horizontal flow, green: vertical; "
        meaning += "grey is 0"
    line = np.full_like(painted[:, :, :1], np.nan)  # between one step and the next
    whole = np.concatenate([painted, line], axis=2)
    return whole.reshape(len(painted), -1, *painted.shape[3:])[:, :-1], meaning


def _scaled(weights_OIthw: NDArray[np.float32]) -> NDArray[np.float32]:
    """To [0, 1] with 0 at a half, all weights of a kernel by one factor."""
    strongest = np.abs(weights_OIthw).max(axis=(1, 2, 3, 4), keepdims=True)
    scaled: NDArray[np.float32] = weights_OIthw / np.maximum(strongest, np.finfo(np.float32).tiny)
    return 0.5 + 0.5 * scaled
