"""`egofeat visualize kernels`: a network's kernels, as it holds them.

Grey, or white, is zero, and the strongest weight of a kernel has full colour: scaled so, a
kernel looks the same whatever constant its batch norm was folded into it, but for the sign.
Beside the published ones, all kernels of a layer have one scale: the constants can be seen.
"""

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.extract.backbones.building import unfolded
from egofeat.extract.backbones.inside import Convolution, check_layer, convolutions
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic
from egofeat.pipelines.visualize.options import KernelsConfig
from egofeat.pipelines.visualize.pictures import (
    Pictures,
    file_of,
    load_network,
    maps_and_vectors,
    remark_of,
)

_SINGLE = 100
"""Most kernels in a picture where each is one tile."""
_CROSSED = 40
"""Most inputs, and most flat kernels, in a picture with a tile for both."""


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
        check_layer(known, name, asked.backbone, "convolution")
    if not known:
        raise RequestError(f"{asked.backbone} has no kernels to draw: choose another `backbone`")
    first = [name for name, layer in known.items() if layer.in_channels == spec.channels]
    if asked.channels and asked.layers:
        first = []  # the numbers are of the layers that are named
    chosen = dict.fromkeys([*first, *(asked.layers or bottleneck_layers(network.module))])
    for name in chosen:
        if wrong := [one for one in asked.channels if one >= known[name].out_channels]:
            raise RequestError(
                f"`channels` {wrong[0]}: {name} of {asked.backbone} has channels 0 to "
                f"{known[name].out_channels - 1}"
            )
    published: dict[str, Convolution] = {}
    if asked.beside:
        with unfolded():
            published = convolutions(load_network(asked, maps_and_vectors(spec), "cpu").module)
    return Pictures.of(
        draw_kernels(
            known[name],
            file_of(asked, "kernels", name, *(["beside"] if asked.beside else [])),
            f"{asked.backbone} {name}",
            bgr=bgr,
            channels=asked.channels,
            published=published.get(name),
            remark=remark_of(network),
        )
        for name in chosen
    )


def bottleneck_layers(module: nn.Module) -> list[str]:
    """Names of the second convolutions of bottlenecks: of each row of one shape, the last.

    A bottleneck (He et al., 2016, figure 5) is 1×1, k×k, 1×1 in space, with a 1×1 shortcut
    after it or none; stages differ in shape.
    """
    names = {layer: name for name, layer in convolutions(module).items()}
    seconds: dict[str, Convolution] = {}
    for child in module.modules():
        inner = list(convolutions(child).values())
        pointwise = [math.prod(layer.kernel_size[-2:]) == 1 for layer in inner]
        if pointwise in ([True, False, True], [True, False, True, True]):
            seconds[names[inner[1]]] = inner[1]
    rows = groupby(seconds.items(), key=lambda item: item[1].weight.shape)
    return [list(row)[-1][0] for _, row in rows]


