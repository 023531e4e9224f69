"""How much of the machine's memory is free."""

import os
import re
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")
_OF_SYSTEM = Path("/proc/meminfo")


def free_memory() -> int:
    """Bytes that can be had without swapping: what the system says, and the group of processes.

    Where the system says nothing, as macOS, half of what there is.
    """
    try:
        (said,) = re.findall(r"^MemAvailable:\s*(\d+) kB$", _OF_SYSTEM.read_text(), re.MULTILINE)
        free = int(said) << 10
    except (OSError, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        most, used = (int((_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        cached = re.findall(r"^inactive_file (\d+)$", (_GROUP / "memory.stat").read_text(), re.M)
        return max(0, min(free, most - used + sum(map(int, cached))))
    except (OSError, ValueError):  # no group, or none with a limit
        return free
