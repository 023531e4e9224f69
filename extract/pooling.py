"""Smaller maps: the mean over the cells of a coarser grid, before anything is stored."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from egofeat.errors import RequestError

_MAPS = 3
"""Axes at least of one view's maps, `[C, h, w]`; a vector has one."""


def pool_maps(output: Tensor, size: int) -> Tensor:
    """Pool maps `[N, …, h, w]` to `[N, …, size, size]` by adaptive means; vectors stay."""
    if output.ndim <= _MAPS:
        return output
    pooled: Tensor = F.adaptive_avg_pool2d(output.flatten(0, -4), size)
    return pooled.view(*output.shape[:-2], size, size)


def pooled_shapes(
    shapes: Mapping[str, tuple[int, ...]], size: int | None
) -> dict[str, tuple[int, ...]]:
    """Shapes of one view's taps after pooling; None pools nothing.

    Raises:
        RequestError: no tap has maps, or one has smaller ones.
    """
    maps = [tap for tap, shape in shapes.items() if len(shape) >= _MAPS]
    if size is None:
        return dict(shapes)
    if not maps:
        raise RequestError(
            f"--pool-grid is of maps, and {', '.join(shapes)} has none: choose a --tap with maps"
        )
    for tap in maps:
        if min(shapes[tap][-2:]) < size:
            high, wide = shapes[tap][-2:]
            raise RequestError(
                f"--pool-grid {size} is finer than the maps of {tap}, {high} × {wide}: give "
                f"{min(high, wide)} at most"
            )
    return {
        tap: (*shape[:-2], size, size) if tap in maps else shape for tap, shape in shapes.items()
    }
