"""The demo on a person's own class folders; the drawn one runs whole in `make demo`."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from egofeat.errors import EgofeatError, RequestError
from egofeat.manifest import load_manifest
from egofeat.pipelines.demo import demo
from egofeat.pipelines.drawn import clips as demo_clips
from egofeat.segments import Dataset, Segment
from egofeat.store import open_store

SHIPPED = Path(__file__).parents[3] / "data_manifest.yaml"


@pytest.fixture
def folders(tmp_path):
    """Two classes of four clips, no splits."""
    csv = demo_clips.draw_demo(tmp_path / "drawn", 10)
    (clip,) = (csv.parent / "videos").glob("P01*.mp4")
    for name in ("one", "two"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(4):
            shutil.copy(clip, tmp_path / "mine" / name / f"{number}.mp4")
    return tmp_path / "mine"


@pytest.mark.drawn
def test_own_folders_go_the_whole_road(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        demo, "TRIALS", (demo.Trial("linear", "gap", 2, {}), demo.Trial("lstm", "gap", 2, {}))
    )
    report = demo.demo(tmp_path / "out", folders)
    assert report.segments == 8
    assert set(report.results) == {"chance", "linear", "lstm"}
    table = report.lines()
    assert max(len(line) for line in table[: table.index("")] or [""]) <= 80
    assert all(Path(picture).read_bytes()[:4] == b"\x89PNG" for picture in report.pictures)
    said = capsys.readouterr().err
    assert "$ egofeat extract --backbone mobilenetv2 --tap gap" in said
    assert "$ egofeat fit-head linear" in said
    again = demo.demo(tmp_path / "out", folders)
    assert again.results == report.results
    json.dumps(report.results)


def test_features_of_replaced_clips_are_made_anew(folders, tmp_path, monkeypatch):
    small = {"weights": "random", "frames": 3, "size": 32, "device": "cpu", "workers": 1}
    monkeypatch.setattr(demo, "ExtractConfig", partial(demo.ExtractConfig, **small))
    monkeypatch.setattr(demo, "_try", lambda *_: {"verb/top1": 0.5})

    def features(out):
        store = open_store(Path(demo.demo(tmp_path / out, folders).store), "gap")
        return {id_: np.asarray(store[id_]) for id_ in store}

    before = features("out")
    shutil.copy(tmp_path / "drawn/videos/P02_01.mp4", folders / "one/0.mp4")
    after, fresh = features("out"), features("fresh")
    assert before.keys() == after.keys() == fresh.keys()
    assert any((before[id_] != after[id_]).any() for id_ in after)
    assert all((after[id_] == fresh[id_]).all() for id_ in after)


def test_the_shipped_manifest_finds_every_drawn_film(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "CLIPS", 8)
    demo._manifest(tmp_path / "demo", None)
    shipped = shutil.copy(SHIPPED, tmp_path)
    found = load_manifest(Path(shipped)).dataset()
    assert found.name == "demo"
    assert found.media
    assert all(media.path.is_file() for media in found.media.values())
    own = load_manifest(tmp_path / "demo/data_manifest.yaml").dataset()
    assert found.segments == own.segments
    assert [m.path.name for m in found.media.values()] == [m.path.name for m in own.media.values()]


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no folder"):
        demo.demo(tmp_path / "out", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EgofeatError, match="holds no videos"):
        demo.demo(tmp_path / "out", tmp_path / "empty")


def test_chance_names_the_most_frequent_class():
    def segment(number: int, split: str, verb: int, noun: int) -> Segment:
        return Segment(f"{split}{number}", "v", split=split, labels={"verb": verb, "noun": noun})

    train = [segment(k, "train", int(k > 0), 0) for k in range(3)]
    val = [segment(k, "val", k % 2, k // 2) for k in range(4)]
    dataset = Dataset("d", {}, (*train, *val), {"verb": ("a", "b"), "noun": ("c", "d")})
    chance = demo.chance(dataset)
    assert chance["verb/top1"] == chance["noun/top1"] == 0.5
    assert chance["action/top1"] == chance["action/mean_class_accuracy"] == 0.25
    assert np.isclose(chance["verb/mean_class_accuracy"], 0.5)
