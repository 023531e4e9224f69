"""Blocks above a tap: they go on where the frozen, folded network stopped."""

import pytest
import torch

from egofeat.errors import RequestError
from egofeat.extract.backbones import load
from egofeat.extract.backbones.cutting import Above, above, whole
from egofeat.extract.weights import ChosenWeights

RANDOM = ChosenWeights(identity="random:3", seed=3)


@pytest.mark.parametrize(
    ("name", "tap", "frames", "size"),
    [
        ("i3d", "Mixed_4f", 16, 64),
        ("s3d", "mixed_4f", 16, 64),
        ("s3d_v1_top_heavy", "Mixed_4b", 8, 64),
        ("i3d_nln_8x8_r50", "stage4", 8, 64),
        ("r2plus1d_18", "stage3", 4, 32),
        ("resnet50", "stem", 1, 64),
        ("inception_v3", "mixed_6e", 1, 96),
    ],
)
def test_what_a_tap_gives_goes_on_to_the_features_of_the_network(name, tap, frames, size):
    frozen = load(name, weights="random:3", taps=(tap, "gap", "logits"))
    clip = torch.randn(2, 3, frames, size, size)
    outputs = frozen(clip if frozen.spec.clip else clip[:, :, 0])
    maps = outputs[tap].transpose(1, 2) if frozen.spec.clip else outputs[tap]
    chain = whole(name, RANDOM)
    chain.network.eval()
    with torch.no_grad():
        features = Above(chain, tap, name)(maps)
        logits = chain.classify(features)
    for found, wanted in ((features, outputs["gap"]), (logits, outputs["logits"])):
        assert (found - wanted).abs().max() < 2e-5 * wanted.abs().max()


def test_blocks_are_those_of_the_whole_network_and_fresh_ones_of_their_kind():
    chain = whole("slow_4x16_r50", RANDOM)
    cut = Above(chain, "stage4", "slow_4x16_r50")
    with torch.no_grad():
        next(cut.parameters()).fill_(7)
    assert any((tensor == 7).all() for tensor in chain.network.state_dict().values())
    torch.manual_seed(0)
    fresh, spec = above("slow_4x16_r50", "stage4")
    assert spec.name == "slow_4x16_r50"
    assert fresh.width == 2048
    shapes = {name: tensor.shape for name, tensor in fresh.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in cut.state_dict().items()}
    assert all(tensor.isfinite().all() for tensor in fresh.state_dict().values())


@pytest.mark.parametrize(
    ("name", "tap", "sentence"),
    [
        ("i3d", "gap", "i3d has no blocks above 'gap' .* stem, .*Mixed_5b"),
        ("i3d", "map", "i3d has no blocks above 'map'"),
        ("slowfast_4x16_r50", "slow_stage4", "slowfast_4x16_r50 cannot be cut at a tap"),
        ("tv:resnet18", "layer3", "tv:resnet18 cannot be cut at a tap"),
    ],
)
def test_where_there_is_nothing_to_train(name, tap, sentence):
    with pytest.raises(RequestError, match=sentence):
        above(name, tap)
