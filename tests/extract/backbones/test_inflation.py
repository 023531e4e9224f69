"""Image weights in video networks: a still clip gives the image network's answer."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import googlenet, resnet50

from egofeat.errors import WeightsError
from egofeat.extract.backbones import load


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


def test_weights_of_another_depth_are_refused(tmp_path):
    save_file(resnet50().state_dict(), tmp_path / "image.safetensors")
    with pytest.raises(WeightsError, match="not the weights of i3d:"):
        load("i3d", weights=tmp_path / "image.safetensors")
