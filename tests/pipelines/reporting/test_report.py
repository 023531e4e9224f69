"""What the page holds, of whatever runs."""

import base64
import io
import json
import re
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.comparing.compare import compare
from egofeat.pipelines.comparing.finished import read_finished
from egofeat.pipelines.comparing.options import CompareConfig
from egofeat.pipelines.reporting import report as module
from egofeat.pipelines.reporting.curves import _MOST_POINTS, _evenly
from egofeat.pipelines.reporting.options import ReportConfig
from egofeat.pipelines.reporting.page import as_json, page
from egofeat.pipelines.reporting.report import report
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig


def data_of(out):
    text = out.read_text()
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


def test_it_holds_the_comparison_and_what_each_run_said(written, study, tmp_path):
    out, found = written(figure="verb/top1")
    data = data_of(out)
    best, other = data["configurations"]
    table = compare(CompareConfig(runs=(study,), figure="verb/top1", out=tmp_path / "out"))
    for shown, line in zip(data["configurations"], table.lines_, strict=True):
        assert shown["label"] == line.configuration
        for name in ("mean", "deviation", "low", "high", "p", "together", "parameters"):
            assert shown[name] == getattr(line, name)
    assert (found.configurations, found.runs) == (2, 3)
    assert [len(line) for line in (best["curves"]["val/loss"], other["curves"]["val/loss"])] == [
        2,
        1,
    ]
    assert best["curves"]["val/verb/top1"][0][0] == [1, 2, 3, 4, 5, 6]
    run = read_finished(study / "<img src=x onerror=alert(1)> lstm & 0")
    assert other["metrics"] == dict(run.metrics)
    verb = other["targets"]["verb"]
    assert verb["macro"]["F1"] == pytest.approx(run.metrics["verb/macro_F1"])
    assert verb["macro"]["accuracy"] == pytest.approx(run.metrics["verb/top1"])
    cells = sum(count for row, column, count in verb["cells"] if row == column)
    assert cells / sum(verb["instances"]) == pytest.approx(run.metrics["verb/top1"])
    assert sum(data["taught"]["verb"]) == 60


