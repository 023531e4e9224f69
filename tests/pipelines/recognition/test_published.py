"""Published classifiers, asked what they see."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import mobilenet_v2

from egofeat.errors import RequestError
from egofeat.extract.backbones.building import seeded
from egofeat.manifest import load_manifest
from egofeat.pipelines.recognition.class_names import class_names, match_names
from egofeat.pipelines.recognition.evaluate import evaluate
from egofeat.pipelines.recognition.predict import predict
from egofeat.pipelines.training.options import EvaluateConfig, PredictConfig
from egofeat.segments import Media


@pytest.mark.real_data
def test_i3d_knows_what_is_done(real_data):
    clips, weights = real_data / "data/clips", real_data / "weights/i3d_rgb_kinetics400.pth"
    if not weights.exists():
        pytest.skip(f"no {weights}")
    pancake, wrestling = clips / "decord/flipping_a_pancake.mkv", clips / "mmaction2/demo__demo.mp4"
    asked = {"backbone": "i3d", "weights": (str(weights),), "device": "cpu"}
    found = predict(PredictConfig(run=pancake, videos=(wrestling,), views=(1, 1), **asked))
    best = [one.targets["class"][0] for one in found.predictions]
    assert [guess.name for guess in best] == ["flipping pancake", "arm wrestling"]
    assert min(guess.probability for guess in best) > 0.9


def test_what_cannot_be_asked_is_one_sentence(tmp_path):
    video = tmp_path / "x.mp4"
    with pytest.raises(RequestError, match="flow_grid has no classifier of whole frames here: ch"):
        predict(PredictConfig(run=video, backbone="flow_grid"))
    with pytest.raises(RequestError, match="random weights of i3d know no class: give published"):
        predict(PredictConfig(run=video, backbone="i3d", weights=("random",)))
    with pytest.raises(RequestError, match="i3d is one network: give `weights` once"):
        predict(PredictConfig(run=video, backbone="i3d", weights=("a", "b")))
    with pytest.raises(RequestError, match="no video is named: name one after the run"):
        PredictConfig(run=video)
    with pytest.raises(RequestError, match="`views` are of a backbone's own classifier"):
        PredictConfig(run=video, videos=(video,), views=(2, 1))


def test_names_of_classes():
    kinetics, imagenet = class_names(400, "i3d"), class_names(1000, "resnet50")
    assert (kinetics[0], kinetics[-1]) == ("abseiling", "zumba")
    assert list(np.argsort(kinetics)[:20]) == list(range(20)), "they are in alphabetical order"
    assert (imagenet[0], imagenet[999]) == ("tench", "toilet tissue")
    six, ava = class_names(600, "i3d"), class_names(80, "slowfast_32x2_r101_ava")
    assert (len(six), six[0], six[-1]) == (600, "abseiling", "zumba")
    assert list(six) == sorted(six)
    assert (len(ava), ava[0], ava[11], ava[79]) == (
        80,
        "bend/bow (at the waist)",
        "stand",
        "watch (a person)",
    )
    assert match_names(["Flipping_Pancake", "arm-wrestling", "frying"], kinetics) == [
        kinetics.index("flipping pancake"),
        kinetics.index("arm wrestling"),
        -1,
    ]
    with pytest.raises(RequestError, match="names of the 97 classes of mine are not known here"):
        class_names(97, "mine")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with weights of MobileNetV2 as a person would have them."""
    folder = tmp_path_factory.mktemp("own")
    network = seeded(mobilenet_v2, 3)  # torchvision's own fade to nothing
    torch.nn.init.normal_(network.classifier[1].weight, 0, 1)
    torch.save(network.state_dict(), folder / "own.pth")
    return folder


def images(folder, level):
    folder.mkdir(parents=True)
    for number in range(1, 5):
        Image.new("RGB", (48, 40), (level, number, 255 - level)).save(folder / f"{number:04}.png")


def test_folders_of_videos_and_of_frames_are_asked_alike(own, tmp_path):
    images(tmp_path / "films/one", 20)
    images(tmp_path / "films/two", 220)
    asked = {"backbone": "mobilenetv2", "weights": (str(own / "own.pth"),), "device": "cpu"}
    with pytest.raises(RequestError, match="films/one holds frames, which do not say how fast"):
        predict(PredictConfig(run=tmp_path / "films", **asked))
    found = predict(PredictConfig(run=tmp_path / "films", fps=10.0, views=(3, 1), **asked))
    assert [one.video for one in found.predictions] == [
        str(tmp_path / "films/one"),
        str(tmp_path / "films/two"),
    ]
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "version: 1\ndatasets: {films: {format: videos, media: films, fps: 10.0}}\n"
    )
    dataset = load_manifest(manifest).dataset()
    assert [(one.id, one.split, dict(one.labels)) for one in dataset.segments] == [
        ("one", "", {}),
        ("two", "", {}),
    ]
    assert dataset.media["two"] == Media(tmp_path / "films/two", 10.0)
    (tmp_path / "films/again").symlink_to(tmp_path)  # a link into what is above it has no end
    (tmp_path / "more/three").mkdir(parents=True)
    (tmp_path / "films/more").symlink_to(tmp_path / "more")
    (tmp_path / "more/three/a.mp4").touch()
    found_now = load_manifest(manifest).dataset().media
    assert sorted(found_now) == ["again/more/three/a.mp4", "more/three/a.mp4", "one", "two"]
    (tmp_path / "films/again").unlink()
    alone = predict(PredictConfig(run=tmp_path / "films/two", fps=10.0, views=(3, 1), **asked))
    assert alone.predictions == found.predictions[1:]
    with pytest.raises(RequestError, match="holds no videos and no frames: name a folder"):
        predict(PredictConfig(run=own, **asked))


def test_a_published_classifier_is_judged_on_a_data_set(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "films/a", 20)
    images(tmp_path / "films/b", 220)
    images(tmp_path / "films/c", 120)
    (tmp_path / "labels.csv").write_text(
        "video,split,action\na,val,Persian_Cat\nb,val,tench\nc,val,juggling knives\n"
    )
    (tmp_path / "m.yaml").write_text(
        "version: 1\ndatasets:\n  pets:\n    format: csv\n    media: films\n"
        "    annotations: labels.csv\n    fps: 10\n    columns: {labels: {action: action}}\n"
    )
    common = {"device": "cpu", "weights": (str(own / "own.pth"),)}
    asked = EvaluateConfig(
        backbone="mobilenetv2", manifest=tmp_path / "m.yaml", views=(2, 1), split="val", **common
    )
    found = evaluate(asked)
    assert (found.segments, found.segments_of_split, found.unknown) == (2, 2, 1)
    assert found.run.name.startswith("pets-mobilenetv2-")
    other = evaluate(replace(asked, views=(3, 1)))
    assert other.run != found.run, "figures of other views are not written over"
    saved = json.loads((tmp_path / found.run / "metrics.json").read_text())
    assert saved["action/top5"] == found.metrics["action/top5"]
    kept = np.load(tmp_path / found.run / "predictions.npz")
    names = class_names(1000, "mobilenetv2")
    assert kept["labels_action"].tolist() == [names.index("Persian cat"), names.index("tench"), -1]
    by_itself = predict(
        PredictConfig(
            run=tmp_path / "films/a", backbone="mobilenetv2", views=(2, 1), fps=10.0, **common
        )
    )
    row = kept["ids"].tolist().index("a")
    best = kept["logits_action"][row].argmax()
    assert by_itself.predictions[0].targets["class"][0].name == names[best]
    with pytest.raises(RequestError, match="RUN is missing: give it, or a `backbone`"):
        EvaluateConfig(split="val")
