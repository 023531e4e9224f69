"""Image weights in video networks: a still clip gives the image network's answer."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import googlenet, resnet50

from egofeat.errors import WeightsError
from egofeat.extract.backbones import BACKBONES, find_backbone, load, spec_of
from egofeat.extract.backbones.variants import S3D, SlowFast


def lively(network):
    """Random weights whose batch norms have measured something."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.4, 0.9)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.running_mean, std=0.1)
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return network.eval()


def still(size, frames):
    image = torch.rand(2, 3, size, size) * 2 - 1
    return image, image.unsqueeze(2).expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("name", ["i3d", "s3d"])
def test_googlenet(name, tmp_path):
    network = lively(googlenet(aux_logits=True, transform_input=False, init_weights=False))
    save_file(network.state_dict(), tmp_path / "image.safetensors")
    if name == "s3d":  # whose pools are padded
        for pool in ("maxpool1", "maxpool2", "maxpool3"):
            setattr(network, pool, nn.MaxPool2d(3, 2, padding=1))
    # Where SAME is symmetric at the first convolution, and an end is padded at each pool.
    image, clip = still(63 if name == "i3d" else 64, 16)
    video = load(name, weights=tmp_path / "image.safetensors", taps=("gap", "logits"))(clip)
    with torch.no_grad():
        logits = network(image)
    assert logits.std() > 1e-2
    assert (video["logits"] - logits).abs().max() < 2e-5 * logits.abs().max()


@pytest.mark.parametrize(
    "name", ["slow_8x8_r50", "i3d_8x8_r50", "i3d_nln_8x8_r50", "slowfast_8x8_r50"]
)
def test_resnet50(name, tmp_path):
    network = lively(resnet50())
    save_file(network.state_dict(), tmp_path / "image.safetensors")
    image, clip = still(64, 8)
    tap = "slow" if name.startswith("slowfast") else "gap"
    video = load(name, weights=tmp_path / "image.safetensors", taps=(tap, "logits"))(clip)
    with torch.no_grad():
        logits = network(image)
        network.fc = nn.Identity()
        features = network(image)
    for found, wanted in ((video[tap], features), (video["logits"], logits)):
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_what_is_no_network_of_torchvision():
    with pytest.raises(
        WeightsError, match=r"no image classifier 'googelnet'.*torchvision:googlenet"
    ):
        load("i3d", weights="torchvision:googelnet")


@pytest.mark.parametrize(
    ("name", "image", "told"),
    [
        (
            "i3d",
            "resnet50",
            "does not take the weights of resnet50: give torchvision:googlenet",
        ),
        ("s3d_v3", "googlenet", "give torchvision:inception_v3, or other weights"),
        ("slow_8x8_r50", "resnet101", "give torchvision:resnet50, or other weights"),
        ("slowfast_8x8_r101", "resnet50", "give torchvision:resnet101, or other weights"),
        ("r2plus1d_18", "resnet18", "does not take the weights of resnet18: give other weights"),
        ("mobilenetv2", "resnet18", "give torchvision:mobilenet_v2"),
        ("tv:resnet18", "resnet50", "give torchvision:resnet18"),
        (
            SlowFast(depth=101, pathways="slow").name,
            "resnet50",
            r"variant:\S+ does .*resnet101",
        ),
        (SlowFast(pathways="fast").name, "resnet50", "give other weights"),
    ],
)
def test_an_image_network_that_does_not_fit_is_told_before_its_download(
    name, image, told, monkeypatch
):
    monkeypatch.setattr("egofeat.extract.weights.find", lambda *_: pytest.fail("it is fetched"))
    with pytest.raises(WeightsError, match=told):
        load(name, weights=f"torchvision:{image}")


def test_those_that_fit_are_those_of_the_table(monkeypatch):
    """`docs/backbones.md` has it."""
    grew = {name: BACKBONES[name][0].grew_from for name in BACKBONES.own}
    assert {name for name, of in grew.items() if of == ("googlenet",)} == {
        *("i3d", "s3d", "s3d_v1_top_heavy")
    }
    assert {name for name, of in grew.items() if of == ("resnet101",)} == {
        name for name in grew if name.endswith(("r101", "r101_ava"))
    }
    assert find_backbone(SlowFast(depth=101).name)[0].grew_from == ("resnet101",)
    assert find_backbone(S3D(inception="v3", sevens="two").name)[0].grew_from == ("inception_v3",)
    assert spec_of("tv:resnet18").grew_from == ("resnet18",)


def test_weights_of_another_depth_are_refused(tmp_path):
    save_file(resnet50().state_dict(), tmp_path / "image.safetensors")
    with pytest.raises(WeightsError, match="not the weights of i3d:"):
        load("i3d", weights=tmp_path / "image.safetensors")
