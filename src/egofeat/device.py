"""The device that a name stands for, its arithmetic, and what to do when its memory runs out."""

import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

from egofeat.errors import EgofeatError, RequestError

_NO_ROOM = (
    *("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED"),
    "could not create a primitive",
)
"""What PyTorch, its allocator for hosts, cuDNN and cuBLAS say, and oneDNN."""

T = TypeVar("T")


def choose_device(name: str) -> torch.device:
    """Return a device that is at hand, a GPU with its number; `auto` is one where there is one.

    Raises:
        RequestError: no such device, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name if name.startswith(("cpu", "cuda")) else "none")
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ", ".join(["auto", "cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))])
        raise RequestError(
            f"the device '{name}' is not available: this machine has {there}"
        ) from None


def numbered(device: torch.device) -> torch.device:
    """The device with its number: of a GPU without one, that of the one in use."""
    if str(device) == "cuda" and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return device


def device_name(device: torch.device) -> str:
    """What a device is, for the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make it the device of this thread's events and streams, as long as one is inside."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def wait_for(device: torch.device) -> None:
    """Until it has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def exact(*, tf32: bool = False) -> Iterator[None]:
    """Float32 to its full precision, by algorithms that do not depend on the clock.

    PyTorch rounds convolutions on a GPU to TF32, 10 bits of mantissa, and products of matrices
    too where a program or a container asks for it.

    Args:
        tf32: round both so; what a CPU does stays exact.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    held: list[tuple[Any, str, object]] = [
        (cudnn, "enabled", True),
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    if hasattr(cudnn, "conv"):  # where precisions have names; both ways at once are refused
        mkldnn: Any = torch.backends.mkldnn
        of_gpus, of_cpus = (cudnn.conv, cudnn.rnn, matmul), (mkldnn.conv, mkldnn.matmul)
        rounding = "tf32" if tf32 else "ieee"
        held += [(operation, "fp32_precision", rounding) for operation in of_gpus]
        held += [(operation, "fp32_precision", "ieee") for operation in of_cpus]
    else:
        held += [(owner, "allow_tf32", tf32) for owner in (cudnn, matmul)]
    before = [getattr(owner, name) for owner, name, _ in held]
    try:
        for owner, name, value in held:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(held, before, strict=True):
            setattr(owner, name, value)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or NumPy says that a device, or the host, has no room left."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_ROOM)
    )


class Room:
    """How much a network runs at once on a device: halved when its memory runs out, and kept so.

    Args:
        device: where the network runs.
        size: of a batch, to begin with.
        note: told, in one line, when a batch is halved for the first time.
    """

    def __init__(
        self, device: torch.device, size: int, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.device = device
        self.size = size
        self._note: Callable[[str], None] | None = note

    def run(self, number: int, batch: Callable[[], T]) -> T | None:
        """What a batch of that number gives; None where `size`, now smaller, is to be tried.

        Raises:
            EgofeatError: there is no room for one.
        """
        try:
            with current(self.device):
                return batch()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if number == 1:
                raise EgofeatError(
                    f"{self.device} has no room for a batch of one: choose another `device`, or "
                    "extract at a smaller `size`"
                ) from None
        # Out here nothing holds any more what the batch had taken.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.size = min(self.size, number // 2)
        note, self._note = self._note, None  # several threads may come here
        if note:
            note(
                f"{self.device} has no room for a batch of {number}: batches are smaller from "
                "now on"
            )
        return None
