"""The C library's calls, counted, killed or failed: shim.c built, preloaded and armed."""

import ctypes
import hashlib
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
MUTATING = ("write", "fsync", "truncate", "rename", "link", "unlink", "rmdir", "mkdir", "openw")
READING = ("read", "openr")

_MARK = "EGOFEAT_CAMPAIGN_SHIM"
_TOLD = 1024


def why_not() -> str | None:
    """Say why this machine cannot run the shim; None where it can."""
    if sys.platform != "linux":
        return "calls are intercepted by LD_PRELOAD and /proc, which only Linux has"
    return None if shutil.which("gcc") else "there is no gcc to build tests/campaigns/shim.c with"


def preload(folder: Path) -> None:
    """Begin this very command again with the shim preloaded, unless it is."""
    if os.environ.get(_MARK):
        return
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    library = folder / f"shim-{digest}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
    # Threads do not survive a fork: the parent must not have any.
    settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", _MARK), "1")
    environment = {**os.environ, **settings, "LD_PRELOAD": str(library.resolve())}
    os.execve(sys.executable, sys.orig_argv, environment)


@dataclass(frozen=True)
class Arm:
    """Which call is killed or fails."""

    calls: Sequence[str]
    below: Path
    """Only calls on paths that contain this one."""
    at: int = 0
    """Which of them, from 1; 0 only counts."""
    error: int = 0
    """The errno that it fails with; 0 kills the process before the call."""
    lasting: bool = False
    """Every call from that one on fails."""


class Told:
    """Memory in which an armed child tells how far it came, shared with its parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _TOLD)

    @property
    def count(self) -> int:
        """Chosen calls that were seen."""
        return int.from_bytes(self._memory[:8], sys.byteorder)

    @property
    def what(self) -> str:
        """Kind and path of the call that was hit; empty where none was."""
        return self._memory[8:].split(b"\0", 1)[0].decode(errors="replace")

    def arm(self, arm: Arm) -> None:
        """Arm this process; what was told before is forgotten."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        ctypes.CDLL(None).shim_arm(
            f",{','.join(arm.calls)},".encode(),
            os.fsencode(arm.below),
            ctypes.c_long(arm.at),
            arm.error,
            int(arm.lasting),
            ctypes.c_void_p(address),
        )
