"""Views through a network, in batches of one fixed shape.

The last is padded, so that a feature never depends on its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat import console
from egofeat.device import Room
from egofeat.extract.assembly import Features
from egofeat.extract.flow import on_device
from egofeat.extract.pooling import pool_maps
from egofeat.extract.roi import pool, regions
from egofeat.extract.task import Task
from egofeat.extract.transforms import normalise
from egofeat.recipe import View

ViewKey = tuple[str, View]
"""Video and frames of a view."""


class Batches:
    """Views in, features out, through batches of one fixed shape for each size of frames.

    Two batches of views wait at most, whatever sizes they have: then the size that waits longest
    is run, padded. One batch is always under way on a GPU: what it gives is copied back beside
    the next one's work, and taken only when that has been handed to the device. Where the memory
    of the device runs out, batches are halved.

    Args:
        task: what is done with views.
        boxes_in: of persons, the boxes `[n, 4]` that are cut out of the maps of a view.
    """

    def __init__(self, task: Task, boxes_in: Callable[[str, View], NDArray[np.float32]]) -> None:
        self._backbone = task.backbone
        self._device = task.backbone.device
        self._transform = task.recipe.transform
        self._persons = task.persons
        self._room = Room(self._device, task.views_a_batch, console.note)
        self._is_clip = task.backbone.spec.clip is not None
        motion = self._transform.motion
        self._move = on_device(motion, self._device) if motion else None
        self._waiting: dict[tuple[int, ...], list[tuple[ViewKey, NDArray[np.generic]]]] = {}
        """Shape of a view to those that wait to fill a batch."""
        self._boxes_in = boxes_in
        self._under_way = _UnderWay([], {}, [], None)
        self.views = 0

    def add(
        self, key: ViewKey, frames_FKHWC: NDArray[np.generic]
    ) -> Iterator[tuple[ViewKey, Features]]:
        """Take one prepared view; yields the features that are ready by now."""
        self.views += frames_FKHWC.shape[1]
        waiting = self._waiting.setdefault(frames_FKHWC.shape, [])
        waiting.append((key, frames_FKHWC))
        if len(waiting) >= self._room.size:
            yield from self._run(frames_FKHWC.shape)
        elif sum(map(len, self._waiting.values())) > 2 * self._room.size:
            yield from self._run(next(iter(self._waiting)))

    def finish(self) -> Iterator[tuple[ViewKey, Features]]:
        """Yield the features of every view that was added and has not come out."""
        for shape in list(self._waiting):
            yield from self._run(shape)
        yield from self._under_way.view_by_view()

    def _run(self, shape: tuple[int, ...]) -> Iterator[tuple[ViewKey, Features]]:
        left = self._waiting.pop(shape)
        while left:
            size = self._room.size
            keys, views = zip(*left[:size], strict=True)
            launched = self._room.run(size, partial(self._launch, keys, views, size))
            if launched is not None:
                left = left[size:]
                ready, self._under_way = self._under_way, launched
                yield from ready.view_by_view()

    def _launch(
        self, keys: Sequence[ViewKey], views: Sequence[NDArray[np.generic]], size: int
    ) -> "_UnderWay":
        """Hand a batch of `size` to the device, padded, without waiting for what it gives."""
        padding = [np.zeros_like(views[0])] * (size - len(views))
        views_NFKHWC = self._to_device(torch.from_numpy(np.stack([*views, *padding])))
        if self._persons is None:
            outputs = self._outputs(views_NFKHWC)
            counts: list[int] = [self._transform.crops] * len(keys)
        else:
            # What they are is sent ahead: a copy after the network would wait for it.
            boxes = [torch.from_numpy(self._boxes_in(*key)) for key in keys]
            height, width = views_NFKHWC.shape[3:5]
            places = self._to_device(regions((height, width), boxes))
            pooled = pool(self._persons.align, self._outputs(views_NFKHWC), places)
            outputs = {tap: pooled[tap] for tap in self._persons.taps}
            counts = [len(of_view) for of_view in boxes]
        if self._device.type != "cuda":
            return _UnderWay(keys, outputs, counts, None)
        outputs = {tap: out.to("cpu", non_blocking=True) for tap, out in outputs.items()}
        # Recorded on the current device, which `Room.run` has made the network's.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()
        return _UnderWay(keys, outputs, counts, done)

    def _to_device(self, values: Tensor) -> Tensor:
        """Only from pinned memory, and back into it, do copies not hold up this thread."""
        if self._device.type != "cuda":
            return values
        return values.pin_memory().to(self._device, non_blocking=True)

    def _outputs(self, views_NFKHWC: Tensor) -> dict[str, Tensor]:
        """What is kept of each crop of each view by itself, `[N × crops, …]`."""
        if self._move:
            views_NFKHWC = self._move(views_NFKHWC)
        clips = views_NFKHWC.transpose(1, 2).flatten(0, 1)  # […, F, H, W, C], F 1 of images
        transform = self._transform
        outputs = self._backbone(normalise(transform, clips if self._is_clip else clips[:, 0]))
        return {
            tap: pool_maps(output, transform.pool_grid, transform.pool_time)
            for tap, output in outputs.items()
        }


@dataclass(frozen=True)
class _UnderWay:
    """A batch that the device has; its features are on the host once `done` has passed."""

    keys: Sequence[ViewKey]
    outputs: dict[str, Tensor]
    counts: Sequence[int]
    """Rows of the outputs that each view has: its crops, or the persons in it."""
    done: torch.cuda.Event | None

    def view_by_view(self) -> Iterator[tuple[ViewKey, Features]]:
        if self.done:
            self.done.synchronize()
        arrays = {tap: output.numpy() for tap, output in self.outputs.items()}
        first = 0
        for key, count in zip(self.keys, self.counts, strict=True):
            yield key, {tap: array[first : first + count] for tap, array in arrays.items()}
            first += count
