"""Workers, kept at work: started, started again when they die, and ended with whoever wants them.

What they work on they find on a `Board`; here it is only known how many units are left.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from egofeat import console
from egofeat.errors import EgofeatError

MOST_DEATHS = 3
"""Of one seat's workers in a row, while nothing is done: then it stays empty until something is."""
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


Work = Callable[[Seat], None]
"""What a worker does; it can be sent to other machines."""


LastWord = tuple[str, int]
"""Sentence and exit code of what ended a worker, and ends all others; none: its work is over."""


def carry_out(work: Work, seat: Seat) -> LastWord:
    """Work, and say how it went in a way that can be sent anywhere."""
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

    Where workers die again and again, as on a device that is broken, no more are started until
    another has done something. Machines that are taken away may take many workers at once.

    Args:
        engine: that starts them.
        work: what they do; each ends when nothing is left for it.
        left: asked again and again for how much is not done, in whatever measure.

    Raises:
        EgofeatError: there is room for no worker, workers die again and again wherever there is,
            or one met what ends them all.
    """
    workers: dict[Seat, Worker] = {}
    over: set[Seat] = set()
    deaths: Counter[Seat] = Counter()
    least, died = left(), ""
    try:
        while True:
            seats = engine.seats()
            for seat in seats:
                room = len(workers) < len(seats) and seat not in {*workers, *over}
                if least and room and deaths[seat] < MOST_DEATHS:
                    workers[seat] = engine.start(work, seat)
            if not workers:
                if least and left():
                    _refuse_more(deaths, died)
                    why = "workers have ended" if over else "there is no room for a worker"
                    raise EgofeatError(
                        f"{why}, and work is left: ask for less of what each needs, or give the "
                        "same command again"
                    )
                return
            time.sleep(_LOOK_EVERY_S)
            if (now := left()) < least:
                least = now
                deaths.clear()
            for seat in [seat for seat, worker in workers.items() if not least and worker.waits()]:
                workers.pop(seat).end(now=True)
            for seat in [seat for seat, worker in workers.items() if worker.ended()]:
                if not (reason := workers.pop(seat).failure()):
                    over.add(seat)
                    continue
                died = reason
                deaths[seat] += 1
                rests = " when another has done something" * (deaths[seat] == MOST_DEATHS)
                console.note(f"worker {seat.number} died ({died}) and is started again{rests}")
    except BaseException:
        _end(list(workers.values()))
        raise
    finally:
        engine.close()


def _refuse_more(deaths: Mapping[Seat, int], reason: str) -> None:
    if max(deaths.values(), default=0) >= MOST_DEATHS:
        raise EgofeatError(
            f"workers die one after the other, the last with {reason}: see what they printed "
            "above, and try fewer, or a smaller `batch_size`"
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
