"""An extraction by workers of other processes: what they are given, and how far they are."""

import time
from collections.abc import Sequence

from egofeat.engines.board import Board
from egofeat.engines.crew import Engine
from egofeat.engines.far import Show, keep_showing
from egofeat.extract.extractor import Tally, TaskTally
from egofeat.extract.pieces.sink import StoreSink
from egofeat.extract.units import Unit
from egofeat.pipelines.extraction.job import Job
from egofeat.pipelines.extraction.order import Order
from egofeat.pipelines.extraction.share import Share
from egofeat.pipelines.options import Compute
from egofeat.store import StoreWriter


def work_together(
    shares: Sequence[Share[Job]],
    writers: Sequence[StoreWriter],
    units: Sequence[Unit],
    board: Board,
    engine: Engine,
    compute: Compute,
    show: Show,
) -> Tally:
    """Have the workers of an engine extract what is left of shares.

    Args:
        shares: that have one decode.
        writers: `[shares]` of this process, which writes nothing.
        units: of what is left.
        board: on which the units are.
        engine: of the workers.
        compute: what each does.
        show: begins to show how far all of them are.

    Returns:
        What was done; of workers that died, what was published.
    """
    began = time.perf_counter()
    before = [writer.done() for writer in writers]
    order = Order.of([share.job for share in shares], units, board, compute)
    sizes = {unit.name: unit.size for unit in units}
    ledger = keep_showing(engine, order, board, sizes, show)
    _join(units, [StoreSink(writer, board.folder) for writer in writers])
    tasks = []
    for task, (writer, there) in enumerate(zip(writers, before, strict=True)):
        _, frames, views = ledger.of_task(task) or (0, 0, 0)
        tasks.append(TaskTally(len(writer.done() - there), frames, views))
    return Tally(ledger.decoded, time.perf_counter() - began, tuple(tasks))


def _join(units: Sequence[Unit], sinks: Sequence[StoreSink]) -> None:
    """Join what is whole and was not joined: two workers may have seen the last pieces too late."""
    for unit in units:
        for shard, sink in zip(unit.shards, sinks, strict=True):
            if shard and shard.piece and shard.piece.number == 0:
                sink.expect(unit.media, shard)
                sink.join(shard)
