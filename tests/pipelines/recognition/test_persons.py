"""Published detection networks on plain videos: layouts proven with random weights."""

import functools
import json

import av
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from egofeat.boxes import Boxes
from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.extract.backbones import find_backbone
from egofeat.extract.backbones.building import damp_branches, seeded
from egofeat.extract.backbones.resnet3d import Bottleneck
from egofeat.extract.backbones.slowfast.network import layers
from egofeat.extract.backbones.slowfast.networks import DESIGNS
from egofeat.extract.backbones.variants import SlowFast
from egofeat.extract.backbones.variants.networks import design_of
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.annotated import seers
from egofeat.pipelines.annotated.annotate import annotate
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.extraction.extract import run as extract
from egofeat.pipelines.extraction.in_memory import PersonFeatures, Watched
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.pipelines.recognition.persons import published_persons
from egofeat.pipelines.recognition.predict import predict
from egofeat.pipelines.training.options import PredictConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_persons, open_store

NAME = "slowfast_32x2_r50_ava"
BOXES = """room,0.5,0.1,0.1,0.5,0.9,,0.95
room,0.5,0.4,0.2,0.9,0.8,,0.9
room,1.5,0.2,0.2,0.6,0.7,,0.99
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a video, boxes, and weights in PySlowFast's layout."""
    folder = tmp_path_factory.mktemp("persons")
    network = seeded(lambda: layers(DESIGNS[NAME], {"projection": 80}), 1)
    damp_branches(network, Bottleneck, "branch2.c_bn")
    torch.save({"model_state": network.state_dict()}, folder / "own.pyth")
    with av.open(str(folder / "room.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(20):
            frame = np.full((64, 96, 3), 40 + 8 * number, np.uint8)
            frame[:, 3 * number : 3 * number + 20] = 255
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    (folder / "boxes.csv").write_text(BOXES)
    return folder


def test_its_own_classifier_tells_what_persons_do(made, monkeypatch):
    small = functools.partial(published_persons, size=64)
    monkeypatch.setattr(seers, "published_persons", small)
    out = made / "seen.mp4"
    asked = AnnotateConfig(
        run=made / "room.mp4",
        backbone=NAME,
        weights=(str(made / "own.pyth"),),
        boxes=made / "boxes.csv",
        out=out,
        threshold=0.0,
        device="cpu",
    )
    seen = annotate(asked)
    assert (seen.moments, seen.persons, seen.labels, seen.frames) == (2, 3, 9, 20)
    published = small(NAME, str(made / "own.pyth"), "cpu")
    assert published.names[11] == "stand"
    boxes = {1.5: Boxes.of([[0.2, 0.2, 0.6, 0.7]], [0.99])}
    with PyavSource(made / "room.mp4") as video, Watched(video) as watched:
        rows, unread = PersonFeatures(published.maker).at(watched, boxes)
    assert not unread
    state = torch.load(made / "own.pyth", weights_only=True)["model_state"]
    weight, bias = (state[f"head.projection.{part}"] for part in ("weight", "bias"))
    features = torch.from_numpy(rows[1.5])
    expected = torch.nn.functional.linear(features, weight, bias)
    assert torch.allclose(published.classify(rows[1.5][:, None]), expected, atol=1e-5)
    with pytest.raises(RequestError, match="it tells what persons in boxes do: `egofeat annotate`"):
        predict(PredictConfig(run=made / "room.mp4", backbone=NAME))
    with pytest.raises(RequestError, match=r"random weights of .* know no action"):
        published_persons(NAME, "random")


def test_videos_without_annotations_have_key_frames_where_there_are_boxes(made, tmp_path):
    """Under the name of the data set, or that of the file."""
    dataset = Dataset(
        "films", {"room.mp4": Media(made / "room.mp4")}, (Segment("room.mp4", "room.mp4"),), {}
    )
    config = ExtractConfig(
        backbone="mobilenetv2",
        weights="random",
        size=64,
        roi=RoiConfig(boxes=str(made / "boxes.csv")),
        out=tmp_path,
        device="cpu",
        workers=1,
    )
    report = extract(config, dataset)
    assert open_persons(report.store).ids.tolist() == ["room_0.5", "room_0.5", "room_1.5"]
    assert set(open_store(report.store).videos.tolist()) == {"room.mp4"}
    with pytest.raises(RequestError, match="give `boxes` that a detector found in its videos"):
        extract(ExtractConfig(roi=RoiConfig(), out=tmp_path, device="cpu"), dataset)


def described(folder, **changes):
    """A description of a detection network as a person would write it, and weights of it."""
    variant = SlowFast(frames=2, stride=16, depth=[1, 1, 1, 1], width=16, detection=True, **changes)
    told = json.loads(variant.name.removeprefix("variant:"))
    (folder / "mine.yaml").write_text(yaml.safe_dump(told))
    network = seeded(lambda: layers(design_of(variant), {"projection": 80}), 2)
    damp_branches(network, Bottleneck, "branch2.c_bn")
    torch.save({"model_state": network.state_dict()}, folder / "mine.pyth")
    return folder / "mine.yaml", folder / "mine.pyth"


@pytest.mark.parametrize(
    "changes", [{}, {"pathways": "slow"}], ids=["two pathways", "the slow one alone"]
)
def test_a_variant_tells_what_persons_do_by_weights_of_its_own(made, tmp_path, changes):
    file, weights = described(tmp_path, **changes)
    words = ["annotate", made / "room.mp4", "--backbone", file, "--boxes", made / "boxes.csv"]
    words += ["--weights", weights, "--threshold=0", "--device=cpu", "--json"]
    told = CliRunner().invoke(app, [*map(str, words), "-o", str(tmp_path / "seen.mp4")])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["labels"] == 9
    assert "does not say how boxes were cut out of its maps" in told.stderr
    network = find_backbone(str(file))[0]
    published = published_persons(network.name, str(weights), "cpu", size=64)
    state = torch.load(weights, weights_only=True)["model_state"]
    rows = np.random.default_rng(0).normal(size=(3, 1, *published.maker.recipe.taps["roi"]))
    expected = rows[:, 0] @ state["head.projection.weight"].numpy().T
    expected += state["head.projection.bias"].numpy()
    assert np.allclose(published.classify(rows), expected, atol=1e-4)
    with pytest.raises(RequestError, match=r"variant:slowfast-\w{8} has no classifier of whole fr"):
        predict(PredictConfig(run=made / "room.mp4", backbone=str(file)))
    with pytest.raises(RequestError, match=r"torchvision:resnet50 weights of variant:\S+ know no"):
        published_persons(network.name, "torchvision:resnet50")
