"""Small stores of made-up features."""

from pathlib import Path

import numpy as np
import pytest

from egofeat.boxes import stamp_of
from egofeat.recipe import KeyFrames, Recipe, RoiAlign, Transform, Uniform, Windows
from egofeat.segments import Dataset, Segment
from egofeat.store import FORMATS, ShardRows, StoreWriter
from egofeat.store.formats.shard import Content


class StoreMaker:
    """Makes recipes, rows, data sets and stores, with one tap `gap` [2, 5] by default."""

    taps = {"gap": (2, 5)}  # noqa: RUF012

    def recipe(self, taps=None, dtype="float16", **fields):
        defaults = {
            "backbone": "mobilenetv2",
            "weights": "random:0",
            "transform": Transform("squash", 256, 256),
            "plan": Uniform(20),
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

    def flat_recipe(self, taps=None, **fields):
        return self.recipe(taps or {"gap": (5,)}, plan=Windows(32, 16, 30.0, 8), **fields)

    def flat_rows(self, lengths, taps=None, dtype="float16", seed=0):
        """Whole videos, each id with its number of windows."""
        rng = np.random.default_rng(seed)
        offsets = np.cumsum([0, *lengths.values()])
        starts = np.concatenate([np.arange(n) * 16 / 30 for n in lengths.values()])
        return ShardRows(
            ids=list(lengths),
            videos=list(lengths),
            starts=np.zeros(len(lengths)),
            stops=np.full(len(lengths), np.inf),
            clipped=np.zeros(len(lengths), bool),
            times=np.stack([starts, starts + 16 / 30, starts + 32 / 30], axis=1),
            taps={
                tap: rng.standard_normal((offsets[-1], *shape)).astype(dtype)
                for tap, shape in (taps or {"gap": (5,)}).items()
            },
            offsets=offsets,
        )

    def person_recipe(self, taps=None, **fields):
        of_persons = {"plan": KeyFrames(32, 2, 30.0, "sha256:0"), "roi": RoiAlign(("map",), (16,))}
        return self.recipe(taps or {"roi": (5,)}, **of_persons | fields)

    def person_rows(self, boxes, taps=None, dtype="float16", seed=0):
        """Key frames `<video>_<stamp>`, each id with its `Boxes`, at least one."""
        rng = np.random.default_rng(seed)
        offsets = np.cumsum([0, *map(len, boxes.values())])
        moments = np.array([float(stamp_of(id_)) for id_ in boxes])
        each = np.repeat(moments, np.diff(offsets))
        return ShardRows(
            ids=list(boxes),
            videos=[id_.rpartition("_")[0] for id_ in boxes],
            starts=moments,
            stops=moments + 1,
            clipped=np.zeros(len(boxes), bool),
            times=np.stack([each - 1, each, each + 1], axis=1),
            taps={
                tap: rng.standard_normal((offsets[-1], *shape)).astype(dtype)
                for tap, shape in (taps or {"roi": (5,)}).items()
            },
            offsets=offsets,
            boxes=np.concatenate([one.corners for one in boxes.values()]),
            scores=np.concatenate([one.scores for one in boxes.values()]),
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

    def misfit(self, out: Path, name, rows, recipe, form="hdf5"):
        """A store with a shard that its writer would refuse to publish."""
        path = self.writer(out, self.dataset(rows), recipe, format=form).path
        shard = path / "shards" / f"{name}{FORMATS[form].suffix}"
        FORMATS[form].write(shard, Content.of(rows, {}), None)
        return path


@pytest.fixture(scope="session")
def make() -> StoreMaker:
    return StoreMaker()
