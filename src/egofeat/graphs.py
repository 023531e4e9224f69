"""Work on a GPU as one graph: recorded once for tensors of some shapes, then replayed.

Launching a kernel takes the host some microseconds, and small networks have hundreds of them; a
graph is launched as one. What is recorded are kernels and where their tensors lie: numbers of
Python, and what Python decides, are as they were when it was recorded.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

WARM = 3
"""Times that work runs before it is recorded: libraries make their workspaces at first."""

T = TypeVar("T")


class Recorder(Protocol):
    """What can record, and replay."""

    def apart(self, work: Callable[[], T]) -> T:
        """Do work as it is, so that it may be recorded later."""
        ...

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        """Record work, which is not done by that; what it gives, once the second has been called.

        Raises:
            RuntimeError: something in it cannot be recorded.
        """
        ...


class CudaRecorder:
    """Records graphs of a GPU, by a stream of its own.

    Args:
        device: whose.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        stream: Any = torch.cuda.Stream
        self._stream = stream(device)

    def apart(self, work: Callable[[], T]) -> T:
        """Do work in the stream that records; others wait for each other, the host does not."""
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            made = work()
        usual.wait_stream(self._stream)
        return made

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        """See `Recorder`; other threads may go on with the GPU meanwhile."""
        graph = torch.cuda.CUDAGraph()
        how: Any = {"stream": self._stream, "capture_error_mode": "thread_local"}
        with (
            torch.cuda.device(self._device),
            # A recording that fails leaves its own stream as the current one.
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(graph, **how),
        ):
            made = work()
        return made, graph.replay


def recorder_of(device: torch.device) -> Recorder | None:
    """What records work of a device; None of one that has no graphs."""
    return CudaRecorder(device) if device.type == "cuda" else None


@dataclass(frozen=True)
class _Recording(Generic[T]):
    shapes: tuple[Any, ...]
    inputs: list[Tensor]
    given: T
    replay: Callable[[], object]


class Replayed(Generic[T]):
    """Work on tensors that is recorded when their shapes have come often enough.

    Tensors of other shapes than the recorded ones, a last batch, are worked on as ever.

    Args:
        work: told the tensors; it may not look at values of theirs, nor keep them, and where it
            raises it leaves nothing half done: it is done again.
        recorder: None does the work as it is.
        note: told, in one line, why it cannot be recorded; it is done as ever then.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Tensor]], T],
        recorder: Recorder | None,
        note: Callable[[str], None],
    ) -> None:
        self._work = work
        self._recorder = recorder
        self._note = note
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._recording: _Recording[T] | None = None

    def __call__(self, *inputs: Tensor) -> T:
        """What the work gives; where it was replayed, valid until the next call."""
        recorder = self._recorder
        if recorder is None:
            return self._work(inputs)
        shapes = tuple((one.shape, one.dtype) for one in inputs)
        if self._recording is None and self._seen[shapes] >= WARM:
            self._recording = self._recorded(recorder, shapes, inputs)
        self._seen[shapes] += 1
        recording = self._recording
        if recording is None or recording.shapes != shapes:
            return recorder.apart(partial(self._work, inputs))
        for held, one in zip(recording.inputs, inputs, strict=True):
            held.copy_(one)
        recording.replay()
        return recording.given

    def _recorded(
        self, recorder: Recorder, shapes: tuple[Any, ...], inputs: Sequence[Tensor]
    ) -> _Recording[T] | None:
        held = [one.clone() for one in inputs]
        try:
            given, replay = recorder.record(partial(self._work, held))
        except RuntimeError as error:
            first = (str(_cause_of(error)).splitlines() or ["no reason given"])[0]
            self._note(f"kernels are launched one by one, as a graph cannot be recorded: {first}")
            self._seen.clear()
            self._recorder = None
            return None
        return _Recording(shapes, held, given, replay)


def _cause_of(error: BaseException) -> BaseException:
    """What was raised first: the end of a recording that failed says only that it did."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return error
