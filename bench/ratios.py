"""Ratios measured in one run: variants take turns (A B A B …), and medians are compared."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date

import torch


def machine() -> str:
    """One line that says where and when."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, {device}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def seconds(variants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each variant over interleaved repeats, one unmeasured round first."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats + 1):
        for name, run in variants.items():
            began = time.perf_counter()
            run()
            if number:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}
