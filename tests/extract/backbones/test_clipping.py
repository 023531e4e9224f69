"""A clip within the convolution: the same bits, and a broken network is seen to be broken."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from egofeat.extract.backbones import load, onednn

TAPS = ("stem", "block0", "block5", "map", "gap", "logits")
CLIPS = 35


@pytest.fixture
def backbone():
    return load("mobilenetv2", "random:3", TAPS)


@pytest.fixture(scope="module")
def batch():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def clips(backbone, batch):
    """How often PyTorch clips by itself."""
    with torch.profiler.profile() as profile:
        backbone(batch)
    return sum(event.count for event in profile.key_averages() if event.key == "aten::hardtanh_")


def first_clip(backbone):
    return next(layer for layer in backbone.module.modules() if isinstance(layer, nn.ReLU6))


def test_all_clips_are_within_convolutions_and_give_the_same_bits(backbone, batch):
    ours = backbone(batch)
    assert clips(backbone, batch) == 0
    first_clip(backbone).register_forward_hook(lambda *_: None)
    assert clips(backbone, batch) == CLIPS
    for tap, usual in backbone(batch).items():
        assert torch.equal(ours[tap], usual)


def in_place(weight):
    weight[0] = torch.nan


def by_data(weight):
    weight.data[0] = torch.nan


def infinite(weight):
    weight[0], weight[1] = torch.inf, -torch.inf


def vast(weight):
    """Products of these are infinite in the next layer, and then no numbers."""
    weight.mul_(1e38)


@pytest.mark.parametrize("change", [in_place, by_data, infinite, vast])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_weights_that_were_broken_after_loading_give_what_they_gave(backbone, batch, change, place):
    backbone(batch)
    convolutions = [one for one in backbone.module.modules() if isinstance(one, nn.Conv2d)]
    with torch.no_grad():
        change(convolutions[place].weight)
    assert clips(backbone, batch) == CLIPS
    broken = backbone(batch)
    first_clip(backbone).register_forward_hook(lambda *_: None)
    for tap, usual in backbone(batch).items():
        assert torch.equal(broken[tap].nan_to_num(), usual.nan_to_num())
        assert torch.equal(broken[tap].isnan(), usual.isnan())
    if change in (in_place, by_data):
        assert broken["gap"].isnan().all()


def test_loaded_weights_count(backbone, batch):
    other = load("mobilenetv2", "random:4", TAPS)
    assert not torch.equal(backbone(batch)["gap"], other(batch)["gap"])
    backbone.module.load_state_dict(other.module.state_dict())
    assert torch.equal(backbone(batch)["gap"], other(batch)["gap"])
    assert clips(backbone, batch) == 0


@pytest.mark.parametrize("number", [torch.nan, torch.inf, 1e38])
def test_an_image_that_is_no_number_gives_what_it_gave_and_leaves_others(backbone, batch, number):
    given = batch.clone()
    given[1, :, 5, 5] = number
    ours, alone = backbone(given)["gap"], backbone(batch)["gap"]
    assert torch.equal(ours[[0, 2]], alone[[0, 2]])
    first_clip(backbone).register_forward_hook(lambda *_: None)
    usual = backbone(given)["gap"]
    assert torch.equal(ours.nan_to_num(), usual.nan_to_num())
    assert ours[1].isnan().any() == usual[1].isnan().any() == (number != 1e38)


def test_a_hook_sees_what_is_not_clipped_yet_and_may_change_it(backbone, batch):
    convolution = next(one for one in backbone.module.modules() if isinstance(one, nn.Conv2d))
    seen = []
    hook = convolution.register_forward_hook(lambda *given: seen.append(given[2].clone()))
    backbone(batch)
    assert seen[0].min() < 0
    hook.remove()
    block = backbone.module.stages["block0"]
    block.register_forward_hook(lambda _module, _inputs, output: output * torch.nan)
    assert backbone(batch)["gap"].isnan().all()


def test_a_layer_that_was_put_there_runs(backbone, batch):
    class Broken(nn.Module):
        def forward(self, maps):
            return maps * torch.nan

    backbone.module.stages["block2"].conv.append(Broken())
    assert backbone(batch)["gap"].isnan().all()


def test_a_pytorch_without_the_operation_clips_by_itself(backbone, batch, monkeypatch):
    ours = backbone(batch)["gap"]
    monkeypatch.setattr(onednn, "CONVOLVE", None)
    assert clips(backbone, batch) == CLIPS
    assert (backbone(batch)["gap"] - ours).norm() <= 1e-5 * ours.norm()


def test_threads_share_the_network(backbone, batch):
    batches = [batch + number for number in range(8)]
    one_by_one = [backbone(one)["gap"] for one in batches]
    with ThreadPoolExecutor(4) as pool:
        for alone, ours in zip(one_by_one, pool.map(backbone, batches), strict=True):
            assert torch.equal(alone, ours["gap"])
