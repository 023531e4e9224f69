"""Which units of a piece of work are taken, by whom, and which are done: files in a shared folder.

    workers/<worker>.json       who works, as `presence` has it
    units/<unit>                who has taken it, or that it is done
    deaths/<unit>~<token>       a worker that died while it had the unit

A unit is taken by making its file, which one process alone can. What two do all the same, since one
took the other for dead, does no harm: they make the same. Nothing here is ever needed again: a
folder that is lost costs what was under way.
"""

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Self

from egofeat.engines.presence import Presence, Said, Watch
from egofeat.store.damage import writing

_DONE = "done"
_LOOK_EVERY_S = 0.5


class Board:
    """One worker's hand on the units that it shares with others.

    Args:
        folder: that all share.
        worker: what this one would be called; see `Presence`.
        told: asked now and then for how far it is.
        supervised: whether it is a worker that is started again when it dies: then a unit is noted
            to have been with a worker that died, for it may be why; and what it told stays when it
            leaves, until its supervisor does.

    Raises:
        StoreError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        told: Callable[[], Mapping[str, Any]] = dict,
        *,
        supervised: bool = False,
    ) -> None:
        self.folder = folder
        self._units, self._deaths = folder / "units", folder / "deaths"
        self._supervised = supervised
        self._own: set[str] = set()
        """Units that it has taken, and that are not done."""
        self._finished: set[str] = set()
        """Units that are done: its own, whether that could be written down or not, and others'."""
        with writing(folder):
            self._make_folders()
            self._presence = Presence(folder / "workers", worker, told)
        self._watch = Watch(folder / "workers")
        self._sign = f"{self._presence.name} {self._presence.token}"

    @property
    def worker(self) -> str:
        """What this worker is called, unlike all others."""
        return self._presence.name

    def take(self, unit: str) -> bool:
        """Take a unit; False where another has it, or it is done."""
        path = self._units / unit
        with writing(path):
            try:
                descriptor = self._create(path)
            except FileExistsError:
                return False
            self._own.add(unit)
            with os.fdopen(descriptor, "w") as file:
                file.write(self._sign)
        return True

    def done(self, unit: str) -> None:
        """Say that a unit is done: what is made of it is on the disk, or it is given up."""
        self._own.discard(unit)
        self._finished.add(unit)
        beside = self._units / f".{unit}~{self._presence.token}"
        with contextlib.suppress(OSError):  # on a full disk: another finds out that all is there
            beside.write_text(_DONE)
            beside.replace(self._units / unit)
            for death in self._deaths.glob(f"{unit}~*"):
                death.unlink(missing_ok=True)

    def reopen(self, units: Iterable[str]) -> None:
        """Let units be done again that are said to be done, and of which something is left."""
        for unit in self._taken().intersection(units):
            if self._holder(unit) == _DONE:
                (self._units / unit).unlink(missing_ok=True)
                self._finished.discard(unit)

    @property
    def deaths(self) -> Counter[str]:
        """Unit to how many workers have died while they had it."""
        return Counter(path.name.partition("~")[0] for path in self._deaths.glob("*~*"))

    def free(self, units: Iterable[str]) -> list[str]:
        """Those that nobody has; what workers had that died is free from now on."""
        taken = self._taken()
        return [unit for unit in units if unit not in taken or self._is_free(unit)]

    def undone(self, units: Iterable[str]) -> list[str]:
        """Those that are not done."""
        left = list(units)
        self._see_done(left)
        return [unit for unit in left if unit not in self._finished]

    def count_undone(self, units: Set[str]) -> int:
        """How many are not done."""
        self._see_done(units)
        return len(units - self._finished)

    def finished(self, units: Iterable[str]) -> list[str]:
        """Those that are done, as far as this was seen when they were counted last."""
        return [unit for unit in units if unit in self._finished]

    def take_back(self) -> None:
        """Let others have what workers of this process had that it has ended: none died of it."""
        for unit in self._taken() - self._finished:
            if (self._holder(unit) or "").startswith(f"{self.worker}."):
                (self._units / unit).unlink(missing_ok=True)

    def died(self, workers: Collection[str]) -> list[str]:
        """Those of these workers that have died, or were ended, and are not buried.

        Of another machine's that is told by its silence: this takes until each has been heard of
        once more, or has been silent for a lease.
        """
        first = self._said_by(workers)
        while True:
            now = self._said_by(workers)
            dead = [one.name for one in self.others()[1] if one.name in now]
            if not any(now[name] == first.get(name) for name in now.keys() - dead):
                return dead
            time.sleep(_LOOK_EVERY_S)

    def bury(self, worker: str) -> None:
        """Forget a worker that has died or was ended: what it left is done."""
        for one in self.others()[1]:
            if one.name == worker:
                self._watch.path_of(worker).unlink(missing_ok=True)

    def others(self) -> tuple[list[Said], list[Said]]:
        """Who else works here, and who has died or was ended before the work was over."""
        everyone = [one for one in self._watch.everyone() if one.token != self._presence.token]
        dead = [one for one in everyone if self._watch.is_dead(one.name, one.token)]
        return [one for one in everyone if one not in dead], dead

    def close(self, *, early: bool) -> None:
        """Leave; the last to leave takes the folder away.

        Args:
            early: whether something was begun and is not done.
        """
        for unit in self._own:
            (self._units / unit).unlink(missing_ok=True)
        if early or self._supervised:
            self._presence.stop()
            return
        self._presence.leave()
        tidy(self.folder, self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close(early=kind is not None)

    def _said_by(self, workers: Collection[str]) -> dict[str, bytes]:
        """What stands in the files of those that say something."""
        said = {}
        for one in self._watch.everyone():
            if one.name in workers:
                with contextlib.suppress(OSError):  # it has just left
                    said[one.name] = self._watch.path_of(one.name).read_bytes()
        return said

    def _create(self, path: Path) -> int:
        """Make a file that must not be there, and open it."""
        how = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            return os.open(path, how)
        except FileNotFoundError:  # who was the last to leave has just taken the folders away
            self._make_folders()
            return os.open(path, how)

    def _taken(self) -> set[str]:
        """Units that somebody has, or that are done."""
        try:
            return {path.name for path in self._units.iterdir()}
        except FileNotFoundError:
            return set()

    def _see_done(self, units: Iterable[str]) -> None:
        """Note which of them are done: of very many, the folder is asked for its names at once."""
        for unit in self._taken().intersection(units) - self._finished:
            if self._holder(unit) == _DONE:
                self._finished.add(unit)

    def _holder(self, unit: str) -> str | None:
        """Who has it, or `done`; None where nobody has, empty where that cannot be read."""
        try:
            return (self._units / unit).read_text()
        except FileNotFoundError:
            return None
        except OSError:  # NFS: it was replaced while it was read
            return ""

    def _is_free(self, unit: str) -> bool:
        """Whether nobody has it, any more."""
        holder = self._holder(unit)
        if holder is None or holder == _DONE:
            return holder is None
        name, _, token = holder.partition(" ")
        path = self._units / unit
        if not (self._watch.is_dead(name, token) if token else self._watch.is_silent(path)):
            return False
        if token and self._supervised and self._watch.has_ended(name, token):
            (self._deaths / f"{unit}~{token}").touch()
        with contextlib.suppress(FileNotFoundError):  # another was quicker
            path.unlink()
        return True

    def _make_folders(self) -> None:
        for one in (self._units, self._deaths):
            one.mkdir(parents=True, exist_ok=True)


def tidy(folder: Path, watch: Watch | None = None) -> None:
    """Take away the folder of a board at which nobody works any more.

    Args:
        folder: of the board; nothing need be there.
        watch: of who has looked at it for longer.
    """
    watch = watch or Watch(folder / "workers")
    if all(watch.is_dead(one.name, one.token) for one in watch.everyone()):
        shutil.rmtree(folder, ignore_errors=True)
