"""MobileNetV2 against torchvision's own, with the real ImageNet weights."""

import importlib.util
import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from egofeat.errors import RequestError, WeightsError
from egofeat.extract import transforms
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.backbones.backbone import IMAGENET_MEAN, IMAGENET_STD, Outline
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import find
from egofeat.recipe.transform import as_published, squash

# Folding a batch norm and another memory layout reorder float32 sums; activations reach
# 6 (ReLU6) and the sums of the last convolution about as much again.
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def official():
    """Torchvision's model, eager, with its official weights."""
    model = mobilenet_v2()
    model.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    return model.eval()


@pytest.fixture(scope="module")
def batch():
    return torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= RELATIVE * theirs.abs().max()


def load_state(state, tap):
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, path := Path(folder) / "own.pth")
        return load("mobilenetv2", path, [tap])


def test_every_tap_equals_torchvision(official, batch):
    spec = spec_of("mobilenetv2")
    ours = load("mobilenetv2", taps=spec.taps)(batch)
    assert tuple(ours) == spec.taps
    hidden = batch
    with torch.inference_mode():
        for name, stage in zip(spec.taps, official.features, strict=False):
            hidden = stage(hidden)
            assert_close(ours[name], hidden)
        assert_close(ours["gap"], hidden.mean((2, 3)))
        assert_close(ours["logits"], official(batch))


def test_a_classifier_of_any_classes_is_read_and_one_that_is_absent_is_missed():
    state = mobilenet_v2(num_classes=7).state_dict()
    assert load_state(state, "logits").tap_shapes(64) == {"logits": (7,)}
    trunk = {key: of for key, of in state.items() if not key.startswith("classifier")}
    assert load_state(trunk, "gap").tap_shapes(64) == {"gap": (1280,)}
    with pytest.raises(WeightsError, match=r"no classifier \(classifier\.1\.weight\)"):
        load_state(trunk, "logits")


def test_blocks_are_counted_as_keras_counts_them():
    shapes = load("mobilenetv2", "random", ["block0", "block12", "block16", "map", "gap"])
    assert shapes.tap_shapes(256) == {
        "block0": (16, 128, 128),
        "block12": (96, 16, 16),
        "block16": (320, 8, 8),
        "map": (1280, 8, 8),
        "gap": (1280,),
    }


def test_the_network_stops_at_the_deepest_tap():
    short = load("mobilenetv2", "random", ["block3"])
    assert sum(p.numel() for p in short.module.parameters()) < 60_000


def test_features_do_not_depend_on_their_neighbours():
    backbone = load("mobilenetv2")
    random = torch.Generator().manual_seed(2)
    frames = torch.randn(8, 3, 96, 96, generator=random)
    others = torch.randn(8, 3, 96, 96, generator=random)
    alone = backbone(frames)["gap"]
    others[5] = frames[0]
    assert torch.equal(backbone(others)["gap"][5], alone[0])
    order = torch.randperm(8, generator=random)
    assert torch.equal(backbone(frames[order])["gap"], alone[order])


def test_another_batch_size_changes_only_rounding(batch):
    backbone = load("mobilenetv2")
    whole = backbone(batch)["gap"]
    single = torch.cat([backbone(batch[k : k + 1])["gap"] for k in range(4)])
    assert (whole - single).abs().max() <= 1e-5


def test_bf16_is_near_and_is_not_float32(batch):
    exact = load("mobilenetv2")(batch)["gap"]
    fast = load("mobilenetv2", precision="bf16")(batch)["gap"]
    assert fast.dtype == torch.float32
    error = ((fast - exact).norm() / exact.norm()).item()
    assert 0 < error < 0.05


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_fp16_is_four_times_nearer_than_bf16(batch, device, request):
    """Half precision has three bits more of mantissa, and nothing here leaves its range."""
    if device == "cuda":
        request.getfixturevalue("gpu")
    exact = load("mobilenetv2", device=device)(batch)["gap"]
    half, brain = (
        load("mobilenetv2", device=device, precision=name)(batch)["gap"]
        for name in ("fp16", "bf16")
    )
    assert half.dtype == torch.float32
    assert 0 < 4 * (half - exact).norm() < (brain - exact).norm()
    assert (half - exact).norm() < 0.02 * exact.norm()  # of noise; 0.006 of frames


