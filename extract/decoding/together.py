"""Many videos decoded by several threads, whose views fill the batches of networks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch

from egofeat.extract.batches.filling import Filling
from egofeat.extract.decoding.card import decoding_on
from egofeat.extract.decoding.events import (
    Event,
    Filled,
    Lane,
    Pixels,
)
from egofeat.extract.decoding.reading import Stretch, decode
from egofeat.extract.decoding.threads import in_threads
from egofeat.extract.units import Pass, Unit, passes_over


@contextmanager
def decode_all(
    units: Iterable[Unit],
    lanes: Sequence[Lane],
    fillings: Sequence[Filling],
    *,
    decoder: str,
    workers: int,
    waiting_frames: int,
    turns: bool,
) -> Iterator[Iterator[Event]]:
    """Decode many units in `workers` threads; events of one stretch stay in order.

    The next unit is taken when a thread has nothing else to decode. At most `waiting_frames`
    frames of batches that are filled wait, and as many are in the consumer's hands, however long
    the videos are; `turns` has the threads rest while it works. Leaving it stops the threads.

    Args:
        units: asked for one by one.
        lanes: who takes what.
        fillings: `[lanes]` where each has its views written. What is left there belongs to no
            `Filled`: it is taken when all events have come.
        decoder: one of `DECODERS`.
        workers: threads.
        waiting_frames: each crop of one counted.
        turns: whether threads rest while the consumer works.
    """

    def work(
        one: Pass | Stretch, further: Callable[[Sequence[Stretch]], object]
    ) -> Iterator[Event | None]:
        torch.set_num_threads(1)  # a resize is too small to share out
        with decoding_on(fillings[0].device):
            for event in decode(one, lanes, decoder, further):
                if isinstance(event, Pixels):
                    yield None
                    filled = fillings[event.lane].place((event.video, event.view), event.frames)
                    yield from (Filled(event.lane, batch) for batch in filled)
                else:
                    yield event

    def frames_in(event: Event) -> int:
        return event.batch.frames if isinstance(event, Filled) else 1

    passes: Iterator[Pass | Stretch] = (one for unit in units for one in passes_over(unit))
    network_threads = torch.get_num_threads()
    all_events: AbstractContextManager[Iterator[Event]] = in_threads(
        passes, work, threads=workers, waiting=waiting_frames, weigh=frames_in, turns=turns
    )
    try:
        with all_events as events:
            yield events
    finally:
        # What a thread sets for itself is also what threads begun later start from.
        torch.set_num_threads(network_threads)
