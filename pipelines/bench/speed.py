"""How long a call takes; speed and peak memory of one backbone, in a process of its own.

Peaks are a process's, not a call's: what another network took before would count too. What was
measured before the system killed the process for its memory is kept.
"""

import contextlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from egofeat.device import is_out_of_memory
from egofeat.errors import EgofeatError
from egofeat.pipelines.bench.networks import network_of
from egofeat.pipelines.bench.options import BackboneBench


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured at one batch size; peaks since the process began."""

    batch: int
    seconds: float
    """Of one batch, the median of repeated runs."""
    host_peak_bytes: int
    device_peak_bytes: int | None
    """That tensors have taken on a GPU; None on a CPU."""

    @property
    def views_per_second(self) -> float:
        """Throughput."""
        return self.batch / self.seconds


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


def measure(config: BackboneBench) -> Iterator[Speed]:
    """Measure the first backbone in this process, batch size by batch size.

    Raises:
        EgofeatError: the smallest batch does not fit, or the backbone cannot be loaded.
    """
    device = torch.device(config.device)
    of_batch = network_of(config).prepare(device)
    batch, best = config.batch_size or 1, 0.0
    while True:
        try:
            seconds = median_seconds(of_batch(batch), config.seconds)
        except RuntimeError as error:
            if best:  # no room for so many, or too many for a kernel to count
                return
            if not is_out_of_memory(error):
                raise
            raise EgofeatError(
                f"{config.device} has no room for a batch of {batch}: "
                "give a smaller `batch_size`, `size` or `clip_frames`"
            ) from None
        on_gpu = device.type == "cuda"
        speed = Speed(
            batch=batch,
            seconds=seconds,
            host_peak_bytes=host_peak_bytes(),
            device_peak_bytes=torch.cuda.max_memory_allocated(device) if on_gpu else None,
        )
        yield speed
        if config.batch_size or speed.views_per_second <= best:
            return
        batch, best = 2 * batch, speed.views_per_second


def measure_apart(config: BackboneBench) -> list[Speed]:
    """Measure in a fresh process, which is gone when this returns or raises.

    Raises:
        EgofeatError: nothing could be measured; says why.
        RuntimeError: the network cannot be run.
    """
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(measure, config, tell), daemon=True)
    child.start()
    tell.close()  # so that the pipe ends with the child
    speeds: list[Speed] = []
    try:
        while True:
            said = told.recv()
            if isinstance(said, Exception):
                raise said
            speeds.append(said)
    except EOFError:
        child.join()
    finally:
        child.kill()
        child.join()
    if speeds:
        return speeds
    if (code := child.exitcode or 0) < 0:
        raise EgofeatError(
            f"its process was killed (signal {-code}), probably because memory was exhausted: "
            "give a smaller `batch_size`, `size` or `clip_frames`"
        )
    raise EgofeatError(f"its process ended by itself (exit code {code}): see its output above")


def _tell(
    measure: Callable[[BackboneBench], Iterator[Speed]], config: BackboneBench, tell: Connection
) -> None:
    """Say each speed, or why there is none; ends where nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for speed in measure(config):
            tell.send(speed)
    except BrokenPipeError:
        pass
    except Exception as error:  # raised again where it is caught
        tell.send(error)


def _end_with_parent() -> None:
    """End at once where the parent was killed: nobody waits for what would be measured."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
