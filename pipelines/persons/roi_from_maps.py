"""`egofeat roi-from-maps`: person features cut out of stored maps; nothing is decoded."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat import console
from egofeat.boxes import Boxes
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.extract.backbones.backbone import check_taps
from egofeat.extract.roi import pool, regions
from egofeat.extract.shards import Shard, cut, key_of, shards_in, without
from egofeat.pipelines.extraction.extract import worker_name
from egofeat.pipelines.extraction.options import RoiConfig
from egofeat.pipelines.extraction.roi_options import (
    choose_align,
    choose_person_taps,
    find_boxes,
    trained_grid,
)
from egofeat.pipelines.extraction.wanted import read_dataset
from egofeat.pipelines.persons.options import FromMapsConfig
from egofeat.recipe import KeyFrames, Recipe, RoiAlign
from egofeat.store import SegmentStore, ShardRows, StoreWriter, open_store, versions
from egofeat.store.description import Description
from egofeat.store.reading.opening import find_store
from egofeat.words import counted

_AT_ONCE = 4
"""Key frames whose maps are in memory together: 50 MB each of a detection network's, whole."""


@dataclass(frozen=True, kw_only=True)
class FromMapsReport:
    """What was cut out of maps; the object that `--json` prints."""

    store: str
    key_frames: int
    """With boxes and with maps."""
    extracted: int
    skipped: int
    """In the store already."""
    persons: int
    """Cut out now."""
    without_maps: int
    """Key frames with boxes, of which the store of maps has none."""
    seconds: float

    def lines(self) -> list[str]:
        """The report for people."""
        said = [
            f"{counted(self.persons, 'persons')} of {counted(self.extracted, 'key frames')} cut "
            f"out in {self.seconds:.1f} s, {self.skipped} of {self.key_frames} key frames were "
            "there already",
            self.store,
        ]
        if self.without_maps:
            frames = counted(self.without_maps, "key frames")
            have = "has" if self.without_maps == 1 else "have"
            said.append(f"{frames} with boxes {have} no maps in the store")
        return said


def cut_from_maps(config: FromMapsConfig) -> FromMapsReport:
    """Cut persons out of a store of maps into a store beside it.

    Raises:
        RequestError: the store has no maps of whole key frames, or no box fits it.
        StoreError: there is no store, or a damaged one.
        ManifestError: the data set or the boxes are not what they must be.
    """
    began = time.perf_counter()
    path = find_store(config.store)
    description = Description.read(path)
    taps = _map_taps(path, description.recipe, config.roi)
    maps = [open_store(path, tap).of_kind(SegmentStore) for tap in taps]
    dataset = read_dataset(config.manifest, description.dataset)
    found = find_boxes(config.roi, dataset)
    wanted = [s for s in dataset.of_splits(config.splits) if s.id in found.boxes]
    without_maps = {key_of(s) for s in wanted} - set(maps[0].table.keys)
    shapes = {one.tap: one.row_shape for one in maps}
    trained = trained_grid(description.recipe)
    align = choose_align(shapes, description.recipe.transform.crop, config.roi, trained)
    of_persons = align.shapes(shapes)
    recipe = replace(
        description.recipe.of_boxes(found.digest),
        roi=replace(align, of=description.recipe.dtype),
        taps={tap: of_persons[tap] for tap in choose_person_taps(config.taps)},
    )
    writer = StoreWriter.open(
        config.out or path.parent.parent,
        dataset,
        recipe,
        format=description.format,
        compress=description.compress,
        made_with={**description.made_with, **versions(), "boxes": config.roi.said},
        worker=worker_name((1, 1), config.splits),
    )
    with closing(writer):
        done = writer.done()
        mean = sum(len(found.boxes[s.id]) for s in wanted) // max(1, len(wanted))
        batches = cut(wanted, max(1, recipe.row_bytes * mean))
        left = shards_in(without(batches, done, without_maps))
        cutter = _Cutter(maps, align, recipe, choose_device(config.device))
        persons = _write(writer, cutter, left, found.boxes)
    extracted = sum(len(shard.segments) for shard in left)
    return FromMapsReport(
        store=str(writer.path),
        key_frames=len(wanted) - len(without_maps),
        extracted=extracted,
        skipped=len(wanted) - len(without_maps) - extracted,
        persons=persons,
        without_maps=len(without_maps),
        seconds=round(time.perf_counter() - began, 3),
    )


