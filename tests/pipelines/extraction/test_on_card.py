"""Frames that a card decodes stay there until the network has seen them, with a stand-in for it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from tests.card import CARD, OnCard
from torch.nn import functional as F

from egofeat import console, graphs
from egofeat.errors import EgofeatError
from egofeat.extract.batches import filling
from egofeat.extract.extractor import extract
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.extract.video import nvdec_source
from egofeat.pipelines.extraction import extract as extraction
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Clips, Recipe, Transform, Uniform
from egofeat.recipe.motion import Difference, Motion
from egofeat.recipe.transform import squash
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store

PLAIN = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
TRANSFORMS = {
    "squash": squash(48, **PLAIN),
    "crops": Transform("short-side", 56, 48, crops=3, **PLAIN),
    "whole": Transform("whole", 64, 64, **PLAIN),
    "differences": Transform("squash", 48, 48, motion=Motion(Difference(), "float32"), **PLAIN),
}


@dataclass
class Card:
    """What happens on it."""

    sent: int = 0
    """Times that a batch, or a part of it, was sent there."""
    seen: list[torch.device] = field(default_factory=list)
    """Of the batches that the network was given."""


@pytest.fixture
def card(monkeypatch):
    """A card that decodes: the CPU does, and its planes lie there."""
    there, to, arange = Card(), torch.Tensor.to, torch.arange

    def sent(tensor, *words, **options):
        if CARD not in (*words, options.get("device")):
            return to(tensor, *words, **options)
        if isinstance(tensor, OnCard):
            return tensor
        there.sent += tensor.dtype == torch.uint8
        return OnCard(tensor.clone())

    def made(*numbers, device=None):
        values = arange(*numbers)
        return OnCard(values) if device == CARD else values

    def planes(frame):
        if frame.format.name == "yuv444p":
            return None
        found = frame.reformat(format="nv12").planes
        return [OnCard(torch.utils.dlpack.from_dlpack(one.__dlpack__())) for one in found]

    monkeypatch.setattr(torch.Tensor, "to", sent)
    monkeypatch.setattr(torch, "arange", made)
    for name, value in {
        "check_card": lambda: None,
        "current_card": lambda: CARD,
        "accelerator": lambda _: None,
        "planes_of": planes,
        "DECODERS": nvdec_source.Decoders(),
    }.items():
        monkeypatch.setattr(nvdec_source, name, value)
    monkeypatch.setattr(console, "_noted", set())
    return there


@pytest.fixture(scope="module")
def films(encoder, tmp_path_factory):
    """One that a card decodes, one that is turned, and one of a format that it does not decode."""
    folder = tmp_path_factory.mktemp("films")
    options = {"x264-params": "keyint=12:log-level=none"}
    plain = encoder(folder / "plain.mp4", frames=40, options=options)
    turned = encoder(folder / "turned.mp4", frames=40, options=options, turn=90)
    with av.open(str(folder / "other.mkv"), "w") as output, av.open(str(plain)) as given:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv444p"
        for frame in given.decode(video=0):
            output.mux(stream.encode(frame.reformat(format="yuv444p")))
        output.mux(stream.encode(None))
    return {"plain": plain, "turned": turned, "other": folder / "other.mkv"}


def features(films, names, transform, decoder, device, seen, workers=3, batch_size=4):
    """Small pictures of the frames of each view, by segment, as the loop gives them."""

    def network(batch):
        seen.append(batch.device)
        values = batch.inner if isinstance(batch, OnCard) else batch
        frames = values.reshape(len(values), 3, -1, *values.shape[-2:])
        return {"gap": F.adaptive_avg_pool3d(frames.float(), (None, 4, 4)).flatten(1)}

    plan = Clips(2, 4, 2, 25.0) if transform.crops > 1 else Uniform(5)
    recipe = Recipe(
        backbone="means",
        weights="random:0",
        plan=plan,
        transform=transform,
        taps={"gap": (plan.views * transform.crops, 48 * plan.view_frames)},
        dtype="float32",
    )
    backbone = Network(network, device, SimpleNamespace(clip=plan.view_frames > 1 or None))
    memory = Memory("gap")
    task = Task(backbone=backbone, recipe=recipe, sink=memory, batch_size=batch_size)
    segments = [
        Segment(f"{name}{k}", name, 0.4 * k, 0.4 * k + 0.4) for name in names for k in range(4)
    ]
    units = all_units(segments, [64], {name: Media(films[name]) for name in names})
    extract(units, [task], decoder=decoder, workers=workers)
    assert not memory.failures
    return memory.features


@dataclass
class Network:
    """What the loop asks of a backbone."""

    run: Any
    device: torch.device
    spec: Any

    def __call__(self, batch):
        return self.run(batch)


def apart(found, expected):
    assert found.keys() == expected.keys()
    return max(np.abs(found[id_] - expected[id_]).max() for id_ in expected)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_frames_of_a_card_are_never_on_the_host(films, transform, card):
    cpu = torch.device("cpu")
    expected = features(films, ["plain", "turned"], transform, "pyav", cpu, [])
    found = features(films, ["plain", "turned"], transform, "nvdec", CARD, card.seen)
    assert apart(found, expected) <= 3
    assert set(card.seen) == {CARD}
    assert card.sent == 0


def test_frames_that_the_cpu_decoded_nevertheless_are_sent(films, card, capsys):
    cpu, both = torch.device("cpu"), ["other", "plain"]
    transform = TRANSFORMS["squash"]
    expected = features(films, both, transform, "pyav", cpu, [])
    found = features(films, both, transform, "nvdec", CARD, card.seen)
    assert apart(found, expected) <= 3
    assert set(card.seen) == {CARD}
    assert card.sent == 5, "20 views of one film, 4 a batch"
    assert "the CPU decodes such videos" in capsys.readouterr().err


def test_what_the_card_has_no_room_for_waits_on_the_host(films, card, monkeypatch):
    transform, rooms = TRANSFORMS["squash"], [True, False, True, False]

    def new_empty(frame, shape, take=OnCard.new_empty):
        if len(shape) == 6 and not (rooms and rooms.pop()):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return take(frame, shape)

    expected = features(films, ["plain"], transform, "nvdec", CARD, [], workers=1)
    monkeypatch.setattr(OnCard, "new_empty", new_empty)
    monkeypatch.setattr(OnCard, "may_leave", True)
    found = features(films, ["plain"], transform, "nvdec", CARD, card.seen, workers=1)
    assert apart(found, expected) == 0
    assert card.sent == 3, "5 batches, of which 2 had room"


def test_a_card_without_room_for_frames_says_what_to_do(films, card, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(nvdec_source, "to_rgb", full)
    with pytest.raises(EgofeatError, match="has no room left for the frames that it decodes: give"):
        features(films, ["plain"], TRANSFORMS["squash"], "nvdec", CARD, card.seen)


def test_a_network_on_the_cpu_is_given_what_a_card_decoded(films, card, monkeypatch):
    cpu, transform = torch.device("cpu"), TRANSFORMS["squash"]
    expected = features(films, ["plain"], transform, "pyav", cpu, [])
    monkeypatch.setattr(OnCard, "may_leave", True)
    found = features(films, ["plain"], transform, "nvdec", cpu, card.seen)
    assert apart(found, expected) <= 3
    assert set(card.seen) == {cpu}


@pytest.mark.gpu
def test_a_gpu_that_decodes_gives_the_features_of_the_cpu(films, tmp_path, gpu):
    segments = tuple(
        Segment(f"{name}{k}", name, 0.4 * k, 0.4 * k + 0.4) for name in films for k in range(4)
    )
    dataset = Dataset("mine", {name: Media(path) for name, path in films.items()}, segments, {})
    config = ExtractConfig(weights="random", frames=5, size=96, dtype="float32", workers=4)

    def store(name, decoder, device, batch_size):
        asked = {"decoder": decoder, "device": device, "batch_size": batch_size}
        made = extraction.run(
            ExtractConfig(**{**vars(config), "out": tmp_path / name, **asked}), dataset
        )
        return open_store(made.store)

    right = store("cpu", "pyav", "cpu", 8)
    wide, narrow = store("wide", "nvdec", str(gpu), 8), store("narrow", "nvdec", str(gpu), 1)
    for id_ in right.ids:
        np.testing.assert_allclose(wide[id_], right[id_], atol=0.05 * np.abs(right[id_]).max())
        np.testing.assert_allclose(narrow[id_], wide[id_], atol=1e-4)


@pytest.mark.gpu
def test_small_batches_on_a_gpu_stay_right(films, gpu, monkeypatch):
    """Order: what is written by several threads is there when the network reads it."""
    monkeypatch.setattr(filling, "BLOCK_BYTES", 1 << 13)
    monkeypatch.setattr(graphs, "recorder_of", lambda device: None)
    device, transform = torch.zeros(0, device=gpu).device, TRANSFORMS["crops"]
    expected = features(films, ["plain", "turned"], transform, "pyav", torch.device("cpu"), [])
    for _ in range(20):
        found = features(
            films, ["plain", "turned"], transform, "nvdec", device, [], workers=8, batch_size=2
        )
        assert apart(found, expected) <= 4
