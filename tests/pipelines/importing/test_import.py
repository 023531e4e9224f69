"""Features of other programs, into stores that heads read."""

import csv
import hashlib
import io
import json
import os
import pickle
from fractions import Fraction
from itertools import pairwise

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.pipelines.importing.arrays import Array
from egofeat.pipelines.importing.cutting import cut
from egofeat.pipelines.importing.options import ImportConfig
from egofeat.pipelines.importing.run import import_features
from egofeat.recipe import Imported
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, verify

VIDEOS = {f"P0{k}_01": 40 + k for k in range(3)}
"""Video to the rows of its array."""
SEGMENTS = [
    Segment(f"{video}_{k}", video, 1.5 * k, 1.5 * k + 2.25, ("train", "val")[k % 3 == 2])
    for video in VIDEOS
    for k in range(6)
]


def values(name, rows, channels=5):
    """Numbers that tell the name and the row."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return np.random.default_rng(seed).normal(size=(rows, channels)).astype(np.float32)


@pytest.fixture
def dataset(tmp_path):
    labelled = tuple(
        Segment(s.id, s.video, s.start, s.stop, s.split, {"verb": k % 2, "noun": k % 3})
        for k, s in enumerate(SEGMENTS)
    )
    media = {video: Media(tmp_path / f"{video}.mp4") for video in VIDEOS}
    return Dataset("toy", media, labelled, {"verb": ("cut", "mix"), "noun": ("a", "b", "c")})


def _npy(folder, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def _feats(folder, arrays):
    for name, array in arrays.items():
        np.savez(folder / f"{name}.npz", feats=array)
    return folder


def _npz(folder, arrays):
    np.savez(folder / "all.npz", **arrays)
    return folder / "all.npz"


def _hdf5(folder, arrays):
    with h5py.File(folder / "all.h5", "w") as file:
        for name, array in arrays.items():
            file[f"visual_features/{name}"] = array
    return folder / "all.h5"


def _torch(folder, arrays):
    for name, array in arrays.items():
        torch.save(torch.from_numpy(array), folder / f"{name}.pt")
    return folder


def _lmdb(folder, arrays):
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with lmdb.open(str(folder), map_size=1 << 22) as env, env.begin(write=True) as transaction:
        for video, array in arrays.items():
            for row, vector in enumerate(array, 1):
                key = f"{video}_frame_{row:010d}.jpg".encode()
                transaction.put(key, vector.astype("<f4").tobytes())
    return folder


WRITERS = {
    "npy": _npy,
    "npz": _npz,
    "hdf5": _hdf5,
    "ego4d": _torch,
    "actionformer": _feats,
    "opentad": _npy,
    "lmdb": _lmdb,
}


@pytest.fixture
def source(tmp_path):
    """Write arrays as a kind of files, `source(kind, arrays) -> path`."""

    def write(kind, arrays, name="files"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return WRITERS[kind](folder, arrays)

    return write


@pytest.fixture
def bring(tmp_path, dataset):
    def bring_in(files, kind, **options):
        options = {"out": tmp_path / "features", "network": "slowfast"} | options
        report = import_features(ImportConfig(files=files, kind=kind, **options), dataset)
        return report, open_store(report.store)

    return bring_in


CLOCK = {"fps": 30.0, "window": 32, "stride": 16}


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_of_whole_videos_are_cut_by_the_segments(kind, source, bring):
    arrays = {video: values(video, rows) for video, rows in VIDEOS.items()}
    own = {} if kind in ("ego4d", "lmdb") else CLOCK
    report, store = bring(source(kind, arrays), kind, rows=4, **own)
    failed = 15 if kind == "lmdb" else 0  # 40 frames are 1.3 s
    assert (report.imported, report.failed, report.exit_code) == (18 - failed, failed, failed > 0)
    assert (report.of, store.row_shape, store.dtype) == ("video", (4, 5), np.float32)
    step, window = (1 / 30, 1 / 30) if kind == "lmdb" else (16 / 30, 32 / 30)
    for segment in SEGMENTS:
        array = arrays[segment.video]
        centres = [k * step + window / 2 for k in range(len(array))]
        stop = min(segment.stop, (len(array) - 1) * step + window)
        if segment.start >= stop:
            assert segment.id not in store
            continue
        wanted = [segment.start + (k + 0.5) * (stop - segment.start) / 4 for k in range(4)]
        for row, moment in zip(store[segment.id], wanted, strict=True):
            away = [abs(centre - moment) for centre in centres]
            (found,) = np.flatnonzero((array == row).all(axis=1))
            assert away[found] == pytest.approx(min(away), abs=1e-9)  # of two, either
    assert verify(store.path) == []


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5"])
def test_arrays_of_segments_stay_as_they_are(kind, source, bring):
    arrays = {s.id: values(s.id, 7).astype(np.float16) for s in SEGMENTS}
    _, store = bring(source(kind, arrays), kind)
    assert (store.row_shape, store.dtype) == ((7, 5), np.float16)
    for id_, array in arrays.items():
        np.testing.assert_array_equal(store[id_], array)


def test_vectors_and_arrays_of_other_lengths_are_resampled(source, bring):
    arrays = {s.id: values(s.id, 3 + k % 4) for k, s in enumerate(SEGMENTS)}
    _, store = bring(source("npy", arrays), "npy", rows=1, resample="mean")
    for id_, array in arrays.items():
        np.testing.assert_allclose(store[id_][0], array.mean(axis=0), rtol=1e-5, atol=1e-6)
    vectors = {s.id: values(s.id, 1)[0] for s in SEGMENTS}
    _, store = bring(source("npy", vectors, "vectors"), "npy")
    assert store.row_shape == (1, 5)


def test_linear_and_mean_speak_of_their_times(source, bring):
    """Of features that are their own time, rows say what they stand for."""
    step, window = 16 / 30, 32 / 30
    times = {v: (np.arange(n) * step + window / 2)[:, None] * np.ones(2) for v, n in VIDEOS.items()}
    files = source("npy", times)
    _, linear = bring(files, "npy", rows=3, resample="linear", **CLOCK)
    _, mean = bring(files, "npy", rows=2, resample="mean", **CLOCK)
    for segment in SEGMENTS:
        parts = np.linspace(segment.start, segment.stop, 4)
        wanted = ((parts[1:] + parts[:-1]) / 2).clip(window / 2)
        np.testing.assert_allclose(linear[segment.id][:, 0], wanted, rtol=1e-5)
        inside = times[segment.video][:, 0]
        middle = (segment.start + segment.stop) / 2
        inside = inside[(inside >= middle) & (inside < segment.stop)]  # half-open
        np.testing.assert_allclose(mean[segment.id][1, 0], inside.mean(), rtol=1e-5)


def test_what_is_known_is_kept_and_told(source, bring, capsys):
    files = source("ego4d", {v: values(v, rows) for v, rows in VIDEOS.items()})
    report, store = bring(files, "ego4d", rows=2)
    recipe = store.recipe
    assert (recipe.backbone, recipe.imported) == ("imported:slowfast", True)
    plan = recipe.plan.to_dict()
    assert (plan["fps"], plan["window"], plan["stride"], plan["source"]) == (30, 32, 16, "ego4d")
    text = (store.path / "sources.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    for row in rows:
        content = (files / row["file"]).read_bytes()
        assert (row["sha256"], int(row["bytes"])) == (
            hashlib.sha256(content).hexdigest(),
            len(content),
        )
    assert recipe.weights == f"files:{hashlib.sha256(text).hexdigest()}"
    found = CliRunner().invoke(app, ["ls", report.store])
    assert f"imported, not extracted: ego4d, {files}, of video, resample nearest" in found.output
    (store.path / "sources.csv").write_bytes(text + b"more,1,00\n")
    assert "was altered" in verify(store.path)[0].message
    torch.save(torch.zeros(40, 5), files / "P00_01.pt")  # other files are another store
    assert bring(files, "ego4d", rows=2)[0].store != report.store


def test_what_cannot_be_is_a_failure_and_the_rest_goes_on(source, bring):
    arrays = {s.id: values(s.id, 4) for s in SEGMENTS[:12]}
    bad = dict(zip(("nan", "short", "wide", "cube", "pickle"), SEGMENTS[1:], strict=False))
    arrays[bad["nan"].id][2, 1] = np.nan
    arrays[bad["wide"].id] = values("wide", 4, channels=6)
    arrays[bad["cube"].id] = np.zeros((4, 5, 1), np.float32)
    files = source("npy", arrays)
    path = files / f"{bad['short'].id}.npy"
    path.write_bytes(path.read_bytes()[:-8])
    np.save(files / f"{bad['pickle'].id}.npy", np.array([{}], object), allow_pickle=True)
    report, store = bring(files, "npy")
    assert (report.imported, report.failed, report.exit_code) == (7, 11, 1)
    (noted,) = store.path.glob("failures-*.jsonl")
    lines = noted.read_text().splitlines()
    reasons = {one["id"]: one["reason"] for one in map(json.loads, lines)}
    assert "not a finite number (row 2): fetch it again" in reasons[bad["nan"].id]
    assert "cannot be read (cut short, or no such file: ValueError)" in reasons[bad["short"].id]
    assert "has 6 numbers a row, and the first 5: import those apart" in reasons[bad["wide"].id]
    assert "shape [4, 5, 1]: give numbers [T, C]" in reasons[bad["cube"].id]
    assert "holds a pickle" in reasons[bad["pickle"].id]
    assert reasons[SEGMENTS[-1].id].endswith(f"has no array of segment {SEGMENTS[-1].id}")
    assert bring(files, "npy")[0].skipped == 7
    told = [line for line in report.lines() if line.startswith(("5", "6"))]
    assert told[0].startswith("5 segments of an array that does not hold what is wanted: ")
    assert told[1].startswith("6 segments without an array: ")


def test_more_than_the_disk_takes_is_refused(source, bring, monkeypatch):
    files = source("npy", {s.id: values(s.id, 4) for s in SEGMENTS})
    with pytest.raises(RequestError, match=r"`rows` is 1000000: give 1 to 100,?000"):
        bring(files, "npy", rows=1_000_000)
    monkeypatch.setattr("egofeat.pipelines.importing.run.free_bytes", lambda _: 1000)
    with pytest.raises(RequestError, match=r"take 1\.4 kB and .* has 1\.0 kB free: make room, or"):
        bring(files, "npy")
    assert bring(files, "npy", rows=2)[0].imported == len(SEGMENTS), "720 bytes"


class _Runs:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_a_pickle_of_torch_is_not_run(source, bring):
    files = source("ego4d", {v: values(v, rows) for v, rows in VIDEOS.items()})
    with (files / "P01_01.pt").open("wb") as file:
        pickle.dump(_Runs(), file)
    report, _ = bring(files, "ego4d", rows=2)
    assert (report.imported, report.failed) == (12, 6)
    (one,) = report.failures
    assert "holds other objects than tensors" in one.example


def test_float16_that_does_not_hold_a_value_says_so(source, bring):
    arrays = {s.id: values(s.id, 2) for s in SEGMENTS}
    arrays[SEGMENTS[0].id][0, 0] = 1e6
    report, _ = bring(source("npy", arrays), "npy", dtype="float16")
    assert report.failed == 1
    assert (
        "reaches 1e+06, more than float16 holds: use `dtype` float32" in report.failures[0].example
    )


def test_an_interrupted_import_goes_on(source, bring, monkeypatch):
    arrays = {video: values(video, rows) for video, rows in VIDEOS.items()}
    files = source("npy", arrays)
    monkeypatch.setattr("egofeat.extract.shards.MAX_ROWS", 6)  # a shard a video
    from egofeat.store import StoreWriter

    write, written = StoreWriter.write_shard, []

    def once(writer, *given):
        if written:
            raise KeyboardInterrupt
        written.append(write(writer, *given))
        return written[0]

    monkeypatch.setattr(StoreWriter, "write_shard", once)
    with pytest.raises(KeyboardInterrupt):
        bring(files, "npy", rows=2, **CLOCK)
    monkeypatch.setattr(StoreWriter, "write_shard", write)
    report, store = bring(files, "npy", rows=2, **CLOCK)
    assert (report.imported, report.skipped) == (12, 6)
    _, other = bring(files, "npy", rows=2, out=store.path.parents[2] / "again", **CLOCK)
    names = [sorted(p.name for p in one.path.glob("shards/*")) for one in (store, other)]
    assert names[0] == names[1]
    for id_ in store:
        np.testing.assert_array_equal(store[id_], other[id_])


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("npy", {}, "give `fps`, `window` and `stride`"),
        ("npy", {"each": "segment"}, "no segment of the data set 'toy' is called so"),
        ("hdf5", {"key": "elsewhere"}, "has no group 'elsewhere'"),
        ("lmdb", {"key": "frame"}, "names no frame: give one such as"),
    ],
)
def test_wrong_requests(kind, options, said, source, bring):
    files = source(kind, {v: values(v, rows) for v, rows in VIDEOS.items()})
    with pytest.raises(RequestError, match=said):
        bring(files, kind, **options)


@pytest.mark.parametrize(("kind", "content"), [("npz", b"PK\3\4"), ("hdf5", b"no"), ("lmdb", b"")])
def test_files_of_another_kind_are_refused(kind, content, tmp_path, bring):
    if kind == "lmdb":
        pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="file"):
        bring(path, kind)


def test_arrays_of_videos_are_not_taken_for_those_of_segments(source, tmp_path):
    """Though segments are called by their video and a number, and videos by folder and suffix."""
    segments = tuple(
        Segment(f"v{k % 2}.{k}", f"P01/v{k % 2}.mp4", 1.0 + k, 3.0 + k) for k in range(4)
    )
    media = {one.video: Media(tmp_path / one.video) for one in segments}
    dataset = Dataset("toy", media, segments, {})
    arrays = {f"v{k}": values(f"v{k}", 200) for k in range(2)}
    for kind in ("actionformer", "ego4d", "opentad", "lmdb"):
        own = {} if kind in ("ego4d", "lmdb") else CLOCK
        files = source(kind, arrays, kind)
        config = ImportConfig(files=files, kind=kind, out=tmp_path / f"{kind}-out", rows=2, **own)
        report = import_features(config, dataset)
        assert (report.of, report.imported) == ("video", 4)


def test_arrays_of_other_lengths_are_failures_where_no_number_is_given(source, bring):
    arrays = {s.id: values(s.id, 9 if k == 4 else 5) for k, s in enumerate(SEGMENTS)}
    report, store = bring(source("npy", arrays), "npy")
    assert (report.imported, report.failed, store.row_shape) == (len(SEGMENTS) - 1, 1, (5, 5))
    assert "has 9 rows, and the first 5: give `rows`" in report.failures[0].example


def test_rows_of_an_lmdb_stand_at_the_numbers_of_their_frames(tmp_path, bring):
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with lmdb.open(str(tmp_path / "late"), map_size=1 << 24) as env, env.begin(write=True) as into:
        for video in VIDEOS:
            for frame in range(31, 400):
                vector = np.full(3, frame, "<f4").tobytes()
                into.put(f"{video}_frame_{frame:010d}.jpg".encode(), vector)
    report, store = bring(tmp_path / "late", "lmdb", rows=2)
    assert report.failed == len(VIDEOS)  # from 0 s: its frames are not there
    for segment in SEGMENTS:
        if segment.id in store:
            middles = segment.start + (segment.stop - segment.start) * np.array([0.25, 0.75])
            np.testing.assert_allclose(store[segment.id][:, 0], middles * 30 + 0.5, atol=0.51)


def test_an_lmdb_that_is_cut_short_is_refused(source, bring):
    files = source("lmdb", {v: values(v, rows, 900) for v, rows in VIDEOS.items()})
    data = files / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(RequestError, match=r"data\.mdb is cut short"):
        bring(files, "lmdb")


def test_tensors_that_are_no_plain_numbers_are_failures(source, bring):
    files = source("ego4d", {v: values(v, rows) for v, rows in VIDEOS.items()})
    torch.save(torch.eye(4).to_sparse(), files / "P00_01.pt")
    torch.save(torch.nn.Parameter(torch.ones(40, 5)), files / "P01_01.pt")
    report, _ = bring(files, "ego4d", rows=2)
    assert (report.imported, report.failed) == (12, 6)
    assert "is no dense tensor of numbers" in report.failures[0].example


def test_two_files_of_one_name_are_refused(source, bring):
    files = source("opentad", {v: values(v, rows) for v, rows in VIDEOS.items()})
    np.savez(files / "P00_01.npz", feats=values("x", 4))
    with pytest.raises(RequestError, match=r"P00_01\.np. are both arrays of that name"):
        bring(files, "opentad", **CLOCK)


def test_the_start_of_a_part_is_included():
    """Though a part's start is rounded."""
    array = Array.of(np.arange(112.0)[:, None] + np.zeros(3))
    plan = Imported(8, "video", "mean", "npy", 30.0, 32, 16)
    whole = Segment("w", "P00_01", 0.0, (111 * 16 + 32) / 30)
    centres, edges = np.arange(112) + 1, [Fraction(113 * k, 8) for k in range(9)]  # of strides
    wanted = [
        np.mean([row for row, at in enumerate(centres.tolist()) if first <= at < stop])
        for first, stop in pairwise(edges)
    ]
    np.testing.assert_allclose(cut(array, whole, plan).values[:, 0], wanted)


