"""Smaller maps: means over cells of a coarser grid and over time, before anything is stored."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from egofeat.errors import RequestError

_MAPS = 3
"""Axes at least of one view's maps, `[C, h, w]`; a vector has one."""
_CLIP_MAPS = 4
"""Axes of the maps of one clip, `[t, C, h, w]`."""


def pool_maps(output: Tensor, size: int | None, over_time: bool) -> Tensor:
    """Pool maps `[N, t, C, h, w]` or `[N, C, h, w]`; vectors stay.

    Args:
        output: of a tap.
        size: places a side after adaptive means; None pools no space.
        over_time: whether the t steps of clips become their mean, `[N, C, h, w]`.
    """
    if over_time and output.ndim > _CLIP_MAPS:
        output = output.mean(dim=1)
    if size is None or output.ndim <= _MAPS:
        return output
    pooled: Tensor = F.adaptive_avg_pool2d(output.flatten(0, -4), size)
    return pooled.view(*output.shape[:-2], size, size)


def pooled_shapes(
    shapes: Mapping[str, tuple[int, ...]], size: int | None, over_time: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes of one view's taps after pooling; see `pool_maps`.

    Raises:
        RequestError: no tap has such maps, or one has smaller ones.
    """
    if over_time:
        if all(len(shape) < _CLIP_MAPS for shape in shapes.values()):
            raise RequestError(
                f"`pool_time` needs maps of clips, and {', '.join(shapes)} has none: choose a "
                "`tap` with such maps"
            )
        shapes = {tap: s[1:] if len(s) == _CLIP_MAPS else s for tap, s in shapes.items()}
    maps = [tap for tap, shape in shapes.items() if len(shape) >= _MAPS]
    if size is None:
        return dict(shapes)
    if not maps:
        raise RequestError(
            f"`pool_grid` needs maps, and {', '.join(shapes)} has none: choose a `tap` with maps"
        )
    for tap in maps:
        if min(shapes[tap][-2:]) < size:
            high, wide = shapes[tap][-2:]
            raise RequestError(
                f"`pool_grid` {size} is finer than the maps of {tap}, {high} × {wide}: give "
                f"{min(high, wide)} at most"
            )
    return {
        tap: (*shape[:-2], size, size) if tap in maps else shape for tap, shape in shapes.items()
    }
