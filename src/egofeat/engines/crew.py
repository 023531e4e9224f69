"""Workers, kept at work: started, started again when they die, and ended with whoever wants them.

What they work on they find on a `Board`; here it is only known how many units are left.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from egofeat import console
from egofeat.engines.presence import LEASE_S
from egofeat.errors import EgofeatError
from egofeat.host import cores, share_memory

MOST_DEATHS = 3
"""Of one seat's workers in a row, while nothing is done: then it stays empty until something is."""
_LONG_S = 600.0
"""Of a worker: its death says nothing of its place."""
_REST_S = 30.0
"""Of a place where so many died one after the other, at first."""
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Seat:
    """Where one worker works."""

    number: int
    """From 1."""
    device: str = "auto"
    sharing: int = 1
    """Workers that share the cores which this one sees."""
    cores: int = 0
    """Those that it was given; 0: as many as it sees."""

    def share_memory(self) -> None:
        """In the worker: leave others their part of the machine's memory, as of its cores."""
        share_memory(max(1, cores() // self.cores) if self.cores else self.sharing)


Work = Callable[[Seat], None]
"""What a worker does; it can be sent to other machines."""


LastWord = tuple[str, int]
"""Sentence and exit code of what ended a worker, and ends all others; none: its work is over."""


def carry_out(work: Work, seat: Seat) -> LastWord:
    """Work, and say how it went in a way that can be sent anywhere."""
    seat.share_memory()
    try:
        work(seat)
    except EgofeatError as error:
        return str(error), error.exit_code
    return "", 0


def heed(said: LastWord) -> str:
    """Raise what a worker said last, where it ends all of them."""
    sentence, exit_code = said
    if sentence:
        error = EgofeatError(sentence)
        error.exit_code = exit_code
        raise error
    return ""


class Worker(ABC):
    """A worker that was started, as its engine knows it."""

    def waits(self) -> bool:
        """Whether there was no room for it yet, so that it has not begun."""
        return False

    @abstractmethod
    def ended(self) -> bool:
        """Whether it is not at work any more."""

    @abstractmethod
    def failure(self) -> str:
        """Of one that has ended: how it died; empty where its work was over.

        Raises:
            EgofeatError: what ended it ends every other worker too: a full disk, wrong weights.
        """

    @abstractmethod
    def end(self, *, now: bool) -> None:
        """Ask it to end, with what it has whole kept; or end it now."""


class Engine(ABC):
    """A kind of machines that workers can be started on."""

    @abstractmethod
    def seats(self) -> list[Seat]:
        """Where there is room for workers, at this moment."""

    @abstractmethod
    def start(self, work: Work, seat: Seat) -> Worker:
        """Start a worker."""

    @abstractmethod
    def close(self) -> None:
        """Give back what was taken for workers."""


def keep_working(engine: Engine, work: Work, left: Callable[[], int]) -> None:
    """Have workers work until nothing is left, or none of them finds anything to do.

    Where workers die again and again, as on a device that is broken, no more are started for a
    while, twice as long each time, nor before another has done something. Machines that are taken
    away may take many workers at once. Where nothing is left, a worker that does not end, as a
    process that was stopped, is not waited for.

    Args:
        engine: that starts them.
        work: what they do; each ends when nothing is left for it.
        left: asked again and again for how much is not done, in whatever measure.

    Raises:
        EgofeatError: there is room for no worker, workers die again and again wherever there is,
            or one met what ends them all.
    """
    crew, least, over_at = _Crew(engine, work), left(), 0.0
    try:
        while True:
            if least:
                crew.fill()
            if not (crew.workers or (least and crew.rests)):
                if least and left():
                    raise EgofeatError(crew.why_none)
                return
            time.sleep(_LOOK_EVERY_S)
            if (now := left()) < least:
                least, over_at = now, time.monotonic()
                crew.deaths.clear()
            if not least:
                crew.dismiss(everyone=time.monotonic() - over_at > LEASE_S)
            crew.see_ended()
    except BaseException:
        _end(list(crew.workers.values()))
        raise
    finally:
        engine.close()


class _Crew:
    """Workers of an engine, and how those that were before them ended."""

    def __init__(self, engine: Engine, work: Work) -> None:
        self._engine, self._work = engine, work
        self.workers: dict[Seat, Worker] = {}
        self.deaths: Counter[Seat] = Counter()
        """In a row, while nothing was done."""
        self._short: Counter[Seat] = Counter()
        """Workers in a row that did not live long."""
        self._since: dict[Seat, float] = {}
        """When its worker was started, or when its rest is over."""
        self._over: set[Seat] = set()
        self._died = ""

    def fill(self) -> None:
        """Start workers where there is room, and where they do not die again and again."""
        seats = self._engine.seats()
        for seat in seats:
            room = len(self.workers) < len(seats) and seat not in {*self.workers, *self._over}
            tired = self.deaths[seat] >= MOST_DEATHS or time.monotonic() < self._since.get(seat, 0)
            if room and not tired:
                self.workers[seat] = self._engine.start(self._work, seat)
                self._since[seat] = time.monotonic()

    @property
    def rests(self) -> bool:
        """Whether a worker will be started, only not yet."""
        now = time.monotonic()
        return any(
            now < self._since.get(seat, 0) and self.deaths[seat] < MOST_DEATHS
            for seat in self._engine.seats()
        )

    def dismiss(self, *, everyone: bool) -> None:
        """End workers for whom nothing is left: that have not begun, or that do not end."""
        for seat in [s for s, worker in self.workers.items() if everyone or worker.waits()]:
            self.workers.pop(seat).end(now=True)

    def see_ended(self) -> None:
        """See which have ended, and how.

        Raises:
            EgofeatError: one met what ends them all.
        """
        for seat in [seat for seat, worker in self.workers.items() if worker.ended()]:
            if reason := self.workers.pop(seat).failure():
                self._died = reason
                self.deaths[seat] += 1
                rest = self._rest_of(seat)
                self._since[seat] = time.monotonic() + rest
                later = f" in {rest:.0f} s" if rest else ""
                console.note(f"worker {seat.number} died ({reason}) and is started again{later}")
            else:
                self._over.add(seat)

    def _rest_of(self, seat: Seat) -> float:
        """Seconds before the next worker is started where one has died."""
        lived = time.monotonic() - self._since[seat]
        self._short[seat] = 0 if lived > _LONG_S else self._short[seat] + 1
        more = self._short[seat] - MOST_DEATHS
        return _REST_S * 2.0**more if more >= 0 else 0.0

    @property
    def why_none(self) -> str:
        """Why there is no worker, though work is left."""
        if max(self.deaths.values(), default=0) >= MOST_DEATHS:
            return (
                f"workers die one after the other, the last with {self._died}: see what they "
                "printed above, and try fewer, or a smaller `batch_size`"
            )
        why = "workers have ended" if self._over else "there is no room for a worker"
        return (
            f"{why}, and work is left: ask for less of what each needs, or give the same command "
            "again"
        )


def _end(workers: list[Worker]) -> None:
    """End workers in order; at once, when who asked for it asks again."""
    now = False
    for worker in workers:
        worker.end(now=False)
    while any(not worker.ended() for worker in workers):
        try:
            time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt:
            now = True
        if now:
            for worker in workers:
                with contextlib.suppress(Exception):
                    worker.end(now=True)
            return