def test_lmdb_without_its_package(monkeypatch, tmp_path, bring):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(RequestError, match=r"install egofeat\[lmdb\]"):
        bring(tmp_path, "lmdb")


def test_heads_read_them_and_nothing_extracts_them_again(source, dataset, bring, tmp_path):
    arrays = {video: values(video, rows) for video, rows in VIDEOS.items()}
    _, store = bring(source("npy", arrays), "npy", rows=4, **CLOCK)
    run = tmp_path / "runs" / "linear"

    def give(*words):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert found.exit_code == 0, found.output
        return found.output

    def refusal(*words):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert isinstance(found.exception, RequestError), found.output
        return str(found.exception)

    fit = ("fit-head", "linear", "--store", store.path, "--epochs", "2")
    give(*fit, "--out", run)
    give("evaluate", run, "--split", "val")
    _, other = bring(source("npy", arrays), "npy", rows=4, tap="other", resample="mean", **CLOCK)
    give(*fit, "--store", other.path, "--tap", "features,other", "--out", f"{run}-2")
    give("compare", run, f"{run}-2", "--out", tmp_path / "compared")
    give("report", run, f"{run}-2", "--out", tmp_path / "report.html")
    assert "imported:slowfast" in give("runs", tmp_path / "runs")
    said = "was imported, and no network here makes its features again"
    assert said in refusal("reextract", "--from", store.path, "--backbone", "mobilenetv2")
    said = "were imported from files that another program made"
    assert said in refusal("predict", run, tmp_path / "no.mp4")


def test_an_export_comes_back_the_same(source, bring, tmp_path):
    arrays = {video: values(video, rows) for video, rows in VIDEOS.items()}
    _, store = bring(source("npy", arrays), "npy", whole=True, **CLOCK)
    give = CliRunner().invoke
    for kind in ("ego4d", "actionformer", "opentad"):
        out = tmp_path / kind
        done = give(app, ["export", str(store.path), "--to", kind, "--out", str(out)])
        assert done.exit_code == 0, done.output
        _, back = bring(out, kind, whole=True, out=tmp_path / f"back-{kind}", tap="back")
        said = give(
            app,
            ["compare-features", str(store.path), str(back.path), "--out", str(tmp_path / "c")],
        ).output
        assert "the same features, bit for bit" in said
        np.testing.assert_array_equal(back.times, store.times)
