"""Exports, read back as the projects they are for read them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import ManifestError, RequestError
from egofeat.pipelines.exporting.export import ExportConfig, export
from egofeat.pipelines.exporting.names import file_names
from egofeat.recipe import Recipe, Transform, Windows
from egofeat.segments import Dataset, Segment
from egofeat.store import Failure, ShardRows, StoreWriter, open_store

PLAN = Windows(32, 16, 30.0, 8)
STRIDE_S, WINDOW_S = 16 / 30, 32 / 30
LENGTHS = {"P01_01.mp4": 3, "P01_02.mp4": 1, "P02/a b.mp4": 4}
SPLITS = {"P01_01.mp4": "train", "P01_02.mp4": "val", "P02/a b.mp4": "train", "P03_01.mp4": "train"}


def videos(lengths, taps):
    """Rows of whole videos, made up."""
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, *lengths.values()])
    starts = np.concatenate([np.arange(n) * STRIDE_S for n in lengths.values()])
    return ShardRows(
        ids=list(lengths),
        videos=list(lengths),
        starts=np.zeros(len(lengths)),
        stops=np.full(len(lengths), np.inf),
        clipped=np.zeros(len(lengths), bool),
        times=np.stack([starts, starts + WINDOW_S / 2, starts + WINDOW_S], axis=1),
        taps={
            tap: rng.standard_normal((offsets[-1], *shape)).astype(np.float16)
            for tap, shape in taps.items()
        },
        offsets=offsets,
    )


def make_flat(out: Path, taps=None, lengths=LENGTHS, splits=SPLITS) -> Path:
    taps = taps or {"gap": (6,)}
    recipe = Recipe(
        backbone="slowfast_8x8_r50", weights="random:0", transform=Transform("squash", 48, 48),
        plan=PLAN, taps=taps,
        dtype="float16",
    )  # fmt: skip
    segments = tuple(Segment(id=video, video=video, split=split) for video, split in splits.items())
    writer = StoreWriter.open(out, Dataset("kitchen", {}, segments, {}), recipe, made_with={})
    writer.write_shard("all", videos(lengths, taps))
    writer.record_failures([Failure("P03_01.mp4", "P03_01.mp4", 0.0, float("inf"), "truncated")])
    writer.close()
    return writer.path


@pytest.fixture
def flat(tmp_path) -> Path:
    """Three videos of a data set of four."""
    return make_flat(tmp_path / "features")


def to(kind: str, store: Path, out: Path, **more):
    return export(ExportConfig(store=store, to=kind, out=out, **more))


def test_ego4d_files_are_plain_float32_tensors(flat, tmp_path):
    report = to("ego4d", flat, tmp_path / "out")
    assert (report.files, report.rows, report.missing) == (3, 8, 1)
    store = open_store(flat)
    for name, video in (("P01_01", "P01_01.mp4"), ("P02%2Fa%20b", "P02/a b.mp4")):
        features = torch.load(tmp_path / "out" / f"{name}.pt", weights_only=True)
        assert features.dtype == torch.float32
        np.testing.assert_array_equal(features.numpy(), store[video])
    assert (tmp_path / "out/missing_files.txt").read_text() == "P03_01\n"
    assert report.lines()[:2] == [
        f"3 files, 8 rows, for ego4d: {tmp_path / 'out'}",
        "3 of 4 videos; 1 have no features and are listed in missing_files.txt",
    ]


def test_opentad_files_are_arrays_and_the_description_has_its_settings(flat, tmp_path):
    to("opentad", flat, tmp_path / "out", splits=("train",))
    features = np.load(tmp_path / "out/P01_01.npy")
    assert (features.shape, features.dtype) == ((3, 6), np.float32)
    described = json.loads((tmp_path / "out/features.json").read_text())
    store = open_store(flat)
    assert described["recipe"] == store.digest
    assert (described["window"], described["stride"], described["fps"]) == (32, 16, 30.0)
    assert (described["feature_stride"], described["offset_frames"]) == (16, 16)
    assert (described["tap"], described["backbone"]) == ("gap", "slowfast_8x8_r50")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "P01_01.npy",
        "P02%2Fa%20b.npy",
        "annotations.json",
        "category_idx.txt",
        "features.json",
        "index.csv",
        "missing_files.txt",
    ]


def test_actionformer_without_a_manifest_says_that_annotations_are_empty(flat, tmp_path):
    report = to("actionformer", flat, tmp_path / "out")
    assert "give `manifest`" in report.lines()[-1]
    features = np.load(tmp_path / "out/P01_02.npz")["feats"]
    assert (features.shape, features.dtype) == ((1, 6), np.float32)
    read = json.loads((tmp_path / "out/annotations.json").read_text())
    assert read["version"] == "egofeat kitchen"
    assert set(read["database"]) == {"P01_01", "P01_02", "P02%2Fa%20b"}
    video = read["database"]["P01_01"]
    assert (video["subset"], video["fps"], video["annotations"]) == ("training", 30.0, [])
    assert video["duration"] == pytest.approx(2 * STRIDE_S + WINDOW_S)


@pytest.fixture
def kitchen(tmp_path):
    """Write a manifest of the data set `kitchen` and its table of segments; return its path."""

    def make(*rows: str, labels="{verb: verb, noun: noun}") -> Path:
        (tmp_path / "media").mkdir(exist_ok=True)
        table = ["video,start,stop,split,verb,noun", *rows]
        (tmp_path / "segments.csv").write_text("".join(f"{row}\n" for row in table))
        path = tmp_path / "data_manifest.yaml"
        path.write_text(
            "version: 1\ndatasets:\n  kitchen: {format: csv, media: media, "
            f"annotations: segments.csv, columns: {{labels: {labels}}}}}\n"
        )
        return path

    return make


ROWS = (
    "P01_01.mp4,0.5,1.25,train,take,cup",
    "P01_01.mp4,1,,train,put,",
    "P01_02.mp4,0,1,val,put,",
    "P03_01.mp4,0,,train,put,",
)


def test_actionformer_has_the_annotations_of_the_manifest_a_file_a_target(flat, tmp_path, kitchen):
    report = to("actionformer", flat, tmp_path / "out", manifest=kitchen(*ROWS))
    assert (report.files, report.missing, report.notes) == (2, 1, ())
    verbs = json.loads((tmp_path / "out/annotations-verb.json").read_text())["database"]
    nouns = json.loads((tmp_path / "out/annotations-noun.json").read_text())["database"]
    end = 2 * STRIDE_S + WINDOW_S
    assert verbs["P01_01"]["annotations"] == [
        {"label": "take", "segment": [0.5, 1.25], "segment(frames)": [15.0, 37.5], "label_id": 1},
        {"label": "put", "segment": [1.0, end], "segment(frames)": [30.0, 64.0], "label_id": 0},
    ]
    assert [one["label"] for one in nouns["P01_01"]["annotations"]] == ["cup"]
    assert verbs["P01_02"]["subset"] == "validation"
    for database in (verbs, nouns):
        assert set(database) == {"P01_01", "P01_02"}  # readers open the file of each
        assert all((tmp_path / "out" / f"{video}.npz").exists() for video in database)


BEYOND = ("P01_01.mp4,1.5,7,train,take,cup", "P01_01.mp4,5,7,train,put,")


def test_annotations_end_with_their_video(flat, tmp_path, kitchen):
    report = to("actionformer", flat, tmp_path / "out", manifest=kitchen(*ROWS, *BEYOND))
    verbs = json.loads((tmp_path / "out/annotations-verb.json").read_text())["database"]
    end = 2 * STRIDE_S + WINDOW_S
    assert [one["segment"] for one in verbs["P01_01"]["annotations"]][2:] == [[1.5, end]]
    assert verbs["P01_01"]["duration"] == end
    assert report.notes == (
        "annotated actions left out because they begin after the end of their video: 1",
    )


def test_opentad_finds_its_annotations_classes_and_features(flat, tmp_path, kitchen):
    """By the rules of its dataset classes: subset, class index, frames; then the feature file."""
    out = tmp_path / "out"
    to("opentad", flat, out, manifest=kitchen(*ROWS, *BEYOND))
    for target, expected in (("verb", {"take", "put"}), ("noun", {"cup"})):
        database = json.loads((out / f"annotations-{target}.json").read_text())["database"]
        class_map = (out / f"category_idx-{target}.txt").read_text().split("\n")[:-1]
        assert set(class_map) == expected
        blocked = (out / "missing_files.txt").read_text().split("\n")
        for subset_name, videos in (("train", ["P01_01"]), ("val", ["P01_02"])):
            chosen = {
                name: info
                for name, info in database.items()
                if name not in blocked and info["subset"] in subset_name
            }
            assert list(chosen) == videos
            for name, info in chosen.items():
                assert len(np.load(out / f"{name}.npy")) >= 1
                assert info["frame"] == round(info["duration"] * 30)
                for action in info["annotations"]:
                    assert class_map.index(action["label"]) == action["label_id"]
                    assert 0 <= action["segment"][0] < action["segment"][1] <= info["duration"]


def test_one_target_makes_one_file_and_a_split_one_subset(flat, tmp_path, kitchen):
    both = (ROWS[0], ROWS[1].replace("train", "val"), *ROWS[2:])
    manifest = kitchen(*both, labels="{verb: verb}")
    with pytest.raises(RequestError, match=r"P01_01\.mp4 has segments of train and val.*`split`"):
        to("actionformer", flat, tmp_path / "out", dataset="kitchen", manifest=manifest)
    to("actionformer", flat, tmp_path / "out", splits=("val",), manifest=manifest)
    read = json.loads((tmp_path / "out/annotations.json").read_text())["database"]
    assert {video: len(about["annotations"]) for video, about in read.items()} == {
        "P01_01": 1,
        "P01_02": 1,
    }
    assert (tmp_path / "out/missing_files.txt").read_text() == ""


def test_a_class_of_two_lines_is_refused(flat, tmp_path, kitchen):
    manifest = kitchen('P01_01.mp4,0,1,train,"put\ndown",')
    to("actionformer", flat, tmp_path / "in", manifest=manifest)
    with pytest.raises(RequestError, match="lists a class a line: give it another name"):
        to("opentad", flat, tmp_path / "out", manifest=manifest)


def test_a_data_set_without_labels_is_told(flat, tmp_path, kitchen):
    report = to("actionformer", flat, tmp_path / "out", manifest=kitchen(*ROWS, labels="{}"))
    assert report.notes == ("the annotations are empty: the data set 'kitchen' has no labels",)


def test_another_data_set_is_refused(flat, tmp_path, kitchen):
    manifest = kitchen("elsewhere.mp4,0,1,train,put,")
    with pytest.raises(RequestError, match="no video of the data set"):
        to("ego4d", flat, tmp_path / "out", manifest=manifest)
    with pytest.raises(ManifestError, match="has no data set 'kitchens'"):
        to("ego4d", flat, tmp_path / "out", manifest=manifest, dataset="kitchens")


def test_videos_of_several_splits_are_told(tmp_path):
    store = make_flat(tmp_path / "features", splits=SPLITS | {"P02/a b.mp4": ""})
    report = to("ego4d", store, tmp_path / "out", splits=("train",))
    assert report.files == 1
    assert "of no split, or of several, are left out" in report.notes[0]


def test_npy_takes_whatever_a_store_holds(labelled_store, tmp_path):
    path = labelled_store(["train", "val", "train"], {"verb": [0, 1, 0]}, {"verb": ("a", "b")})
    report = to("npy", path, tmp_path / "out", splits=("train",))
    assert (report.files, report.rows, report.missing) == (2, 2, 0)
    store = open_store(path)
    with (tmp_path / "out/index.csv").open(newline="") as file:
        index = list(csv.DictReader(file))
    assert [row["id"] for row in index] == ["segment_000", "segment_002"]
    assert index[1] == {
        "id": "segment_002",
        "video": "video_0",
        "start": "2.0",
        "stop": "3.0",
        "file": "segment_002.npy",
        "rows": "1",
    }
    for row in index:
        features = np.load(tmp_path / "out" / row["file"])
        assert features.dtype == np.float16
        np.testing.assert_array_equal(features, store[row["id"]])


def test_npy_of_windows_says_how_many_rows_and_leaves_an_open_end_empty(tmp_path):
    store = make_flat(tmp_path / "features", {"map": (2, 3, 2, 2)})
    to("npy", store, tmp_path / "out")
    with (tmp_path / "out/index.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert (rows["P02/a b.mp4"]["rows"], rows["P02/a b.mp4"]["stop"]) == ("4", "")
    assert np.load(tmp_path / "out" / rows["P02/a b.mp4"]["file"]).shape == (4, 2, 3, 2, 2)


def test_what_a_format_does_not_take_is_refused_with_the_mend(labelled_store, tmp_path, kitchen):
    fixed = labelled_store(["train", "val"], {"verb": [0, 0]}, {"verb": ("a",)})
    with pytest.raises(RequestError, match="holds segments: extract with `windows`"):
        to("ego4d", fixed, tmp_path / "out")
    with pytest.raises(RequestError, match="knows its own data set: leave out `manifest`"):
        to("npy", fixed, tmp_path / "out", manifest=kitchen(*ROWS))
    with pytest.raises(RequestError, match="no format 'mat': choose from ego4d"):
        to("mat", fixed, tmp_path / "out")
    maps = make_flat(tmp_path / "maps", {"map": (3, 2, 2), "gap": (6,)})
    with pytest.raises(RequestError, match=r"holds maps.*: give `tap` gap, or give `to` npy"):
        to("opentad", maps, tmp_path / "out", tap="map")
    with pytest.raises(RequestError, match="extract a tap of vectors"):
        to("opentad", make_flat(tmp_path / "only", {"map": (3, 2, 2)}), tmp_path / "out")
    with pytest.raises(RequestError, match="has no split 'test': choose from train, val"):
        to("opentad", maps, tmp_path / "out", tap="gap", splits=("test",))
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_export(flat, tmp_path):
    to("ego4d", flat, tmp_path / "out")
    with pytest.raises(RequestError, match=r"holds another export.*choose another `out`"):
        to("opentad", flat, tmp_path / "out")
    to("ego4d", flat, tmp_path / "out")


def test_a_folder_of_other_files_is_left_as_it_is(flat, tmp_path):
    (tmp_path / "index.csv").write_text("mine")
    with pytest.raises(RequestError, match=r"no features\.json of an export: choose a new or an"):
        to("ego4d", flat, tmp_path)
    assert (tmp_path / "index.csv").read_text() == "mine"
    assert not list(tmp_path.glob("*.pt"))
    out = tmp_path / "out"
    out.mkdir()
    (out / ".tmp~export~elsewhere~1~features.json").write_text("{")
    assert to("ego4d", flat, out).files == 3


def test_a_long_id_leaves_room_for_a_long_host_name(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 255)
    video = f"{'v' * 250}.mp4"
    store = make_flat(tmp_path / "features", lengths={video: 2}, splits={video: "train"})
    assert to("ego4d", store, tmp_path / "out").files == 1
    (file,) = (tmp_path / "out").glob("*.pt")
    assert torch.load(file, weights_only=True).shape == (2, 6)


def test_a_store_that_lost_its_segments_file_is_exported_as_it_stands(flat, tmp_path):
    (flat / "segments.json").unlink()
    report = to("ego4d", flat, tmp_path / "out")
    assert (report.files, report.missing) == (3, 0)
    with pytest.raises(RequestError, match="choose from none, leave `split` out"):
        to("ego4d", flat, tmp_path / "out", splits=("train",))


def test_an_interrupted_export_leaves_whole_files_and_is_given_again(flat, tmp_path):
    out = tmp_path / "out"
    code = f"""