def draw_kernels(
    layer: Convolution,
    out: Path,
    title: str,
    *,
    bgr: bool = False,
    channels: Sequence[int] = (),
    published: Convolution | None = None,
    remark: str = "",
) -> Path:
    """Draw the kernels of one convolution.

    Kernels of colours, or of flow, are one tile each, and so are those of a single input
    (depthwise); of all others a row is a kernel and a column one of its inputs. A kernel
    over time has one picture a step, from top to bottom.

    Args:
        layer: 2-D or 3-D, folded or not.
        out: PNG to write.
        title: above the picture; shape and counts are added.
        bgr: whether the network takes colours as blue, green, red.
        channels: whose kernels are drawn; none means the first.
        published: the same before its batch norm was folded, drawn above it.
        remark: added to the note below.
    """
    sides = [_weights(one, bgr=bgr) for one in (published, layer) if one is not None]
    kernels, inputs, steps, high, wide = sides[-1].shape
    title += f": {kernels} kernels of {inputs} × {' × '.join(map(str, layer.kernel_size))}"
    single = inputs <= 3
    room = _SINGLE if single else max(2, _CROSSED * wide // (steps * high))
    shown = list(dict.fromkeys(channels))[:room] or list(range(min(kernels, room // len(sides))))
    across = min(inputs, _CROSSED)
    if across < inputs or (len(shown) < kernels and not channels):
        counts = f"{len(shown)} × {across}" if across < inputs else str(len(shown))
        title += f" ({'' if channels else 'first '}{counts})"
    # Of two sides all weights of the layer have one scale.
    strongest = max(float(np.abs(side).max()) for side in sides) if len(sides) > 1 else None
    scaled = [_scaled(side[shown], strongest)[:, :across] for side in sides]
    draw = _draw_single if single else _draw_crossed
    tiles, rows, note, gap = draw(scaled, shown, _factors(sides)[shown])
    note += (
        ", each kernel by its strongest weight"
        if len(sides) == 1
        else (
            ", by the strongest weight of the layer, of both; each row as published, and below it "
            "as it runs: times what its batch norm multiplies by"
        )
    )
    note += f"; {steps} time steps from top to bottom" if steps > 1 else ""
    return draw_mosaic(tiles, out, title=title, rows=rows, note=f"{note}{remark}", gap=gap)


def _weights(layer: Convolution, *, bgr: bool) -> NDArray[np.float32]:
    """`[O, I, t, h, w]`, colours as red, green, blue."""
    weight = layer.weight.detach().float().cpu()
    weights_OIthw: NDArray[np.float32] = weight.reshape(
        *weight.shape[:2], -1, *weight.shape[-2:]
    ).numpy()
    return weights_OIthw[:, ::-1] if bgr and weights_OIthw.shape[1] == 3 else weights_OIthw


def _factors(sides: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What each kernel was multiplied by from the first side to the last, `[O]`."""
    first, last = (side.reshape(len(side), -1) for side in (sides[0], sides[-1]))
    factors: NDArray[np.float32] = (first * last).sum(1) / np.maximum((first**2).sum(1), 1e-30)
    return factors


_Drawn = tuple[Pixels, list[str], str, int]
"""Tiles, names of rows, what colours mean, gap."""


def _draw_single(
    sides: Sequence[NDArray[np.float32]], shown: Sequence[int], factors: NDArray[np.float32]
) -> _Drawn:
    """A tile a kernel; of two sides, a row of one below that of the other."""
    steps = sides[0].shape[2]
    columns = math.ceil(math.sqrt(2 * len(shown) * steps * len(sides)))
    lines = math.ceil(len(shown) / min(columns, len(shown)))
    columns = math.ceil(len(shown) / lines)
    painted, meaning = zip(*map(_single_tiles, sides), strict=True)
    missing = np.full((lines * columns - len(shown), *painted[0].shape[1:]), np.nan, np.float32)
    whole = np.stack([np.concatenate([side, missing]) for side in painted])
    tiles = whole.reshape(len(sides), lines, columns, *whole.shape[2:]).swapaxes(0, 1)
    rows = []
    for first in range(0, len(shown), columns):
        some = shown[first : first + columns]
        row = list(range(some[0], some[0] + len(some))) == list(some)
        named = f"{some[0]} – {some[-1]}" if row and len(some) > 1 else ", ".join(map(str, some))
        words = textwrap.fill(named, 16)
        low, high = factors[first : first + columns].min(), factors[first : first + columns].max()
        span = f"× {low:.2g}" + (f" … {high:.2g}" if len(some) > 1 else "")
        rows += [words] if len(sides) == 1 else [words, span]
    return tiles, rows, meaning[0], 1 if steps == 1 else 2


def _draw_crossed(
    sides: Sequence[NDArray[np.float32]], shown: Sequence[int], factors: NDArray[np.float32]
) -> _Drawn:
    """A row a kernel, a tile an input; of two sides, a row of one below that of the other."""
    whole = np.stack(sides, axis=1)
    tiles = coloured(whole, "RdBu_r")
    *_, steps, high, wide, _ = tiles.shape
    tiles = tiles.reshape(-1, steps * high, wide, 3)
    if len(sides) == 1:
        few = len(shown) * steps * high < 200 and list(shown) != list(range(len(shown)))
        rows = [str(one) if few or one % 5 == 0 else "" for one in shown]
    else:
        pairs = zip(shown, factors, strict=True)
        rows = [word for one, factor in pairs for word in (str(one), f"× {factor:.2g}")]
    return tiles, rows, "a row is a kernel, a column one of its inputs; blue below 0, red above", 1


def _single_tiles(scaled: NDArray[np.float32]) -> tuple[Pixels, str]:
    """A tile `[O, H, W, RGB]` a kernel, its time steps below one another; what colours mean."""
    inputs = scaled.shape[1]
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


def _scaled(weights_OIthw: NDArray[np.float32], strongest: float | None) -> NDArray[np.float32]:
    """To [0, 1] with 0 at a half, by the strongest weight; None: of each kernel by its own."""
    whole = np.abs(weights_OIthw).max(axis=(1, 2, 3, 4), keepdims=True)
    scale = np.maximum(whole if strongest is None else strongest, np.finfo(np.float32).tiny)
    scaled: NDArray[np.float32] = weights_OIthw / scale
    return 0.5 + 0.5 * scaled