@pytest.mark.gpu
def test_tf32_is_near_and_is_not_float32(batch, gpu):
    """Operands are rounded to the mantissa of half precision: as near as that."""
    exact, rounded = (
        load("mobilenetv2", device=gpu, precision=name)(batch)["gap"]
        for name in ("float32", "tf32")
    )
    assert 0 < (rounded - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize(
    ("supported", "units", "slower"),
    [(False, False, "twenty"), (True, False, "two to three"), (True, True, None)],
)
def test_a_processor_says_that_it_is_slow_at_what_it_lacks(supported, units, slower, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    for name, has in (("avx512", True), ("avx512_bf16", units), ("amx_tile", False)):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda has=has: has)
    said: list[str] = []
    for name in ("float32", "bf16"):
        load("mobilenetv2", "random", precision=name, note=said.append)
    assert len(said) == (slower is not None)
    for line in said:
        assert "no bf16 arithmetic" in line
        assert f"some {slower} times slower" in line


def test_where_a_network_only_tells_its_shapes_its_device_needs_no_arithmetic():
    planned = load("mobilenetv2", "random", precision="tf32", runs_here=False)
    assert planned.tap_shapes(64) == {"gap": (1280,)}


def test_random_weights_see_what_they_are_shown(batch):
    pooled = load("mobilenetv2", "random")(batch)["gap"].half()
    assert 0.01 < pooled.float().std() < 100
    for one, other in pairwise(pooled):
        assert (one != other).float().mean() > 0.5


def test_random_weights_are_made_from_their_seed(batch):
    first, again, other = (
        load("mobilenetv2", name)(batch)["gap"] for name in ("random:3", "random:3", "random:4")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert load("mobilenetv2", "random").weights == "random:0"


def test_torchvision_preprocessing_is_the_weights_own():
    record = spec_of("mobilenetv2").weights[0]
    ours = as_published(224, record.resize, None)
    frame = np.random.default_rng(0).integers(0, 256, (240, 426, 3), dtype=np.uint8)
    theirs = MobileNet_V2_Weights.IMAGENET1K_V1.transforms(antialias=True)
    expected = theirs(torch.from_numpy(frame).permute(2, 0, 1))
    got = transforms.normalise(ours, transforms.prepare(ours, torch.from_numpy(frame)))[0]
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_squash_keeps_the_whole_frame():
    small = squash(64, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    frame = np.zeros((50, 200, 3), np.uint8)
    frame[:, :100] = 255
    prepared = transforms.prepare(small, torch.from_numpy(frame))
    assert prepared.shape == (1, 64, 64, 3)
    assert (prepared[0, :, :30] == 255).all()
    assert (prepared[0, :, 34:] == 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load("mobilenet"), "no backbone 'mobilenet': .*mobilenetv2"),
        (lambda: load("mobilenetv2", "random", ["blok1"]), "no tap 'blok1': choose from stem"),
        (lambda: load("mobilenetv2", "random", precision="fp8"), "no precision 'fp8'"),
        (
            lambda: load("mobilenetv2", "random", precision="tf32"),
            "`precision` tf32 needs an NVIDIA GPU, .* the device is cpu",
        ),
        (lambda: load("mobilenetv2", "imagenet"), "neither a file nor weights of mobilenetv2"),
        (lambda: transforms.check_size(1), "`size` is 1: give 32 to 2048"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_ones(call, words):
    with pytest.raises(RequestError, match=words):
        call()


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(2)}, path)
    with pytest.raises(
        WeightsError,
        match=r"other\.pth: .*weights of mobilenetv2: 260 missing: .* 1 unexpected: conv",
    ):
        load("mobilenetv2", str(path))


def test_the_golden_numbers_of_torchvision():
    """Made by tests/golden/make_mobilenetv2.py, which knows nothing of egofeat."""
    folder = Path(__file__).parents[2] / "golden"
    golden = json.loads((folder / "mobilenetv2.json").read_text())
    spec = importlib.util.spec_from_file_location("picture", folder / "picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    large = squash(256, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    frame = transforms.prepare(large, torch.from_numpy(module.picture()))
    outputs = load("mobilenetv2", taps=["map", "gap"])(transforms.normalise(large, frame))
    np.testing.assert_allclose(outputs["gap"][0].numpy(), golden["gap"], atol=1e-4)
    np.testing.assert_allclose(outputs["map"][0, :64, 0, 0], golden["map_corner"], atol=1e-4)


@pytest.mark.parametrize(("size", "largest"), [(256, 96 * 128**2), (64, 96 * 32**2)])
def test_the_outline_knows_the_largest_activation(size, largest):
    """The first expansion, at half the size: 16 channels to 96."""
    assert load("mobilenetv2", "random").outline(size).largest == largest


class _Scripted(nn.Module):
    """A network of one's own that is compiled inside."""

    def __init__(self):
        super().__init__()
        self.inner = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))

    def forward(self, images):
        return {"gap": self.inner(images)}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_network_has_an_outline():
    """Of what is inside it nothing is told."""
    own = replace(load("mobilenetv2", "random"), module=_Scripted(), _outlines={})
    assert own.outline(32) == Outline({"gap": (4, 30, 30)}, largest=3 * 32**2)
