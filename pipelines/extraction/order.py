"""An extraction as workers of other processes are given it: planned once, and small to send.

Its units, which are many, lie in a file that all share; each worker reads those that it takes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.device import choose_device
from egofeat.engines.board import Board
from egofeat.engines.crew import Seat
from egofeat.engines.far import Far
from egofeat.errors import StoreError, WeightsError
from egofeat.extract.backbones import Backbone, load
from egofeat.extract.pieces.cut import Piece
from egofeat.extract.pieces.sink import StoreSink
from egofeat.extract.roi import Persons
from egofeat.extract.shards import Shard
from egofeat.extract.task import Task
from egofeat.extract.units import Unit
from egofeat.pipelines.crew import threads_of
from egofeat.pipelines.extraction.job import Job
from egofeat.pipelines.extraction.made_with import made_with
from egofeat.pipelines.extraction.session import Session
from egofeat.pipelines.options import Compute
from egofeat.recipe import Recipe
from egofeat.segments import Media, Segment
from egofeat.store import StoreWriter
from egofeat.store.damage import writing


@dataclass(frozen=True)
class StoreOrder:
    """What a worker needs to know of a job to do its part of it."""

    path: Path
    recipe: Recipe
    weights: str
    made_with: Mapping[str, str]
    persons: Persons | None
    stage: Path | None

    @classmethod
    def of(cls, job: Job) -> "StoreOrder":
        """A job as it can be sent to other machines."""
        weights = job.made_with["weights"]
        if Path(weights).is_file():
            weights = str(Path(weights).absolute())
        stage = job.storage.stage
        return cls(
            job.store.absolute(),
            job.recipe,
            weights,
            job.made_with,
            job.persons,
            stage and stage.absolute(),
        )

    def load(self, device: str) -> Backbone:
        """The network, on a device.

        Raises:
            WeightsError: the weights here are not those that the extraction was planned with.
        """
        recipe = self.recipe
        backbone = load(
            str(recipe.backbone),
            weights=self.weights,
            taps=recipe.roi.maps if recipe.roi else tuple(recipe.taps),
            device=choose_device(device),
            precision=recipe.precision,
            engine=recipe.engine,
            note=console.note,
        )
        if backbone.weights != recipe.weights:
            raise WeightsError(
                f"{recipe.network} has other weights on this machine than where the extraction "
                f"was planned: give `weights` as a file that all machines read"
            )
        return backbone


@dataclass(frozen=True)
class UnitFile:
    """Units, one a line, each read when it is asked for."""

    path: Path
    begins: Mapping[str, int]
    """Name of a unit to the byte at which its line begins."""

    @classmethod
    def write(cls, path: Path, units: Iterable[Unit]) -> "UnitFile":
        """Write units in their order.

        Raises:
            StoreError: the disk refuses.
        """
        lines = {unit.name: f"{json.dumps(_plain(unit))}\n".encode() for unit in units}
        begins = [0]
        with writing(path), path.open("wb") as file:
            for line in lines.values():
                begins.append(begins[-1] + file.write(line))
        return cls(path.absolute(), dict(zip(lines, begins, strict=False)))

    def read(self, name: str) -> Unit:
        """One unit."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.begins[name])
                return _unit(json.loads(file.readline()))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.path} cannot be read ({getattr(error, 'strerror', None) or error}): give "
                "the command again"
            ) from None


@dataclass(frozen=True)
class Order:
    """An extraction for workers, which call it."""

    stores: tuple[StoreOrder, ...]
    units: UnitFile
    board: Path
    worker: str
    """What workers are called, with a number of their own."""
    decoder: str
    batch_size: int | None
    workers: int | None
    """Decoding threads of each; None: their share of the cores."""

    @classmethod
    def of(
        cls, jobs: Sequence[Job], units: Iterable[Unit], board: Board, compute: Compute
    ) -> "Order":
        """What is left of jobs that share a decode."""
        file = UnitFile.write(board.folder / f"units-{board.worker}.jsonl", units)
        return cls(
            stores=tuple(map(StoreOrder.of, jobs)),
            units=file,
            board=board.folder.absolute(),
            worker=board.worker,
            decoder=jobs[0].recipe.decoder,
            batch_size=compute.batch_size,
            workers=compute.workers,
        )

    def __call__(self, seat: Seat) -> None:
        """Work until no unit is left."""
        threads = threads_of(self.workers, seat)
        far = Far(tasks=[[0, 0, 0] for _ in self.stores])
        with ExitStack() as stack:
            board = Board(self.board, self.worker, partial(vars, far), supervised=True)
            stack.enter_context(board)
            sinks, tasks = [], []
            for one in self.stores:
                backbone = one.load(seat.device)
                made = made_with(one.recipe, backbone.device, one.made_with)
                writer = StoreWriter.join(one.path, made, board.worker, stage=one.stage)
                writer = stack.enter_context(closing(writer))
                sinks.append(StoreSink(writer, board.folder, far.fail))
                tasks.append(
                    Task(
                        backbone=backbone,
                        recipe=one.recipe,
                        sink=sinks[-1],
                        batch_size=self.batch_size,
                        persons=one.persons,
                    )
                )
            session = Session(board, tasks, sinks, self.decoder, threads)
            units = {name: partial(self.units.read, name) for name in self.units.begins}
            far.begun = True
            for tally in session.work(units, far.advance, far.decode, far.finish):
                for of_task, done in zip(far.tasks, tally.tasks, strict=True):
                    of_task[:] = [a + b for a, b in zip(of_task, vars(done).values(), strict=True)]


def _plain(unit: Unit) -> dict[str, Any]:
    shards = [
        shard
        and (
            shard.number,
            [*map(_span, shard.segments)],
            shard.name,
            [*map(_span, shard.skipped)],
            shard.piece and (shard.piece.number, shard.piece.bounds),
        )
        for shard in unit.shards
    ]
    media = {
        video: [str(one.path.absolute()), one.fps, one.first_frame]
        for video, one in unit.media.items()
        if isinstance(one, Media)
    }
    return {"name": unit.name, "again": unit.again, "shards": shards, "media": media}


def _span(segment: Segment) -> tuple[str, str, float, float]:
    return segment.id, segment.video, segment.start, segment.stop


def _segments(spans: Iterable[Sequence[Any]]) -> tuple[Segment, ...]:
    return tuple(Segment(*span) for span in spans)


def _unit(plain: Mapping[str, Any]) -> Unit:
    shards = (
        shard and Shard(shard[0], _segments(shard[1]), shard[2], _segments(shard[3]), _piece(shard))
        for shard in plain["shards"]
    )
    media = {
        video: Media(Path(path), *numbers) for video, (path, *numbers) in plain["media"].items()
    }
    return Unit(plain["name"], tuple(shards), media, plain["again"])


def _piece(shard: Sequence[Any]) -> Piece | None:
    return shard[4] and Piece(shard[4][0], tuple(shard[4][1]))
