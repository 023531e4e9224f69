"""How long a call takes, how much memory its process has needed, and on what machine."""

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

_LEAST_S = 0.5
"""Short calls are repeated until so many seconds are full: the clock's noise averages out."""


def median_seconds(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of a call, the device's queued work included; one unmeasured call first.

    Args:
        run: the call.
        device: where its work runs.
        repeats: measured calls at least; short ones are repeated until half a second is full,
            unless `repeats` is 1.
    """
    taken: list[float] = []
    _timed(run, device)
    while len(taken) < repeats or (repeats > 1 and sum(taken) < _LEAST_S):
        taken.append(_timed(run, device))
    return statistics.median(taken)


def _timed(run: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def host_peak_bytes() -> int:
    """Most resident memory that this process has had, libraries included."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage's peak would not do: Linux hands the parent's down to a fresh process.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # noqa: PLC0415  # not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_peak_bytes(device: torch.device) -> int | None:
    """Most memory that tensors of this process have taken on a GPU; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def machine(device: torch.device) -> str:
    """What a figure was measured on, in words."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    else:
        where = f"cpu ({platform.machine()}), {torch.get_num_threads()} threads"
    return f"{where}, torch {torch.__version__}"