def test_a_folder_in_place_of_the_page_is_refused_before_the_work(study, tmp_path):
    with pytest.raises(RequestError, match="is a folder: name a file with `out`"):
        ReportConfig(runs=(study,), out=tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(RequestError, match="taken is a file: name a folder with `out`"):
        ReportConfig(runs=(study,), out=tmp_path / "taken/report.html")


def test_the_worst_clips_are_those_that_it_is_sure_of_and_wrong(written, study):
    out, _ = written()
    verb = data_of(out)["configurations"][-1]["targets"]["verb"]
    with np.load(study / "<img src=x onerror=alert(1)> lstm & 0" / "predictions.npz") as said:
        chances = torch.from_numpy(said["logits_verb"]).double().softmax(1).numpy()
        truth, ids = said["labels_verb"], said["ids"].tolist()
    wrong = [row for row in range(len(ids)) if chances[row].argmax() != truth[row]]
    sure = sorted(wrong, key=lambda row: -chances[row].max())[:6]
    assert [clip["id"] for clip in verb["sure"]] == [ids[row] for row in sure]
    first = verb["sure"][0]
    assert first["p"] == pytest.approx(chances[sure[0]].max(), abs=1e-4)
    assert first["q"] == pytest.approx(chances[sure[0], truth[sure[0]]], abs=1e-4)
    assert not {clip["id"] for clip in verb["sure"]} & {clip["id"] for clip in verb["unlikely"]}
    assert len(verb["unlikely"]) == min(6, len(wrong) - len(sure))


@pytest.fixture
def real_frames_manifest(encoder, tmp_path):
    """A manifest whose first video is there, a frame a second, and the second is not."""
    film = tmp_path / "film.mp4"
    encoder(film, frames=100, pts=range(0, 1000, 10), unit=Fraction(1, 10)).rename(
        tmp_path / "video_0"
    )
    (tmp_path / "clips.csv").write_text("video,start,stop,verb\nvideo_0,0,1,a\nvideo_1,0,1,a\n")
    entry = {"format": "csv", "media": str(tmp_path), "annotations": str(tmp_path / "clips.csv")}
    entry["columns"] = {"labels": {"verb": "verb"}, "video": "video"}
    entry["columns"] |= {"start": "start", "stop": "stop"}
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(yaml.safe_dump({"version": 1, "datasets": {"toy": entry}}))
    return manifest


def test_frames_are_those_of_the_clip(written, number_of, real_frames_manifest):
    (real_frames_manifest.parent / "video_1.npy").write_bytes(b"features, and no video")
    out, found = written(manifest=real_frames_manifest)
    data = data_of(out)
    assert found.clips_with_frames == len(data["images"]) > 0
    for id_, pictures in data["images"].items():
        kind, _, content = pictures[0].partition(",")
        assert kind == "data:image/jpeg;base64"
        frame = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert number_of(frame) == int(id_.rpartition("_")[2])
    absent = f"{real_frames_manifest.parent / 'video_1'} does not exist"
    assert set(data["unseen"].values()) == {absent}
    assert found.notes == (f"{len(data['unseen'])} clips without frames: {absent}",)


def test_where_a_head_looks_is_shown_in_its_clips(labelled_store, tmp_path, real_frames_manifest):
    store = labelled_store(
        ["train"] * 6 + ["val"] * 6,
        {"verb": [0, 1] * 6},
        {"verb": ("cut", "wash")},
        row=(4, 6, 3, 3),
    )
    for head in ("stam", "linear"):
        trainer = TrainerConfig(epochs=1, lr=1e-9, device="cpu")
        fit_head(FitConfig(head=head, store=store, out=tmp_path / "runs" / head, trainer=trainer))
    out = tmp_path / "page.html"
    report(ReportConfig(runs=(tmp_path / "runs",), out=out, manifest=real_frames_manifest))
    for line in data_of(out)["configurations"]:
        verb = line["targets"]["verb"]
        clips = verb["sure"] + verb["unlikely"]
        assert clips
        seen = [clip for clip in clips if clip["id"] in data_of(out)["images"]]
        assert all(("looks" in clip) == line["label"].startswith("stam") for clip in seen)
        for clip in seen:
            assert all(one.startswith("data:image/jpeg") for one in clip.get("looks", []))


def test_what_failed_in_a_sweep_or_was_only_tried_is_said(written, study):
    names = [path.name for path in sorted(study.iterdir())]
    rows = ["run,head,lr,seed,chosen,failure"]
    rows += [f"{study / names[0]},linear,0.02,0,True,", f"{study / names[1]},linear,0.02,1,False,"]
    rows += [f"nowhere,linear,9,0,True,the loss is not finite {'!' * 400}"]
    (study.parent / "results.csv").write_text("\n".join(rows))
    (study.parent / "comparison.json").write_text('{"split": "val"}')
    _, found = written(runs=(study.parent,), clips=0)
    assert found.runs == 2
    first, whole, tried = found.notes
    assert first.startswith("linear, lr 9, seed 0, failed: the loss is not finite")
    assert len(first) < 400
    assert whole.startswith("1 training of 3 failed in ")
    assert tried == "Left out: 1 run that a search tried and did not choose."
    _, found = written(runs=(study,), clips=0)
    assert found.runs == 3


def test_a_sweep_of_which_all_failed_is_no_wrong_folder(written, tmp_path):
    failed = tmp_path / "failed"
    failed.mkdir()
    with pytest.raises(RequestError, match=r"no run at .*failed: name a folder"):
        written(runs=(failed,))
    (failed / "results.csv").write_text("run,chosen,failure\n,True,no memory\n")
    with pytest.raises(RequestError, match=r"failed, where all failed: its results\.csv has"):
        written(runs=(failed,))


def test_without_videos_it_says_so(written):
    out, found = written()
    data = data_of(out)
    assert not data["images"]
    assert "none.yaml" in next(iter(data["unseen"].values()))
    assert len([note for note in found.notes if "clips without frames" in note]) == 1
    _, found = written(clips=0)
    assert found.notes == ()


def test_runs_without_metrics_are_left_out_and_said(written, study):
    (study / "<img src=x onerror=alert(1)> linear & 1" / "metrics.json").unlink()
    out, found = written()
    assert found.runs == 2
    assert "linear & 1 is left out" in found.notes[0]
    assert data_of(out)["notes"] == [found.notes[0]]
    with pytest.raises(RequestError, match="none of 3 runs has metrics of test: give egofeat eval"):
        written(split="test")


def test_nothing_in_the_data_is_markup():
    text = as_json({"</script>": "<!-- & <script> \u2028 \ud800"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "<!-- & <script> \u2028 \ud800"}
    assert b"<title>&lt;/title&gt;&quot;" in page('</title>"', {})


def test_a_page_on_fifty_runs_is_below_five_megabytes(written, study, monkeypatch):
    one = study / "<img src=x onerror=alert(1)> lstm & 0"
    for number in range(47):
        copy = shutil.copytree(one, study / f"{number}")
        (copy / "SHA256SUMS").unlink()
        text = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(text.replace("lr: 1.0e-06", f"lr: {number + 1}.0e-06"))
    monkeypatch.setattr("egofeat.pipelines.comparing.statistics.DRAWS", 100)
    out, found = written(clips=100)
    assert found.runs == 49, "lr 1.0e-06 is there already"
    assert out.stat().st_size == found.bytes < 5_000_000
    monkeypatch.setattr(module, "_MOST_DETAILS", 40_000)
    out, found = written()
    detailed = ["targets" in of for of in data_of(out)["configurations"]]
    assert detailed == sorted(detailed, reverse=True)
    shown = sum(detailed)
    assert 0 < shown < 48
    assert f"shown of the {shown} best configurations" in found.notes[0]


def test_long_histories_are_thinned_to_their_ends():
    places = _evenly(1000)
    assert (places[0], places[-1], len(places)) == (0, 999, _MOST_POINTS)
