"""How many views a GPU is given at once: doubled while more come out a second and there is room.

That is measured before the first batch, so that all batches of a run have one shape; and kept, so
that the next run has the same. So is whether such a batch is quicker as one graph.
"""

from collections.abc import Callable

import torch

from egofeat.device import device_name, is_out_of_memory
from egofeat.extract.batches import measured
from egofeat.extract.task import Task

WORTH = 1.05
"""Times as many views a second that a batch of twice the size gives at least."""
MOST_BYTES = 2**28
"""Of the views of a batch, at most: several wait in the host's memory."""
BEGIN = 4
"""Times smaller than the usual batch is the first that is tried."""


def grown(task: Task, seconds: Callable[[int], float]) -> int:
    """Views that the network of a task runs at once.

    Args:
        task: whose device is asked.
        seconds: what a batch of so many views takes; raises what the device does where there is
            no room.
    """
    what = _what(task)
    kept = measured.find(what)
    if isinstance(kept, int) and kept > 0:
        return kept
    begin = max(1, task.views_a_batch // BEGIN)
    most = max(begin, MOST_BYTES // task.bytes_a_view)
    size, ended = doubled(begin, most, seconds)
    if task.backbone.device.type == "cuda":
        torch.cuda.empty_cache()
    if ended:  # else another process may have had the memory
        measured.keep(what, size)
    return size


def quicker(task: Task, size: int, usual: Callable[[], float], graph: Callable[[], float]) -> bool:
    """Whether the network of a task runs batches of so many views quicker as a graph.

    Args:
        task: whose device is asked.
        size: views of a batch.
        usual: seconds of a batch launched kernel by kernel.
        graph: of one replayed; or as usual where it cannot be.
    """
    what = ["graph", size, *_what(task)]
    kept = measured.find(what)
    if isinstance(kept, bool):
        return kept
    found = WORTH * graph() < usual()
    measured.keep(what, found)
    return found


def doubled(begin: int, most: int, seconds: Callable[[int], float]) -> tuple[int, bool]:
    """The last size that was worth its doubling, and whether there was room for a larger one.

    Args:
        begin: the first size, which is given back if there is no room for it either.
        most: the largest.
        seconds: see `grown`.
    """
    best, pace, size = begin, 0.0, begin
    while size <= most:
        try:
            now = size / seconds(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return best, False
        if now < WORTH * pace:
            break
        best, pace, size = size, now, 2 * size
    return best, True


def _what(task: Task) -> list[object]:
    """All that the size may depend on."""
    backbone, recipe = task.backbone, task.recipe
    memory = torch.cuda.mem_get_info(backbone.device)[1] if torch.cuda.is_available() else 0
    return [
        "views a batch",
        device_name(backbone.device),
        memory,
        torch.__version__,
        recipe.backbone,
        backbone.precision,
        list(recipe.taps),
        list(task.view_shape),
    ]
