"""Pictures of a network's kernels, as it holds them.

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
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.pipelines.figures.mosaics import Pixels, coloured, draw_mosaic, on_lines

Convolution = nn.Conv2d | nn.Conv3d

_SINGLE = 100
"""Most kernels in a picture where each is one tile."""
_CROSSED = 40
"""Most inputs, and most flat kernels, in a picture with a tile for both."""
_SCALE = "each kernel by its strongest weight"


def convolutions(module: nn.Module) -> dict[str, Convolution]:
    """All convolutions by their names in the module, in its order."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Conv2d | nn.Conv3d)
    }


def first_layers(layers: Mapping[str, Convolution], channels: int) -> list[str]:
    """Names of those that read the input of so many channels: one a pathway."""
    return [name for name, layer in layers.items() if layer.in_channels == channels]


def bottleneck_layers(module: nn.Module) -> list[str]:
    """Names of the second convolutions of bottlenecks: of each row of one shape, the last.

    A bottleneck (He et al., 2016, figure 5) is 1×1, k×k, 1×1 in space, with a 1×1 shortcut
    after it or none; stages differ in shape.
    """
    seconds: dict[str, Convolution] = {}
    for parent, child in module.named_modules():
        inner = convolutions(child)
        if _is_bottleneck(list(inner.values())):
            name = list(inner)[1]
            seconds[f"{parent}.{name}"] = inner[name]
    rows = groupby(seconds.items(), key=lambda item: item[1].weight.shape)
    return [list(row)[-1][0] for _, row in rows]


def _is_bottleneck(layers: list[Convolution]) -> bool:
    pointwise = [math.prod(layer.kernel_size[-2:]) == 1 for layer in layers]
    return pointwise in ([True, False, True], [True, False, True, True])


def find_layer(layers: Mapping[str, Convolution], name: str, backbone: str) -> Convolution:
    """The convolution of that name.

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
    return layers[name]


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
    weights_OIthw = _with_time(layer.weight)
    kernels, inputs, steps, high, wide = weights_OIthw.shape
    title += f": {kernels} kernels of {inputs} × {' × '.join(map(str, layer.kernel_size))}"
    if bgr and inputs == 3:
        weights_OIthw = weights_OIthw[:, ::-1]
    if inputs <= 3:
        title += f" (first {_SINGLE})" * (kernels > _SINGLE)
        return _draw_single(weights_OIthw[:_SINGLE], out, title)
    some = weights_OIthw[: max(1, _CROSSED * wide // (steps * high)), :_CROSSED]
    tiles = coloured(_scaled(some), "RdBu_r").reshape(*some.shape[:2], steps * high, wide, 3)
    shown = len(some)
    note = f"a row is a kernel, a column one of its inputs; blue below 0, red above, {_SCALE}"
    if (kernels, inputs) != some.shape[:2]:
        title += f" (first {shown} × {some.shape[1]})"
    if steps > 1:
        note += f"; {steps} time steps from top to bottom"
    rows = [str(number) if number % 5 == 0 else "" for number in range(shown)]
    return draw_mosaic(tiles, out, title=title, rows=rows, note=note)


def _draw_single(weights_OIthw: NDArray[np.float32], out: Path, title: str) -> Path:
    """A tile a kernel; its time steps stand below one another in it."""
    kernels, _, steps = weights_OIthw.shape[:3]
    painted, note = _painted(weights_OIthw)
    line = np.full_like(painted[:, :, :1], np.nan)  # between one step and the next
    tiles = np.concatenate([painted, line], axis=2).reshape(kernels, -1, *painted.shape[3:])[:, :-1]
    columns = math.ceil(math.sqrt(2 * kernels * steps))
    columns = math.ceil(kernels / math.ceil(kernels / columns))
    rows = [
        f"{first} – {min(first + columns, kernels) - 1}" for first in range(0, kernels, columns)
    ]
    if steps > 1:
        note += f"; {steps} time steps from top to bottom"
    gap = 1 if steps == 1 else 2
    return draw_mosaic(on_lines(tiles, columns), out, title=title, rows=rows, note=note, gap=gap)


def _painted(weights_OIthw: NDArray[np.float32]) -> tuple[Pixels, str]:
    """Kernels of up to three inputs as `[O, t, h, w, RGB]`, and what the colours mean."""
    scaled = _scaled(weights_OIthw)
    inputs = scaled.shape[1]
    if inputs == 1:
        return coloured(scaled[:, 0], "RdBu_r"), f"blue below 0, red above, {_SCALE}"
    blank = np.full_like(scaled[:, :1], 0.5)
    colours = np.concatenate([scaled, blank], axis=1)[:, :3]
    meaning = "" if inputs == 3 else "red: horizontal flow, green: vertical; "
    return np.moveaxis(colours, 1, -1), f"{meaning}grey is 0, {_SCALE}"


def _scaled(weights_OIthw: NDArray[np.float32]) -> NDArray[np.float32]:
    """To [0, 1] with 0 at a half, all weights of a kernel by one factor."""
    strongest = np.abs(weights_OIthw).max(axis=(1, 2, 3, 4), keepdims=True)
    scaled: NDArray[np.float32] = weights_OIthw / np.maximum(strongest, np.finfo(np.float32).tiny)
    return 0.5 + 0.5 * scaled


def _with_time(weight: Tensor) -> NDArray[np.float32]:
    """`[O, I, h, w]` or `[O, I, t, h, w]` to the latter."""
    weight = weight.detach().float().cpu().contiguous()
    five: NDArray[np.float32] = (weight if weight.ndim == 5 else weight[:, :, None]).numpy()
    return five
