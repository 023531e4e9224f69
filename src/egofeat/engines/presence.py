"""Which processes work in a folder that they share: each rewrites a file there as long as it lives.

Whether one has died is told without comparing clocks: by its process, where it is of this machine;
else by its file, if whoever looks sees it unchanged for as long as `LEASE_S`. Who was taken for
dead and is not, such as a machine that slept, must do no harm: what is shared allows for it.
"""

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from egofeat.store.files import is_running, this_machine

LEASE_S = 30.0
BEAT_S = 2.0


@dataclass(frozen=True)
class Said:
    """What a process says of itself."""

    name: str
    token: str
    """Of this process alone."""
    machine: str
    pid: int
    told: Mapping[str, Any]
    """What it adds: how far it is."""


class Presence:
    """One process, this one, among those that work in a folder.

    Args:
        folder: that they share.
        name: what it would be called; while a process that may live is called so, with a number
            added, from 2 on.
        told: asked at every beat for what is added.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        told: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.token = secrets.token_hex(6)
        self._folder = folder
        self._told = told
        self._beats = 0
        self._over = threading.Event()
        self.name = self._register(name)
        self._beat()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Work here no longer."""
        self._end()
        self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End before the work does: what was begun is for others, as if this process had died."""
        self._end()
        self._beat(ended=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.stop() if kind else self.leave()

    def _end(self) -> None:
        self._over.set()
        self._thread.join()

    def _register(self, name: str) -> str:
        number = 1
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            numbered = name if number == 1 else f"{name}.{number}"
            self._path = self._folder / f"{numbered}.json"
            try:
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                if not self._inherits(numbered):
                    number += 1
                    continue
            return numbered

    def _inherits(self, name: str) -> bool:
        """Whether the process of this name has ended, and no other takes its name."""
        said = read(self._path)
        if said is None or not is_over(said):
            return False
        try:
            (self._folder / f".{name}~{said.token}~heir").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _go_on(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError):  # a full disk: others may take it for dead
                self._beat()

    def _beat(self, *, ended: bool = False) -> None:
        self._beats += 1
        said = {
            "token": self.token,
            "machine": this_machine(),
            "pid": 0 if ended else os.getpid(),
            "beat": self._beats,
            "told": dict(self._told()),
        }
        beside = self._folder / f".{self.name}~{self.token}"
        self._folder.mkdir(parents=True, exist_ok=True)  # who left last may have taken it away
        beside.write_text(json.dumps(said))
        beside.replace(self._path)


def read(path: Path) -> Said | None:
    """What a process says of itself; None where it does not yet, or no more."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(path.read_bytes())
        return Said(path.stem, said["token"], said["machine"], int(said["pid"]), said["told"])
    return None


def is_over(said: Said) -> bool:
    """Whether it has certainly ended: what it says does not matter."""
    return said.pid == 0 or (said.machine == this_machine() and not is_running(said.pid))


class Watch:
    """Who works in a folder, as far as somebody who looks again and again can tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[bytes, float]] = {}
        """File to what stood in it, and since when, by this process's own clock."""

    def everyone(self) -> list[Said]:
        """All who say something, dead or alive, by name."""
        found = [read(path) for path in sorted(self._folder.glob("*.json"))]
        return [said for said in found if said]

    def path_of(self, name: str) -> Path:
        """The file of a process."""
        return self._folder / f"{name}.json"

    def is_dead(self, name: str, token: str) -> bool:
        """Whether the process of this token, which bore this name, works no longer."""
        path = self.path_of(name)
        said = read(path)
        if said is None:
            return self.is_silent(path)
        return said.token != token or is_over(said) or self.is_silent(path)

    def has_ended(self, name: str, token: str) -> bool:
        """Whether that is certain: silence may be that of a machine that was taken away."""
        said = read(self.path_of(name))
        return said is not None and (said.token != token or is_over(said))

    def is_silent(self, path: Path) -> bool:
        """Whether a file has been seen unchanged for the length of a lease."""
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        before, since = self._seen.get(path, (None, 0.0))
        if content != before:
            self._seen[path] = content, time.monotonic()
            return False
        return time.monotonic() - since >= LEASE_S
