"""Trainings of other processes, as they are seen from here: by what they add to their histories."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from egofeat.errors import EgofeatError
from egofeat.heads.checkpoint import read_extent
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.history import records
from egofeat.heads.training.sampling import cuts
from egofeat.pipelines.training.members import Begun, Tell, watched


class _Member:
    """The history of one head."""

    def __init__(self, run: Begun, member: str, per_epoch: int, tell: Tell) -> None:
        self._path = run.folder.history(member)
        self._per_epoch, self._tell = per_epoch, tell
        self._seen = 0
        checkpoint = run.folder.checkpoint(member)
        if checkpoint.exists():
            try:
                size = read_extent(checkpoint).size
            except EgofeatError:  # who goes on from it says so
                size = 0
            self._seen = len(self._records(size))

    def look(self) -> None:
        """Tell of what was added."""
        for record in self._records()[self._seen :]:
            self._seen += 1
            self._tell(record)

    def _records(self, size: int | None = None) -> list[dict[str, float]]:
        """All so far; none where it has not begun, was withdrawn or is damaged."""
        try:
            return records(self._path.read_bytes()[:size], self._per_epoch)
        except (FileNotFoundError, LookupError, TypeError, ValueError, csv.Error):
            return []


@dataclass(frozen=True)
class Followed:
    """A training of another process."""

    run: Begun
    examples: Sequence[Examples] = field(repr=False)
    """Of each of its heads."""

    def members(self, tells: Sequence[Tell]) -> Iterator[_Member]:
        """Its heads, and who is told of each."""
        for number, (of, tell) in enumerate(zip(self.examples, tells, strict=True), start=1):
            member = f"-{number}" if len(self.examples) > 1 else ""
            per_epoch = len(cuts(len(of.train), self.run.config.batch_size)) + 1
            yield _Member(self.run, member, per_epoch, tell)


@contextmanager
def follow(
    trainings: Sequence[Followed], on_epoch: Tell, shown_as: str | None, abreast: int
) -> Iterator[Callable[[], None]]:
    """Show how far trainings are; yields what looks, and tells of the records that are new.

    Args:
        trainings: of one config but for the seed.
        on_epoch: told each record.
        shown_as: what a bar and lines of figures call the head; None shows nothing.
        abreast: how many of them go on at once.
    """
    config, heads = trainings[0].run.config, len(trainings[0].examples)
    with ExitStack() as stack:
        tells = [[on_epoch] * heads for _ in trainings]
        if shown_as:
            names = [
                f"seed {one.run.config.seed}, " + (f"head {number + 1}, " if heads > 1 else "")
                for one in trainings
                for number in range(heads)
            ]
            shown = watched(f"training {shown_as}", on_epoch, config, names, abreast)
            seen = stack.enter_context(shown)
            tells = [seen[at : at + heads] for at in range(0, len(seen), heads)]
        pairs = zip(trainings, tells, strict=True)
        members = [member for one, tell in pairs for member in one.members(tell)]

        def look() -> None:
            for member in members:
                member.look()

        yield look
