"""What a command takes on: its part, jobs that differ, windows that were lost, what it costs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egofeat.errors import RequestError
from egofeat.extract import shards
from egofeat.pipelines.extraction import disk_room, extract
from egofeat.pipelines.extraction.job import plan_job, plan_jobs, together
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.options import Compute
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import Failure, open_store
from egofeat.store.sidecar.failures import append_failures

SMALL = ExtractConfig(weights="random", frames=2, size=32, device="cpu", workers=1)
DENSE = replace(SMALL, frames=None, windows=8, stride=4, fps=25.0)


@pytest.fixture(scope="module")
def dataset(encoder, tmp_path_factory):
    """Two videos of 24 frames at 25 a second, two segments each, in two splits."""
    folder = tmp_path_factory.mktemp("videos")
    media = {name: Media(encoder(folder / f"{name}.mp4", frames=24)) for name in "ab"}
    segments = [
        Segment(f"{name}{k}", name, 0.2 * k, 0.2 * k + 0.4, "train" if name == "a" else "val")
        for name in "ab"
        for k in range(2)
    ]
    return Dataset("tiny", media, tuple(segments), {})


def test_a_part_without_work_says_so(dataset, tmp_path):
    config = replace(SMALL, out=tmp_path, part=(2, 4))
    words = "part 2/4 has no segments: 1 part has all of them"
    assert extract.forecast(config, dataset).lines()[0] == words
    report = extract.run(config, dataset)
    assert report.lines()[0] == words
    assert (report.segments, report.incomplete) == (0, False)
    assert extract.run(replace(config, part=(1, 4)), dataset).extracted == 4
    assert not extract.run(replace(config, part=(1, 4)), dataset).idle


def test_nothing_to_do_is_a_sensible_line(dataset, tmp_path, capsys):
    config = replace(SMALL, out=tmp_path)
    extract.run(config, dataset)
    capsys.readouterr()
    again = extract.run(config, dataset)
    assert again.lines()[0] == "nothing to extract: 4 of 4 segments are there"
    assert "0/0" not in capsys.readouterr().err


def test_splits_are_counted(dataset, tmp_path):
    config = replace(SMALL, out=tmp_path)
    assert extract.forecast(config, dataset).splits == {"train": 2, "val": 2}
    assert "of train 2, val 2" in extract.forecast(config, dataset).lines()
    assert extract.run(replace(config, splits=("val",)), dataset).splits == {"val": 2}


def test_jobs_that_differ_each_do_their_own(dataset, tmp_path, monkeypatch):
    """Decoders and kinds of segments of their own, in one call, as each alone."""
    configs = [
        replace(SMALL, out=tmp_path),
        replace(SMALL, out=tmp_path, weights="random:1", decoder="decord"),
        replace(DENSE, out=tmp_path),
    ]
    jobs = plan_jobs(configs, dataset)
    assert together(jobs) == [[0], [1], [2]], "each decoder reads what is recorded as its own"
    assert together(plan_jobs([configs[0], replace(configs[1], decoder="pyav")], dataset)) == [
        [0, 1]
    ]
    sizes = []
    task = extract.Task
    monkeypatch.setattr(
        extract, "Task", lambda **fields: sizes.append(fields["batch_size"]) or task(**fields)
    )
    report = extract.run_jobs(jobs, Compute(device="cpu", batch_size=5))
    assert sizes == [5, 5, 5]
    assert [store.extracted for store in report.stores] == [4, 4, 2]
    for config, store in zip(configs, report.stores, strict=True):
        same = replace(config, out=tmp_path / "alone", batch_size=5)  # to the last bit
        alone, joint = open_store(extract.run(same, dataset).store), open_store(store.store)
        assert alone.digest == joint.digest
        for id_ in alone.ids:
            np.testing.assert_array_equal(alone[id_], joint[id_])


def test_lost_windows_are_told_until_they_are_asked_for_and_read(dataset, tmp_path):
    config = replace(DENSE, out=tmp_path)
    store = Path(extract.run(config, dataset).store)
    lost = Failure("a", "a", 0.2, 0.6, "a: frame 9 is damaged", windows=3)
    append_failures(store / "failures-1of1.jsonl", [lost])
    for _ in range(2):
        report = extract.run(config, dataset)
        assert (report.extracted, report.skipped, report.failed) == (0, 2, 0)
        assert (report.lost_windows, report.incomplete) == (3, True)
        assert "3 windows of 1 video are damaged: a" in report.lines()
    assert extract.forecast(config, dataset).to_extract == 0
    retry = replace(config, retry_failed=True)
    assert extract.forecast(retry, dataset).to_extract == 1
    before = sorted((store / "shards").iterdir())
    again = extract.run(retry, dataset)
    assert (again.extracted, again.skipped, again.lost_windows) == (1, 1, 0)
    assert sorted((store / "shards").iterdir()) == before
    assert not list(store.glob("failures-*"))


def test_windows_are_held_against_the_free_disk(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_room, "free_bytes", lambda folder: 10)
    with pytest.raises(RequestError, match=r"take .* has 10 B free: make room"):
        extract.run(replace(DENSE, out=tmp_path), dataset)
    extract.run(replace(DENSE, out=tmp_path, compress="gzip"), dataset)  # it may still fit


def test_a_time_is_told_where_one_was_measured(dataset, tmp_path):
    config = replace(SMALL, out=tmp_path)
    assert extract.forecast(config, dataset).seconds is None
    extract.run(replace(config, splits=("train",)), dataset)
    rates = tmp_path / ".rates.jsonl"
    (measured,) = map(json.loads, rates.read_text().splitlines())
    told = extract.forecast(config, dataset)
    assert told.to_extract == 2
    assert told.seconds == pytest.approx(4 * measured["seconds"] / measured["views"], abs=0.05)
    rates.write_text(rates.read_text().replace('"sharing"', '"company"'))  # as older files have it
    assert extract.forecast(config, dataset).seconds == told.seconds
    other = replace(config, frames=3)
    assert extract.forecast(other, dataset).seconds == pytest.approx(
        12 * measured["seconds"] / measured["views"], abs=0.05
    )
    rates.write_bytes(b"\xff\n{}\n1\n")
    assert extract.forecast(config, dataset).seconds is None


def test_the_parts_are_those_that_have_batches(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_ROWS", 2)
    config = replace(SMALL, out=tmp_path, part=(3, 3))
    (forecast,) = extract.forecast_jobs([plan_job(config, dataset)], config).stores
    assert forecast.idle == "part 3/3 has no segments: 2 parts have all of them"
