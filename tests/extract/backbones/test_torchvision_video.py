"""Clip networks against torchvision's own, filled with the same weights."""

import re

import numpy as np
import pytest
import torch
from torchvision.models import get_model, get_model_weights

from egofeat.errors import WeightsError
from egofeat.extract.backbones import load
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.torchvision.video import FAMILY

# Folding a batch norm reorders float32 sums.
RELATIVE = 1e-4
RESNETS = ("r2plus1d_18", "r3d_18", "mc3_18")


def reference(name: str, **options: int) -> torch.nn.Module:
    """Torchvision's model in eval mode; its norms have seen something, its branches are damped."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = get_model(name, **options).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.3, 0.9)
                torch.nn.init.normal_(module.bias, std=0.1)
            elif isinstance(module, torch.nn.Conv3d):
                torch.nn.init.kaiming_normal_(module.weight)
    return model


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def remembered(model: torch.nn.Module, names: list[str]) -> dict[str, torch.Tensor]:
    """A dict that fills with what the named modules give."""
    seen: dict[str, torch.Tensor] = {}
    for name in names:
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out.clone()}))
    return seen


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= RELATIVE * theirs.abs().max()


@pytest.mark.parametrize("name", FAMILY)
def test_the_spec_says_what_torchvision_says(name):
    spec, _ = FAMILY[name]
    official = get_model_weights(name).DEFAULT
    preset, record = official.transforms(), spec.weights[0]
    with torch.device("meta"):
        assert spec.parameters == sum(p.numel() for p in get_model(name).parameters())
    assert record.url == official.url
    assert re.search(rf"-{record.sha256}\.pth$", record.url)
    assert record.accuracy == official.meta["_metrics"]["Kinetics-400"]["acc@1"]
    assert list(record.resize) == preset.resize_size
    assert [spec.size] * 2 == preset.crop_size
    assert record.interpolation == "bilinear", "torchvision shrinks videos without a filter"
    np.testing.assert_allclose((*spec.mean, *spec.std), (*preset.mean, *preset.std))
    assert f"frame_rate={spec.clip.fps:g}" in official.meta["_docs"]
    assert f"clip_len={spec.clip.frames}`" in official.meta["_docs"]
    assert f"clips_per_video={record.views[0]}" in official.meta["_docs"]


@pytest.mark.parametrize("name", RESNETS)
def test_the_cost_is_the_published_one(name):
    spec, build = FAMILY[name]
    published = get_model_weights(name).DEFAULT.meta["_ops"]
    assert multiply_adds(spec, build) / 1e9 == pytest.approx(published, abs=1e-3)
    assert spec.weights[0].multiply_adds == published
    assert multiply_adds(spec, build, ["stage1"]) < multiply_adds(spec, build, ["stage2"])


def test_the_cost_of_s3d_is_that_of_128_frames():
    """Torchvision publishes 17.979 G, which is that of 16."""
    spec, build = FAMILY["s3d"]
    assert multiply_adds(spec, build) / 1e9 == pytest.approx(8 * 17.979, rel=2e-4)
    assert spec.weights[0].multiply_adds is None


@pytest.mark.parametrize("name", RESNETS)
def test_every_tap_of_a_residual_network_equals_torchvisions(name):
    theirs = reference(name)
    spec, build = FAMILY[name]
    network = build(spec.taps, theirs.state_dict(), 0)
    layers = ["stem", "layer1", "layer2", "layer3", "layer4"]
    seen = remembered(theirs, layers)
    for shape in ((2, 3, 4, 48, 64), (1, 3, 1, 33, 33)):
        clip = noise(*shape)
        ours = network(clip)
        assert tuple(ours) == spec.taps
        with torch.inference_mode():
            assert_close(ours["logits"], theirs(clip))
        for tap, layer in zip(spec.taps, layers, strict=False):
            assert_close(ours[tap], seen[layer])
        assert torch.equal(ours["map"], ours["stage4"])
        assert_close(ours["gap"], seen["layer4"].mean((2, 3, 4)))


def test_s3d_equals_torchvisions_where_its_windows_overlap():
    """A 3 × 7 × 8 map has 2 × 1 × 2 windows."""
    theirs, clip = reference("s3d"), noise(1, 3, 22, 224, 256)
    _, build = FAMILY["s3d"]
    ours = build(["map", "gap", "logits"], theirs.state_dict(), 0)(clip)
    with torch.inference_mode():
        hidden = theirs.features(clip)
        assert hidden.shape == (1, 1024, 3, 7, 8)
        assert_close(ours["map"], hidden)
        windows = theirs.avgpool(hidden)
        assert_close(ours["gap"], windows.mean((2, 3, 4)))
        assert_close(ours["logits"], theirs.classifier(windows).mean((2, 3, 4)))
    assert (ours["gap"] - hidden.mean((2, 3, 4))).abs().max() > 1e-3 * ours["gap"].abs().max()


def test_every_stage_of_s3d_equals_torchvisions():
    theirs, clip = reference("s3d"), noise(2, 3, 14, 64, 64)
    spec, build = FAMILY["s3d"]
    ours = build(spec.taps, theirs.state_dict(), 0)(clip)
    hidden, stages = clip, list(spec.taps)
    with torch.inference_mode():
        for module in theirs.features:
            hidden = module(hidden)
            if not isinstance(module, torch.nn.MaxPool3d):
                assert_close(ours[stages.pop(0)], hidden)
    assert stages == ["map", "gap", "logits"]
    assert_close(ours["gap"], hidden.mean((2, 3, 4)))


@pytest.mark.parametrize("name", FAMILY)
def test_a_backbone_with_random_weights(name):
    spec, _ = FAMILY[name]
    frames = max(4, spec.clip.fewest)
    backbone = load(name, "random:2", spec.taps)
    outputs = backbone(noise(1, 3, frames, 64, 64))
    for tap, output in outputs.items():
        assert 0.01 < output.std() < 100, tap
        assert tuple(output.shape[1:]) == backbone.tap_shapes(64, frames)[tap]
    width = 1024 if name == "s3d" else 512
    assert outputs["gap"].shape == (1, width)
    assert outputs["map"].shape[2] == width, "time comes before channels"


def test_the_network_stops_at_the_deepest_tap():
    _, build = FAMILY["r3d_18"]
    short, gap = build(["stage1"], None, 0), build(["gap"], None, 0)
    assert sum(p.numel() for p in short.parameters()) < 1e6
    assert not [name for name, _ in gap.named_parameters() if name.startswith("classifier")]


@pytest.mark.parametrize(("name", "classifier"), [("s3d", "classifier.1"), ("mc3_18", "fc")])
def test_a_classifier_may_be_another_or_missing(name, classifier):
    state = reference(name, num_classes=7).state_dict()
    _, build = FAMILY[name]
    clip = noise(1, 3, 14, 32, 32)
    assert build(["logits"], state, 0)(clip)["logits"].shape == (1, 7)
    for part in ("weight", "bias"):
        del state[f"{classifier}.{part}"]
    assert build(["gap"], state, 0)(clip)["gap"].ndim == 2
    with pytest.raises(WeightsError, match=rf"{name} have no classifier \({classifier}"):
        build(["logits"], state, 0)


def test_weights_of_another_network_are_refused():
    _, build = FAMILY["r3d_18"]
    with pytest.raises(WeightsError, match=r"not the weights of r3d_18: .*misshapen: layer2"):
        build(["gap"], reference("mc3_18").state_dict(), 0)
