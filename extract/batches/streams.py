"""Sending, the network and fetching, each in its own order, so that on a GPU they overlap."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class Streams:
    """Two streams of a GPU beside that of the network, which is the current one; none of a CPU.

    Args:
        device: where the network runs; the current one of who calls.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        make: Any = torch.cuda.Stream
        self._sending, self._fetching = (
            make(device) if device.type == "cuda" else None for _ in range(2)
        )

    def send(
        self, make: Callable[[], tuple[Tensor, ...]], *, there: bool = False
    ) -> tuple[Tensor, ...]:
        """What `make` puts on the device, beside what the network does; only the network waits.

        Args:
            make: sends, and puts together what was sent.
            there: whether that is of what decoding threads wrote on the device: it is put together
                in the network's stream.
        """
        if self._sending is None:
            return make()
        network = torch.cuda.current_stream(self._device)
        if there:
            # Threads that decode launch in the default stream, and a batch is handed over when
            # all that writes to it was launched: what is in that stream by now is enough to wait
            # for. Its memory stays that of the batch, which is held until its features are here;
            # the allocator, which knows of the stream of those who wrote alone, has it only then.
            network.wait_stream(torch.cuda.default_stream(self._device))
            return make()
        with torch.cuda.stream(self._sending):
            sent = make()
        network.wait_stream(self._sending)
        for one in sent:
            one.record_stream(network)
        return sent

    def fetch(self, outputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], "Done | None"]:
        """Outputs on the host, there when the event has passed; beside what the network does."""
        if self._fetching is None:
            return dict(outputs), None
        self._fetching.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._fetching):
            fetched = {}
            for name, output in outputs.items():
                output.record_stream(self._fetching)
                # Into pinned memory, which torch takes for it: this thread goes on.
                fetched[name] = output.to("cpu", non_blocking=True)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
        return fetched, done


Done = torch.cuda.Event
"""Passes when what was fetched is there."""
