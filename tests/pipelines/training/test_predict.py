"""Predictions on videos of no data set equal those on the same segments in a store."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from egofeat.errors import RequestError, WeightsError
from egofeat.heads.config import TrainerConfig
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.predict import predict
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store


def film(path: Path, step: int) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            picture = np.full((48, 64, 3), 120 + step * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A folder, videos in it, and a data set of them with verbs and nouns."""
    folder = tmp_path_factory.mktemp("predict")
    videos = [film(folder / f"{k}.mp4", step) for k, step in enumerate((9, -9, 6, -6))]
    segments = tuple(
        Segment(str(path), str(path), split=split, labels={"verb": k % 2, "noun": k // 2})
        for k, path in enumerate(videos)
        for split in ("train",)
    )
    segments += tuple(replace(s, id=f"{s.id}-val", split="val") for s in segments)
    classes = {"verb": ("rise", "fall"), "noun": ("sun", "moon", "star")}
    dataset = Dataset("sky", {str(v): Media(v) for v in videos}, segments, classes)
    return folder, videos, dataset


EXTRACT = ExtractConfig(weights="random", frames=4, size=32, batch_size=4, device="cpu")


@pytest.fixture(scope="module")
def trained(sky):
    """A run on verbs and nouns, its store and its videos."""
    folder, videos, dataset = sky
    store = Path(run(replace(EXTRACT, out=folder / "features"), dataset).store)
    fitted = fit_head(
        FitConfig(
            head="lstm",
            store=store,
            trainer=TrainerConfig(epochs=2, device="cpu"),
            out=folder / "run",
        )
    )
    return fitted.path, store, videos


@pytest.fixture(scope="module")
def second(sky):
    """A store of the same videos by other weights, of other frames."""
    folder, _, dataset = sky
    config = replace(EXTRACT, out=folder / "more", weights="random:1", frames=3)
    return Path(run(config, dataset).store)


def agree(seen, path, names):
    """Check predictions against those that the run's evaluation left of the same videos."""
    assert seen.failures == {}
    logits = np.load(path / "predictions.npz")
    ids = logits["ids"].tolist()
    for prediction in seen.predictions:
        expected = torch.tensor(logits["logits_verb"][ids.index(f"{prediction.video}-val")])
        probabilities = dict(zip(names, expected.softmax(0).tolist(), strict=True))
        for guess in prediction.targets["verb"]:
            assert guess.probability == pytest.approx(probabilities[guess.name], abs=1e-3)


def test_predictions_are_the_heads_on_the_stores_features(trained):
    path, store, videos = trained
    names = open_store(store).classes["verb"]
    agree(predict(path, videos, device="cpu", top=2), path, names)


@pytest.mark.parametrize("fuse", ["features", "logits"])
def test_a_run_on_several_stores_sees_with_each_backbone(trained, second, sky, fuse):
    folder, videos, dataset = sky
    path = folder / f"fused-{fuse}"
    stores = (trained[1], second)
    trainer = TrainerConfig(epochs=2, device="cpu")
    fit_head(FitConfig(head="lstm", store=stores, fuse=fuse, trainer=trainer, out=path))
    names = dataset.classes["verb"]
    agree(predict(path, videos, device="cpu", top=2), path, names)
    given = ("random:0", "random:1")
    agree(predict(path, videos[:1], weights=given, device="cpu", top=2), path, names)
    seen = predict(path, [videos[0], folder / "gone.mp4"], device="cpu")
    assert [p.video for p in seen.predictions] == [str(videos[0])]
    assert list(seen.failures) == [str(folder / "gone.mp4")]
    with pytest.raises(RequestError, match="2 stores and 3 weights are named: give `weights`"):
        predict(path, videos, weights=[*given, *given[:1]], device="cpu")
    with pytest.raises(WeightsError, match="name the right file with `weights`"):
        predict(path, videos, weights="random:1", device="cpu")


def test_actions_are_the_likeliest_pairs(trained):
    path, _, videos = trained
    (prediction,) = predict(path, videos[:1], device="cpu", top=6).predictions
    actions = prediction.targets["action"]
    assert len(actions) == 6
    assert sum(guess.probability for guess in actions) == pytest.approx(1, abs=1e-2)
    best = [prediction.targets[target][0].name for target in ("verb", "noun")]
    assert actions[0].name == " ".join(best)


def test_a_bad_video_is_a_failure_beside_the_good_ones(trained, tmp_path):
    path, _, videos = trained
    seen = predict(path, [videos[0], tmp_path / "gone.mp4"], device="cpu")
    assert [p.video for p in seen.predictions] == [str(videos[0])]
    assert "gone.mp4" in seen.failures[str(tmp_path / "gone.mp4")]
    assert seen.lines()[-1].startswith(f"{tmp_path / 'gone.mp4'} does not exist: ")


def test_other_weights_than_the_runs_are_refused(trained):
    path, _, videos = trained
    with pytest.raises(WeightsError, match="name the right file with `weights`"):
        predict(path, videos, weights="random:5", device="cpu")