import os
from pathlib import Path
from egofeat.pipelines.exporting import export
from egofeat.store import files
real, count = files.sync, [0]
def sync(path):
    count[0] += ".pt" in path.name
    if count[0] == 2:
        os._exit(9)
    real(path)
files.sync = sync
export.export(export.ExportConfig(store=Path({str(flat)!r}), to="ego4d", out=Path({str(out)!r})))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert torch.load(out / "P01_01.pt", weights_only=True).shape == (3, 6)
    assert len(list(out.glob(".tmp~export~*"))) == 1
    assert not (out / "P01_02.pt").exists()
    assert to("ego4d", flat, out).files == 3
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    to("ego4d", flat, tmp_path / "undisturbed")
    undisturbed = {path.name: path.read_bytes() for path in (tmp_path / "undisturbed").iterdir()}
    assert whole == undisturbed


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), unique=True))
def test_file_names_are_safe_and_never_collide(ids):
    names = file_names(ids)
    assert len({name.casefold() for name in names.values()}) == len(ids)
    for id_, name in names.items():
        assert os.fspath(Path("x") / name) == f"x/{name}"
        assert name.isascii()
        assert not name.startswith(".")
        assert 0 < len(name) < 230
        if len(ids) == 1 and id_.isascii() and id_.replace("_", "a").isalnum():
            assert name == id_


def test_names_that_differ_by_case_or_are_long_are_told_apart():
    odd = ["A", "a", "..", "", "x" * 300, "x" * 301, "é/b", "v.MP4", "w.mp4", "w.mkv", ".mp4"]
    names = file_names(odd)
    assert (names["v.MP4"], names["w.mp4"][:2], names["w.mkv"][:2]) == ("v", "w~", "w~")
    assert names["A"].startswith("A~")
    assert names["a"].startswith("a~")
    assert names[".."] == "%2E."
    assert names["é/b"] == "%C3%A9%2Fb"
    assert len({name.casefold() for name in names.values()}) == len(odd)


def test_the_command_prints_the_report(flat, tmp_path):
    words = ["export", str(flat), "--to", "ego4d", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*words, "--split", "train,val"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["files"] == 3
