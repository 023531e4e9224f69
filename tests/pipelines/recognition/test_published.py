"""Published classifiers, asked what they see."""

import numpy as np
import pytest

from egofeat.errors import RequestError
from egofeat.pipelines.recognition.class_names import class_names
from egofeat.pipelines.recognition.predict import predict
from egofeat.pipelines.training.options import PredictConfig


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
    with pytest.raises(RequestError, match="mobilenetv2 has no classifier here: choose one of res"):
        predict(PredictConfig(run=video, backbone="mobilenetv2"))
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
    with pytest.raises(RequestError, match="names of the 97 classes of mine are not known here"):
        class_names(97, "mine")
