"""Taps of a network that runs as its makers wrote it: outputs of modules, by their names.

Nothing is folded or traced. What a module gives is caught when it gives it, and the run ends as
soon as every tap is there. A sequence of tokens is laid out as maps where its length is that of
the grid of patches, so that heads and pooling read it as they read a convolution's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from egofeat.device import is_out_of_memory
from egofeat.errors import RequestError

BATCH = 11
"""Rows of the batch that tells which outputs have a row an image: no other side is as long."""


_SILENT = ("Identity", "Dropout", "DropPath")
"""Classes of modules that give what they are given."""


class _FoundError(Exception):
    """Every tap is there: what is deeper need not run."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where tokens come from: `prefix` that are of no place, then a patch each."""

    patch: tuple[int, int]
    """Pixels of a patch, high and wide."""
    prefix: int = 0
    """Class and register tokens before the patches."""
    tubelet: int | None = None
    """Frames of a patch of a clip; None of images."""
    time_last: bool = False
    """Whether the patches of all frames at one place follow each other."""

    def sides(self, batch: Tensor) -> tuple[int, ...]:
        """(h, w) of images `[B, 3, H, W]`, (t, h, w) of clips `[B, 3, T, H, W]`."""
        space = batch.shape[-2] // self.patch[0], batch.shape[-1] // self.patch[1]
        return space if self.tubelet is None else (batch.shape[2] // self.tubelet, *space)

    def lay(self, output: Tensor, batch: Tensor) -> Tensor:
        """Tokens `[B, N, C]` as `[B, C, h, w]` or `[B, C, t, h, w]`; other outputs unchanged.

        Args:
            output: of a module.
            batch: what the network was given.
        """
        sides = self.sides(batch)
        if output.ndim != 3 or output.shape[1] != self.prefix + torch.Size(sides).numel():
            return output
        patches = output[:, self.prefix :].transpose(1, 2)
        rows = patches.shape[:2]
        if self.time_last:
            time, *space = sides
            return patches.reshape(*rows, *space, time).permute(0, 1, 4, 2, 3)
        return patches.reshape(*rows, *sides)


class Hooked(nn.Module):
    """A network that returns outputs of its modules, and ends, as a module that returns taps.

    For one thread: it keeps what it catches, and the makers of networks do so too.

    Args:
        network: frozen, as its makers wrote it.
        run: (network, batch) to what `ends` read.
        ends: names that are no modules' to how they are made of what `run` gives.
        taps: to keep: names out of `ends`, or of modules.
        grid: of its tokens; None where it has none.
        size: pixels a side that it was made for, for sentences.
        frames: of a clip that it was made for, likewise; None of images.
    """

    is_reentrant = False

    def __init__(
        self,
        network: nn.Module,
        run: Callable[[nn.Module, Tensor], Any],
        ends: Mapping[str, Callable[[nn.Module, Any, Tensor], Tensor]],
        taps: Sequence[str],
        grid: Grid | None,
        size: int,
        frames: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.taps = tuple(taps)
        self._run, self._grid, self._size, self._frames = run, grid, size, frames
        self._ends = {tap: ends[tap] for tap in taps if tap in ends}
        self._wanted = {tap for tap in taps if tap not in ends}
        self._found: dict[str, Tensor] = {}
        for tap in self._wanted:
            network.get_submodule(tap).register_forward_hook(self._catching(tap))

    def _catching(self, tap: str) -> Callable[..., None]:
        def catch(_module: nn.Module, _inputs: object, output: object) -> None:
            caught = tensor_of(output)
            assert caught is not None
            self._found[tap] = caught.clone()  # what comes next may write over it
            if not self._ends and len(self._found) == len(self._wanted):
                raise _FoundError

        return catch

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """`[B, 3, H, W]` or `[B, 3, T, H, W]` to `{tap: [B, ...]}`.

        Raises:
            RequestError: the network cannot take such sides.
        """
        self._found.clear()
        given: Any = None
        try:
            given = self._run(self.network, batch)
        except _FoundError:
            pass
        except Exception as error:  # each network refuses sizes in a way of its own
            *frames, high, wide = batch.shape[2:]
            own = [self._frames] if self._frames else []
            if [*frames, high, wide] == [*own, self._size, self._size] or is_out_of_memory(error):
                raise
            raise RequestError(
                f"this backbone cannot take {f'{frames[0]} frames of ' if frames else ''}"
                f"{high} × {wide} pixels: give `size` {self._size}"
                + (f" and `clip_frames` {self._frames}" if own else "")
            ) from None
        taps = {tap: end(self.network, given, batch) for tap, end in self._ends.items()}
        caught = {tap: self._laid(output, batch) for tap, output in self._found.items()}
        self._found.clear()
        return {tap: (taps | caught)[tap].contiguous() for tap in self.taps}

    def _laid(self, output: Tensor, batch: Tensor) -> Tensor:
        return self._grid.lay(output, batch) if self._grid else output


def tensor_of(output: object) -> Tensor | None:
    """The tensor that a module gives, or the first of several."""
    if isinstance(output, tuple) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def rows_of_modules(network: nn.Module, run: Callable[[], object]) -> list[str]:
    """Modules that run once and give a row for each of `BATCH` inputs, in the order they end.

    Args:
        network: whose modules are asked.
        run: runs it, once, on `BATCH` inputs.
    """
    calls: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def watching(name: str) -> Callable[..., None]:
        def watch(_module: nn.Module, _inputs: object, output: object) -> None:
            calls[name] = calls.get(name, 0) + 1
            caught = tensor_of(output)
            shapes[name] = tuple(caught.shape) if caught is not None else ()

        return watch

    hooks = [
        module.register_forward_hook(watching(name))
        for name, module in network.named_modules()
        if name and type(module).__name__ not in _SILENT
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return [
        name
        for name, shape in shapes.items()
        if calls[name] == 1 and 2 <= len(shape) <= 5 and shape[0] == BATCH
    ]
