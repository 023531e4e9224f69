"""Speed and peak memory of one backbone, measured in a process of its own.

Peaks are a process's, not a call's: what another network took before would count too.
`measure_apart` starts this module as a program, which prints a line of JSON for each batch
size; what was measured before the system killed it for its memory is kept.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

import torch

from egofeat.device import is_out_of_memory
from egofeat.errors import EgofeatError
from egofeat.extract.backbones import load
from egofeat.pipelines.bench.timing import device_peak_bytes, host_peak_bytes, median_seconds


@dataclass(frozen=True, kw_only=True)
class SpeedJob:
    """What is measured."""

    backbone: str
    weights: str
    device: str
    precision: str
    size: int
    """Pixels of a side of a view."""
    frames: int
    """Of a view; 1 for networks of images."""
    batch_size: int | None
    """None tries 1, 2, 4, … until more views at once are no faster."""
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured at one batch size; peaks since the process began."""

    batch: int
    seconds: float
    """Of one batch, the median of repeated runs."""
    host_peak_bytes: int
    device_peak_bytes: int | None

    @property
    def views_per_second(self) -> float:
        """Throughput."""
        return self.batch / self.seconds


def measure(job: SpeedJob) -> Iterator[Speed]:
    """Measure in this process, batch size by batch size.

    Raises:
        EgofeatError: the smallest batch does not fit, or the backbone cannot be loaded.
    """
    device = torch.device(job.device)
    backbone = load(job.backbone, job.weights, (), device, job.precision)
    spec = backbone.spec
    sides = (job.frames, job.size, job.size) if spec.clip else (job.size, job.size)
    batch, best = job.batch_size or 1, 0.0
    while True:
        try:
            views = torch.randn(batch, spec.channels, *sides, device=device)
            seconds = median_seconds(partial(backbone, views), device, job.repeats)
        except RuntimeError as error:
            if best:  # no room for so many, or too many for a kernel to count
                return
            if not is_out_of_memory(error):
                raise
            raise EgofeatError(
                f"{job.device} has no room for a batch of {batch}: "
                "give a smaller --batch-size, --size or --frames"
            ) from None
        speed = Speed(
            batch=batch,
            seconds=seconds,
            host_peak_bytes=host_peak_bytes(),
            device_peak_bytes=device_peak_bytes(device),
        )
        yield speed
        if job.batch_size or speed.views_per_second <= best:
            return
        batch, best = 2 * batch, speed.views_per_second


def measure_apart(job: SpeedJob) -> list[Speed]:
    """Measure in a fresh process, which is gone when this returns or raises.

    Raises:
        EgofeatError: nothing could be measured; says why.
    """
    command = [sys.executable, "-m", "egofeat.pipelines.bench.speed", json.dumps(asdict(job))]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=complaints, encoding="utf-8"
        ) as child,
    ):
        try:
            assert child.stdout is not None
            speeds = [Speed(**json.loads(line)) for line in child.stdout]
            child.wait()
        finally:
            child.kill()
        if child.returncode < 0 and speeds:
            return speeds
        if child.returncode < 0:
            raise EgofeatError(
                f"its process was killed (signal {-child.returncode}), as for want of memory: "
                "give a smaller --batch-size, --size or --frames"
            )
        if child.returncode > 0:
            complaints.seek(0)
            raise EgofeatError(complaints.read().strip().splitlines()[-1])
    return speeds


def _end_with_parent() -> None:
    """End when the starting process does, in whatever way: its end of our input closes then."""
    os.read(0, 1)  # past sys.stdin, whose lock would be held when the interpreter ends
    os._exit(1)


def main() -> None:
    """Measure the job that the command line holds, a line of JSON for each batch size."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for speed in measure(SpeedJob(**json.loads(sys.argv[1]))):
            print(json.dumps(asdict(speed)), flush=True)
    except EgofeatError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