def _write(
    writer: StoreWriter, cutter: "_Cutter", shards: Sequence[Shard], boxes: Mapping[str, Boxes]
) -> int:
    """Cut and publish shard after shard; returns the number of persons."""
    persons = 0
    total = sum(len(shard.segments) for shard in shards)
    with console.progress("cutting out", total, "key frames") as progress:
        for shard in shards:
            rows = cutter.rows(shard, [boxes[segment.id] for segment in shard.segments])
            writer.write_shard(shard.name, rows)
            persons += int(rows.boxes is not None and len(rows.boxes))
            progress(len(shard.segments))
    return persons


def _map_taps(path: Path, recipe: Recipe, config: RoiConfig) -> list[str]:
    """The taps of maps to cut out of.

    Raises:
        RequestError: the store has none of whole frames at key frames.
    """
    fresh = "or run the network with `egofeat roi`"
    if not isinstance(recipe.plan, KeyFrames) or recipe.of_persons:
        raise RequestError(
            f"{path} holds no clips around key frames: name a store that does, {fresh}"
        )
    if recipe.transform.resize != "squash" or recipe.transform.pool_grid:
        raise RequestError(
            f"{path} holds maps that were cropped or pooled, in which boxes have no place: extract "
            f"them with `transform` squash and without `pool_grid`, {fresh}"
        )
    taps = config.maps or tuple(tap for tap, shape in recipe.taps.items() if len(shape) > 2)
    for tap in taps:
        if tap not in recipe.taps:
            raise RequestError(f"{path} has no tap '{tap}': it has {', '.join(recipe.taps)}")
    if not taps:
        raise RequestError(f"{path} holds vectors and no maps: name another store, {fresh}")
    return list(check_taps(taps, spec_of(recipe.backbone)))  # in the order of the network


@dataclass(frozen=True)
class _Cutter:
    """Cuts the persons of key frames out of their maps."""

    maps: Sequence[SegmentStore]
    align: RoiAlign
    recipe: Recipe
    device: torch.device

    def rows(self, shard: Shard, boxes: Sequence[Boxes]) -> ShardRows:
        """The persons of the key frames of a shard."""
        segments, plan = shard.segments, self.recipe.plan
        assert isinstance(plan, KeyFrames)
        numbers = self.maps[0].table.of([segment.id for segment in segments])
        parts = [
            self._persons(numbers[at : at + _AT_ONCE], boxes[at : at + _AT_ONCE])
            for at in range(0, len(segments), _AT_ONCE)
        ]
        counts = [len(of_frame) for of_frame in boxes]
        stamps = self.maps[0].media_stamps
        stretches = np.stack([plan.stretch(segment.start) for segment in segments])
        return ShardRows(
            ids=[segment.id for segment in segments],
            videos=[segment.video for segment in segments],
            starts=np.array([segment.start for segment in segments], np.float64),
            stops=np.array([segment.stop for segment in segments], np.float64),
            clipped=self.maps[0].clipped[numbers],
            times=np.repeat(stretches, counts, axis=0),
            taps={tap: np.concatenate([part[tap] for part in parts]) for tap in self.recipe.taps},
            offsets=np.cumsum([0, *counts]),
            boxes=np.concatenate([of_frame.corners for of_frame in boxes]),
            scores=np.concatenate([of_frame.scores for of_frame in boxes]),
            media_stamps=None if stamps is None else stamps[numbers],
        )

    def _persons(
        self, numbers: NDArray[np.int64], boxes: Sequence[Boxes]
    ) -> dict[str, NDArray[Any]]:
        maps: dict[str, Tensor] = {}
        for one in self.maps:
            wide = torch.from_numpy(one.take(numbers)).to(self.device).float()
            maps[one.tap] = wide[:, 0]  # one view a key frame
        side = self.recipe.transform.crop
        corners = [torch.tensor(of_frame.corners) for of_frame in boxes]
        places = regions((side, side), corners).to(self.device)
        pooled = pool(self.align, maps, places)
        return {
            tap: pooled[tap].cpu().numpy().astype(self.recipe.dtype) for tap in self.recipe.taps
        }
