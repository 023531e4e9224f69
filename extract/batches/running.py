"""Batches of views through a network, each of one fixed shape for the size of its frames.

One that is not full is padded, so that a feature never depends on its neighbours.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from egofeat import console, graphs
from egofeat.device import Room, current, wait_for
from egofeat.extract.assembly import Claim, Features
from egofeat.extract.batches.abreast import InOrder, Threads, views_in_memory
from egofeat.extract.batches.filling import Batch, Filling, ViewKey
from egofeat.extract.batches.growth import grown, quicker
from egofeat.extract.batches.streams import Done, Streams
from egofeat.extract.flow import on_device
from egofeat.extract.pooling import pool_maps
from egofeat.extract.roi import pool, regions
from egofeat.extract.task import Task
from egofeat.extract.transforms import normalise

TRIALS = 4
"""Batches of a size that are timed; the first ones load kernels."""

SOME = 64
"""Views that a processor is given at once without asking for its memory."""

Outputs = dict[str, Tensor]
"""Tap to what the network gives there."""


class Batches:
    """Batches in, features out.

    One batch is always under way on a GPU: what it gives is copied back beside the next one's
    work, and taken only when that has been handed to the device. Where the memory of the device
    runs out, batches are halved.

    Args:
        task: what is done with views.
        claim: who wants the features of views, asked when they are handed to the network.
        threads: of a processor, each of which runs a batch; None where this thread does.
    """

    def __init__(
        self,
        task: Task,
        claim: Callable[[Iterable[ViewKey]], list[Claim]],
        threads: Threads | None = None,
    ) -> None:
        self._backbone = task.backbone
        self._device = task.backbone.device
        self._transform = task.recipe.transform
        self._persons = task.persons
        self._is_clip = task.backbone.spec.clip is not None
        motion = self._transform.motion
        self._move = on_device(motion, self._device) if motion else None
        self._streams = Streams(self._device)
        self._claim = claim
        self._under_way: _UnderWay | None = None
        self._abreast = InOrder[tuple[Batch, list[_UnderWay]]](threads) if threads else None
        usual = partial(self._seconds, task, self._outputs)
        size = grown(task, usual) if task.grows else task.views_a_batch
        if self._device.type == "cpu" and size > SOME:
            size = min(size, max(SOME, views_in_memory(task)))
        self._run_network = self._chosen(task, size, partial(usual, size))
        self._room = Room(self._device, size, console.note)
        self.frames_a_batch = size * task.frames_a_view
        """Prepared frames of a whole batch, each crop of one counted."""
        self.filling = Filling(self._room, pinned=self._device.type == "cuda")
        """Where views are written."""
        self.views = 0
        """Run through the network, each crop of one counted."""

    def _chosen(
        self, task: Task, size: int, usual: Callable[[], float]
    ) -> Callable[[Tensor], Outputs]:
        """How batches are run: as a graph, where there are such and a trial says so."""
        # Motion on the device decides by what it sees, and whole frames are of many sizes.
        fixed = not self._move and self._transform.resize != "whole"
        recorder = graphs.recorder_of(self._device) if fixed else None
        if recorder is None:
            return self._outputs

        def work(inputs: Sequence[Tensor]) -> Outputs:
            return self._outputs(inputs[0])

        def trial() -> float:
            tried = graphs.Replayed(work, recorder, lambda _: None)
            return self._seconds(task, tried, size, graphs.WARM + TRIALS)

        if not quicker(task, size, usual, trial):
            return self._outputs
        replayed = graphs.Replayed(work, recorder, console.note)
        # The next replay writes over what is still being fetched.
        return lambda views: {tap: one.clone() for tap, one in replayed(views).items()}

    def _seconds(
        self, task: Task, run: Callable[[Tensor], Outputs], size: int, trials: int = TRIALS
    ) -> float:
        """What a batch of so many views takes, while the next one is on the device as well.

        Raises:
            RuntimeError: there is no room for it.
        """
        taken = []
        with current(self._device):
            shape = (2, size, *task.view_shape)
            views, _beside = torch.zeros(shape, dtype=torch.uint8, device=self._device)
            for _ in range(trials):
                began = time.perf_counter()
                run(views)
                wait_for(self._device)
                taken.append(time.perf_counter() - began)
        return min(taken)

    def run(self, batch: Batch) -> Iterator[tuple[list[Claim], Features]]:
        """Run a batch of `filling`; yields the features that are ready by now."""
        self.views += len(batch.keys) * batch.shape[1]
        parts = self._parts(batch, self._claim(batch.keys))
        if self._abreast:
            for made in self._abreast.put(lambda: (batch, list(parts))):
                yield from self._made(*made)
        else:
            for launched in parts:
                yield from self._ready(launched)

    def finish(self) -> Iterator[tuple[list[Claim], Features]]:
        """Run what is left in `filling`; yields all features that have not come out."""
        for batch in self.filling.rest():
            yield from self.run(batch)
        if self._abreast:
            for made in self._abreast.rest():
                yield from self._made(*made)
        yield from self._ready(None)

    def end(self) -> None:
        """Let go of the network, which leads back here: all that this holds would stay."""
        del self._run_network

    def _parts(self, batch: Batch, claims: list[Claim]) -> "Iterator[_UnderWay]":
        """Hand a batch to the device, in as many parts as there is room for."""
        first = 0
        while first < len(claims):
            size = self._room.size
            now = claims[first : first + size]
            launched = self._room.run(size, partial(self._launch, batch, first, size, now))
            if launched is not None:
                first += size
                yield launched

    def _made(
        self, batch: Batch, parts: "list[_UnderWay]"
    ) -> Iterator[tuple[list[Claim], Features]]:
        """What a thread made of a batch, whose memory is used again afterwards."""
        for part in parts:
            yield part.claims, part.features()
        self.filling.release(batch)

    def _ready(self, launched: "_UnderWay | None") -> Iterator[tuple[list[Claim], Features]]:
        before, self._under_way = self._under_way, launched
        if before:
            yield before.claims, before.features()
            if launched is None or launched.batch is not before.batch:
                self.filling.release(before.batch)

    def _launch(self, batch: Batch, first: int, size: int, claims: list[Claim]) -> "_UnderWay":
        """Hand rows of a batch to the device, without waiting for what it gives."""
        # All is sent ahead of the network: a copy after it would wait for it.
        make = partial(self._sent, batch, first, size, claims)
        views, *places = self._streams.send(make, there=batch.device == self._device)
        outputs = self._run_network(views)
        rows = len(claims) * batch.shape[1]
        if self._persons:
            pooled = pool(self._persons.align, outputs, places[0])
            outputs = {tap: pooled[tap] for tap in self._persons.taps}
            rows = len(places[0])
        return _UnderWay(batch, claims, *self._streams.fetch(outputs), rows)

    def _sent(self, batch: Batch, first: int, size: int, claims: list[Claim]) -> tuple[Tensor, ...]:
        """Views `[N, F, K, H, W, C]` on the device; of persons also where they are."""
        views_NFKHWC = batch.on(self._device, first, size)
        if self._persons is None:
            return (views_NFKHWC,)
        height, width = views_NFKHWC.shape[3:5]
        places = regions((height, width), [torch.from_numpy(claim.boxes) for claim in claims])
        return views_NFKHWC, self._to_device(places)

    def _to_device(self, values: Tensor) -> Tensor:
        """Only from pinned memory, and back into it, do copies not hold up this thread."""
        if self._device.type != "cuda":
            return values
        return values.pin_memory().to(self._device, non_blocking=True)

    def _outputs(self, views_NFKHWC: Tensor) -> Outputs:
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

    batch: Batch
    """Whose memory nobody else is given while the device may copy from it."""
    claims: list[Claim]
    outputs: dict[str, Tensor]
    done: Done | None
    rows: int
    """Of the outputs, without those of padding."""

    def features(self) -> Features:
        if self.done:
            self.done.synchronize()
        return {tap: output.numpy()[: self.rows] for tap, output in self.outputs.items()}
