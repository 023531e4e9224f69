"""Many short videos in dense windows: they share shards, and are what each alone would be."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egofeat.pipelines.extraction import extract
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

VIDEOS = 7
LARGE = 2**20


@pytest.fixture
def dataset(encoder, tmp_path):
    """Of a second each; d is too large to share, and f is no video."""
    media = {
        name: Media(encoder(tmp_path / f"{name}.mp4", frames=20 + place))
        for place, name in enumerate("abcdefg")
    }
    with media["d"].path.open("ab") as file:  # an empty box, as MP4 has it
        file.write(LARGE.to_bytes(4, "big") + b"free" + bytes(LARGE - 8))
    media["f"].path.write_bytes(b"no video")
    return Dataset("mine", media, tuple(Segment(name, name) for name in media), {})


@pytest.fixture
def many(monkeypatch):
    """Have seven videos be many."""
    monkeypatch.setattr("egofeat.extract.shards.MANY_VIDEOS", 2)
    monkeypatch.setattr("egofeat.pipelines.extraction.share.FILE_BYTES_A_SECOND", LARGE / 300)


def rows_of(store):
    opened = open_store(store)
    return {id_: np.array(opened[id_]) for id_ in ids_of(store)}


def ids_of(store):
    return sorted(set(open_store(store).ids.tolist()))


def counts_of(store):
    """Videos of each shard, in order."""
    return [*progress_of(Path(store))._counts.values()]


@pytest.mark.parametrize("workers", [{}, {"devices": ("cpu", "cpu"), "device": "auto"}])
def test_short_videos_share_a_shard(dataset, config, many, workers, tmp_path, monkeypatch):
    report = extract.run(replace(config, **workers), dataset)
    assert (report.extracted, report.failed) == (VIDEOS - 1, 1)
    # Of the first four the fourth is too long, and of the other three one is no video.
    assert counts_of(report.store) == [3, 1, 2]
    assert verify(Path(report.store)) == []
    again = extract.run(config, dataset)
    assert (again.extracted, again.skipped, again.failed) == (0, VIDEOS - 1, 1)
    monkeypatch.undo()
    alone = extract.run(replace(config, out=tmp_path / "alone"), dataset)
    assert counts_of(alone.store) == [1] * (VIDEOS - 1)
    apart = rows_of(alone.store)
    for id_, values in rows_of(report.store).items():
        np.testing.assert_array_equal(values, apart[id_])
    # A store that was begun with a shard each has nothing left where they would share one now.
    kept = extract.run(config, dataset)
    assert kept.extracted == 0


def test_parts_agree_also_where_files_have_changed_meanwhile(dataset, config, many):
    first = extract.run(replace(config, part=(1, 2)), dataset)
    os.truncate(dataset.media["d"].path, 100)
    second = extract.run(replace(config, part=(2, 2)), dataset)
    assert (first.segments, second.segments) == (4, 3)
    assert ids_of(first.store) == list("abcdeg")


def test_what_an_interrupted_run_has_is_kept(dataset, config, many, monkeypatch):
    whole = extract.run(replace(config, out=config.out / "whole"), dataset)
    one = replace(dataset, segments=dataset.segments[:2])
    extract.run(config, one)
    report = extract.run(config, dataset)
    assert (report.extracted, report.skipped) == (VIDEOS - 3, 2)
    for id_, values in rows_of(report.store).items():
        np.testing.assert_array_equal(values, rows_of(whole.store)[id_])


def test_a_video_that_was_mended_joins_the_others(dataset, config, many, encoder):
    extract.run(config, dataset)
    encoder(dataset.media["f"].path, frames=30)
    report = extract.run(replace(config, retry_failed=True), dataset)
    assert (report.extracted, report.failed) == (1, 0)
    assert progress_of(Path(report.store)).failures == []
    assert ids_of(report.store) == list("abcdefg")
