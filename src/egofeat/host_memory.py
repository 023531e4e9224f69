"""How a process keeps the memory of a network's layers on a processor."""

import ctypes
import functools
import os
import sys

_OPTIONS = {-3: 1 << 30, -1: (1 << 31) - 1, -8: 1}
"""Of `mallopt`: size from which a block is the kernel's own, `M_MMAP_THRESHOLD`; how much stays
when it is free, `M_TRIM_THRESHOLD`; heaps of all threads, `M_ARENA_MAX`, as those of threads have
64 MiB at most."""
_CHOSEN = ("MALLOC_", "GLIBC_TUNABLES")


@functools.cache
def keep_memory() -> None:
    """Have the C library reuse what a layer gave up, and not return it to the kernel.

    It returns blocks of more than 32 MiB as soon as they are free, and each page of the next layer
    is a fault then: a quarter of the time of S3D. Up to 2 GiB stay with the process. Where the
    environment chooses the library's options, they are left alone.

    A thread that was there before may have a heap of its own, which others are given too: so it is
    asked first of all where a process is egofeat's.
    """
    if sys.platform != "linux" or any(name.startswith(_CHOSEN) for name in os.environ):
        return
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is None:  # another library may have none
        return
    for option, value in _OPTIONS.items():
        if not choose(option, value):  # before 2.35 the first has 32 MiB at most: nothing is gained
            return
