"""What this machine lets this process have: cores and memory."""

import os
from contextlib import suppress
from math import ceil, inf
from pathlib import Path

_THREADS = "OMP_NUM_THREADS"
_told: set[str] = set()
"""Names in the environment that are not the user's."""
_sharing = 1
"""Processes of egofeat that the memory is for."""
_GROUPS = Path("/sys/fs/cgroup")
_GROUPS_OF_THIS = Path("/proc/self/cgroup")


def cores() -> int:
    """How many this process may use, also by what holds it; macOS does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return int(min([len(os.sched_getaffinity(0)), *map(_time_of, _groups("cpu"))]))


def limit_threads() -> None:
    """Have libraries that are not imported yet start no more threads than a container lets run.

    They count the machine's cores: 64 threads in the time of four wait for each other. Where the
    environment has `OMP_NUM_THREADS`, it stays.
    """
    allowed = cores()
    limited = hasattr(os, "sched_getaffinity") and allowed < len(os.sched_getaffinity(0))
    if limited and _THREADS not in os.environ:
        os.environ[_THREADS] = str(allowed)
        _told.add(_THREADS)


def lift_limit() -> None:
    """Take back what `limit_threads` told, before processes of other machines are told the same."""
    while _told:
        os.environ.pop(_told.pop(), None)


def share_memory(processes: int) -> None:
    """From now on count this process's part of the memory, where others take theirs."""
    global _sharing  # noqa: PLW0603 - of the process, as the memory is
    _sharing = processes


def free_memory() -> int:
    """Bytes that this process can still take of the host's memory, beside those that share it.

    Also by what holds it: a container, or a job of a cluster.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 * _sharing)
    return int(min([1024 * free, *map(_left_of, _groups("memory"))])) // _sharing


def _groups(kind: str) -> list[Path]:
    """Folders of the control groups that limit this process, by either version of them."""
    found = []
    with suppress(OSError):
        # Folders of several kinds name them in an order of their own.
        of_kind = [one for one in _GROUPS.iterdir() if kind in one.name.split(",")]
        for line in _GROUPS_OF_THIS.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            roots = of_kind[:1] if kind in kinds.split(",") else [_GROUPS] * (not kinds)
            for root in roots:
                group = root / path.strip("/")
                found += [group, *(one for one in group.parents if one.is_relative_to(root))]
    return found


def _time_of(group: Path) -> float:
    """Cores whose time a group may take, a begun one too; no limit where none can be read."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # `max` is no number
            quota, period = map(int, " ".join((group / n).read_text() for n in names).split())
            return ceil(quota / period) if quota > 0 else inf
    return inf


def _left_of(group: Path) -> float:
    """Bytes, without limit where there is none that can be read."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # `max` is no number
            left = int((group / limit).read_text()) - int((group / used).read_text())
            return left + _of_files(group)
    return inf


def _of_files(group: Path) -> int:
    """Bytes of files that were read: given up for what needs them."""
    with suppress(OSError, ValueError):
        lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        found = {name: int(value) for name, value in lines}
        # By the first version, what the groups within have is in the total alone.
        of_all = "total_" if "total_inactive_file" in found else ""
        return sum(found.get(f"{of_all}{kind}_file", 0) for kind in ("inactive", "active"))
    return 0
