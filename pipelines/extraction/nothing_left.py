"""A command that has nothing left to do, found out without loading a network."""

from contextlib import closing
from dataclasses import replace

from egofeat.engines.board import tidy
from egofeat.pipelines.extraction.asked import Recalled
from egofeat.pipelines.extraction.options import ExtractConfig, ExtractRequest, Storage
from egofeat.pipelines.extraction.outcome import outcome
from egofeat.pipelines.extraction.reports import ExtractReport
from egofeat.pipelines.extraction.share import shares_of
from egofeat.pipelines.extraction.wanted import Wanted, choose_segments
from egofeat.segments import Dataset
from egofeat.store import StoreWriter
from egofeat.store.files import WORK


def alone(asked: ExtractRequest) -> ExtractConfig | None:
    """The options of the one backbone that is asked for; None of several."""
    if max(len(asked.backbones), len(asked.weights), len(asked.taps)) > 1:
        return None
    shared = asked.shared
    return replace(
        shared,
        backbone=asked.backbones[0],
        weights=asked.weights[0] if asked.weights else shared.weights,
        taps=asked.taps[0] if asked.taps else shared.taps,
    )


def report_of_all_done(recalled: Recalled, dataset: Dataset) -> ExtractReport | None:
    """The report of an extraction of which everything is there; None where it must be run.

    The store is brought up to date with the data set, as by any other run.

    Args:
        recalled: what is known of the options.
        dataset: that they name.

    Raises:
        RequestError: the store has its shards in another format than is asked for.
        StoreError: the store is damaged.
    """
    config, recipe = recalled.config, recalled.recipe(dataset)
    if recipe is None or config.retry_failed or config.part[1] > 1:
        return None
    dataset, segments = choose_segments(dataset, config.splits, recipe.plan)
    storage = config.group(Storage)
    wanted = Wanted(
        dataset=dataset, segments=segments, recipe=recipe, storage=storage, splits=config.splits
    )
    (share,) = shares_of([wanted], config)
    if not share.complete:
        return None
    tidy(wanted.store / WORK)
    with closing(
        StoreWriter.open(
            storage.out,
            dataset,
            recipe,
            format=storage.format,
            compress=storage.compress,
            made_with={},
            stage=storage.stage,
        )
    ) as writer:
        return outcome(share, writer.path)
