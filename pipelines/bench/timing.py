"""How long a call takes, how much memory its process has needed, and on what machine."""

import contextlib
import io
import logging
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def median_seconds(run: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, the device's queued work included; one unmeasured call first.

    Args:
        run: the call.
        seconds: that it is repeated at least, and once at least.
    """
    # Its import says on standard error where a CUDA toolkit is without a GPU: nobody asked.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()):  # torch before it used a logger
        from torch.utils.benchmark import Timer  # noqa: PLC0415
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=seconds).median


def host_peak_bytes() -> int:
    """Most resident memory that this process has had, libraries included."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage's peak would not do: Linux hands the parent's down to a fresh process.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # noqa: PLC0415  not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine(device: torch.device) -> str:
    """What a figure was measured on, in words."""
    where = f"cpu ({platform.machine()}), {torch.get_num_threads()} threads"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return f"{where}, torch {torch.__version__}"
