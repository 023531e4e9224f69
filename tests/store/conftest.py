"""Small stores of made-up features."""

from pathlib import Path

import numpy as np
import pytest

from egofeat.segments import Dataset, Segment
from egofeat.store import Recipe, ShardRows, StoreWriter


class StoreMaker:
    """Makes recipes, rows, data sets and stores, with one tap `gap` [2, 5] by default."""

    taps = {"gap": (2, 5)}  # noqa: RUF012

    def recipe(self, taps=None, dtype="float16", **fields):
        defaults = {
            "backbone": "mobilenetv2",
            "weights": "random:0",
            "transform": {"size": 256},
            "plan": {"frames": 20},
        }
        return Recipe(**(defaults | fields), taps=taps or self.taps, dtype=dtype)

    def rows(self, ids, taps=None, dtype="float16", seed=0):
        rng = np.random.default_rng(seed)
        count = len(ids)
        starts = np.arange(count, dtype=np.float64)
        return ShardRows(
            ids=ids,
            videos=[f"video of {id_}" for id_ in ids],
            starts=starts,
            stops=starts + 1,
            clipped=np.zeros(count, bool),
            times=np.zeros((count, 2)),
            taps={
                tap: rng.standard_normal((count, *shape)).astype(dtype)
                for tap, shape in (taps or self.taps).items()
            },
        )

    def dataset(self, *shards, classes=None, tail=None, unseen=frozenset(), name="mine", **about):
        """Segments of the rows of shards; `about` gives fields of a segment by its id."""
        segments = tuple(
            Segment(id_, video, start, stop, **about.get(id_, {}))
            for rows in shards
            for id_, video, start, stop in zip(
                rows.ids, rows.videos, rows.starts.tolist(), rows.stops.tolist(), strict=True
            )
        )
        return Dataset(name, {}, segments, classes or {}, tail or {}, unseen)

    def writer(self, out: Path, dataset, recipe=None, **options):
        options = {"made_with": {"egofeat": "0"}} | options
        return StoreWriter.open(out, dataset, recipe or self.recipe(), **options)

    def store(self, out: Path, shards, recipe=None, **options):
        """Write shards as one finished store and return its path."""
        writer = self.writer(out, self.dataset(*shards.values()), recipe, **options)
        for name, rows in shards.items():
            writer.write_shard(name, rows)
        writer.close()
        return writer.path


@pytest.fixture(scope="session")
def make() -> StoreMaker:
    return StoreMaker()
