"""The parts of a campaign, and what is imported before the first fork."""

import gc
from collections.abc import Callable, Iterator

from tests.campaigns import combinations, faults, flips, kills, media, texts
from tests.campaigns.names import PARTS as NAMES
from tests.campaigns.stage import Stage, Trial

PARTS: dict[str, Callable[[Stage], Iterator[Trial]]] = {
    "kills": kills.trials,
    "faults": faults.trials,
    "flips": flips.trials,
    "texts": texts.trials,
    "media": media.trials,
    "combinations": combinations.trials,
}
assert tuple(PARTS) == NAMES


def warm() -> None:
    """Import everything that is slow to import, so that no child has to; start no thread."""
    import matplotlib.pyplot
    import torch
    import zarr

    import egofeat.cli
    import egofeat.pipelines.exporting.export
    import egofeat.pipelines.extraction.extract
    import egofeat.pipelines.extraction.job
    import egofeat.pipelines.extraction.prune
    import egofeat.pipelines.extraction.refresh
    import egofeat.pipelines.persons.roi_from_maps
    import egofeat.pipelines.training.evaluate
    import egofeat.pipelines.training.fit
    import egofeat.pipelines.training.predict
    from egofeat.extract import backbones

    torch.set_num_threads(1)
    matplotlib.pyplot.switch_backend("agg")
    assert zarr.__version__
    assert egofeat.cli.app
    network = backbones.load("mobilenetv2", weights="random", taps=["gap"], device="cpu")
    network(torch.zeros(1, 3, 32, 32))
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that parent and child share
