"""Heads by name: their size, their shapes, and what they refuse."""

from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field
from torch import nn

from egofeat.errors import RequestError
from egofeat.heads import HEADS, build_head, head_options
from egofeat.heads.convlstm import SameConv2d
from egofeat.heads.head import Head
from egofeat.heads.stam import BETWEEN
from egofeat.heads.step_layers import StepConv


def trainable(head: nn.Module) -> int:
    return sum(p.numel() for p in head.parameters() if p.requires_grad)


VERBS, BOTH = {"verb": 13}, {"verb": 97, "noun": 300}


@pytest.mark.parametrize(
    ("name", "shape", "classes", "preset", "options", "parameters"),
    [
        ("lstm", (20, 1280), VERBS, "seed", {}, 266_963),
        ("convlstm", (20, 96, 16, 16), VERBS, "seed", {}, 446_909),
        ("conv1d", (20, 1280), BOTH, "seed", {}, 85_137),
        # 4·(8·1280·16 + 8·8·16 + 8) of the cell, 2·8 of the norm, 13·(8 + 1) of the classifier.
        ("convlstm", (20, 1280, 8, 8), VERBS, "seed-strided", {}, 659_621),
        # 4,256,200 of the cell, the report's 4.2 M.
        ("convlstm", (20, 1280, 8, 8), VERBS, "seed-strided", {"filters": 50}, 4_256_963),
        ("flow_attention", (20, 1281, 8, 8), BOTH, "seed", {}, 399_309),
        ("flow_attention", (20, 1281, 8, 8), BOTH, "seed-flow", {}, 417_677),
        ("flow_attention", (20, 1281, 8, 8), {"verb": 13, "noun": 21}, "seed-flow", {}, 370_850),
        # One wide level: 100·(20·1280 + 1), 2·100 of its norm, 397·(100 + 1).
        ("conv1d", (20, 1280), BOTH, "seed", {"blocks": 0}, 2_600_397),
        # Two blocks of kernel 4 take 12 steps and leave 8: 10·(4·1280 + 1) + 3·10·(4·10 + 1),
        # 4·2·10 of norms, 100·(8·10 + 1), 2·100, 397·(100 + 1).
        ("conv1d", (20, 1280), BOTH, "seed", {"blocks": 2, "kernel": 4}, 100_917),
    ],
)
def test_presets_have_the_published_number_of_parameters(
    name, shape, classes, preset, options, parameters
):
    assert trainable(build_head(name, shape, classes, preset, **options)) == parameters


@pytest.mark.parametrize("name", [name for name in HEADS if name != "tail"])
@pytest.mark.parametrize("frames", [1, 2, 7, 20])
def test_any_number_of_frames_gives_logits_of_every_target(name, frames):
    head = build_head(name, (frames, 6, 3, 3), {"verb": 4, "a.b": 2, "type": 3})
    logits = head(torch.randn(5, frames, 6, 3, 3))
    assert {target: tuple(values.shape) for target, values in logits.items()} == {
        "verb": (5, 4),
        "a.b": (5, 2),
        "type": (5, 3),
    }


@pytest.mark.parametrize("name", ["lstm", "conv1d", "linear"])
def test_a_vector_head_pools_maps_over_space(name):
    torch.manual_seed(0)
    on_maps = build_head(name, (4, 6, 3, 3), {"verb": 4}).eval()
    maps = torch.randn(5, 4, 6, 3, 3)
    assert torch.allclose(on_maps(maps)["verb"], on_maps(maps.mean(dim=(3, 4)))["verb"], atol=1e-6)


def test_linear_does_not_see_order():
    head = build_head("linear", (6, 5), {"verb": 3}).eval()
    features = torch.randn(2, 6, 5)
    shuffled = features[:, torch.randperm(6)]
    assert torch.allclose(head(features)["verb"], head(shuffled)["verb"], atol=1e-6)


def test_the_second_bias_of_the_lstm_stays_at_zero():
    head = build_head("lstm", (3, 4), {"verb": 2}, hidden=5, layers=2)
    optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=1.0)
    nn.functional.cross_entropy(
        head(torch.randn(4, 3, 4))["verb"], torch.tensor([0, 1, 0, 1])
    ).backward()
    optimizer.step()
    assert not head.lstm.bias_hh_l0.any()
    assert not head.lstm.bias_hh_l1.any()
    assert head.lstm.bias_ih_l0.any()


def test_convlstm_on_one_pixel_equals_an_lstm():
    """On a 1×1 map a 1×1 ConvLSTM is an LSTM; PyTorch orders the gates i, f, g, o as we do."""
    torch.manual_seed(0)
    head = build_head("convlstm", (6, 4, 1, 1), {"verb": 2}, filters=3, kernel=1)
    reference = nn.LSTM(4, 3, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(head.convlstm.of_input.weight.flatten(1))
        reference.weight_hh_l0.copy_(head.convlstm.of_state.weight.flatten(1))
        reference.bias_ih_l0.copy_(head.convlstm.of_input.bias)
        reference.bias_hh_l0.zero_()
    features = torch.randn(2, 6, 4)
    expected, _ = reference(features)
    got = head.convlstm(features[..., None, None]).flatten(1)
    assert torch.allclose(got, expected[:, -1], atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("sides", [(8, 8), (5, 7), (2, 3)])
def test_a_convolution_pads_what_the_last_window_lacks(kernel, stride, sides):
    """Each place read by hand: a map of zeros around the map, half a lack before it."""
    torch.manual_seed(0)
    own = SameConv2d(2, 3, kernel, stride)
    maps = torch.randn(1, 2, *sides)
    places = [-(-side // stride) for side in sides]
    lacks = [
        max((count - 1) * stride + kernel - side, 0)
        for count, side in zip(places, sides, strict=True)
    ]
    room = torch.zeros(1, 2, *(side + 2 * kernel for side in sides))
    room[:, :, kernel : kernel + sides[0], kernel : kernel + sides[1]] = maps
    expected = torch.empty(1, 3, *places)
    for y in range(places[0]):
        for x in range(places[1]):
            top, left = (
                kernel + place * stride - lack // 2
                for place, lack in zip((y, x), lacks, strict=True)
            )
            window = room[0, :, top : top + kernel, left : left + kernel]
            expected[0, :, y, x] = (own.weight * window).sum(dim=(1, 2, 3)) + own.bias
    assert torch.allclose(own(maps), expected, atol=1e-5)


def test_an_odd_convolution_of_stride_one_has_the_bits_of_before():
    torch.manual_seed(0)
    own = SameConv2d(6, 5, 3)
    plain = nn.Conv2d(6, 5, 3, padding="same")
    plain.load_state_dict(own.state_dict())
    maps = torch.randn(4, 6, 8, 8)
    assert torch.equal(own(maps), plain(maps))


def test_the_strided_convlstm_keeps_the_best_of_normalised_places():
    torch.manual_seed(0)
    head = build_head("convlstm", (3, 6, 8, 8), {"verb": 2}, "seed-strided").eval()
    with torch.no_grad():
        head.norm.weight.copy_(torch.linspace(-1, 1, 8))  # a norm that turns some filters round
    maps = torch.randn(2, 3, 6, 8, 8)
    last = head.convlstm(maps)
    assert last.shape == (2, 8, 2, 2)
    assert torch.equal(head.embed(maps), head.norm(last).amax(dim=(2, 3)))


STRIDED = {"kernel": 4, "stride": 4, "pool": "max"}


@pytest.mark.parametrize(
    ("name", "preset", "options"),
    [
        ("convlstm", None, {"kernel": 2}),
        ("convlstm", None, STRIDED),
        ("convlstm", "seed-strided", {}),
        ("conv1d", None, {"kernel": 4, "blocks": 1}),
        ("conv1d", None, {"blocks": 0}),
        ("conv1d", "seed", {"blocks": 0}),
        ("conv1d", "seed", {"blocks": 1, "kernel": 6}),
        ("flow_attention", "seed-flow", {}),
        ("flow_attention", None, {"weights": "curved", "kernel": 2}),
        *(("stam", None, {"between": name, "depth": 2}) for name in BETWEEN),
    ],
)
def test_a_step_of_training_reaches_every_weight(name, preset, options):
    torch.manual_seed(0)
    head = build_head(name, (20, 6, 8, 8), {"verb": 3}, preset, **options)
    maps, labels = torch.randn(6, 20, 6, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(2):  # STAM's scores begin at zero, and pass nothing down before they have moved
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(maps)["verb"], labels).backward()
        optimizer.step()
    lacking = [name for name, of in head.named_parameters() if of.grad is None or not of.grad.any()]
    # A softmax does not see what all scores have in common, nor a norm what all rows have: what
    # such a bias gets is rounding, or nothing.
    before_norms = [f"{one}.bias" for one, of in head.named_modules() if isinstance(of, StepConv)]
    assert all(
        (name == "stam" and one.endswith(".score.3.bias")) or one in before_norms for one in lacking
    )
    again = build_head(name, (20, 6, 8, 8), {"verb": 3}, preset, **options).eval()
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(maps)["verb"], head.eval()(maps)["verb"])


def test_options_come_as_words_too_and_win_over_the_preset():
    assert trainable(build_head("linear", (2, 5), {"verb": 3}, dropout="0.25")) == 18
    assert build_head("linear", (2, 5), {"verb": 3}, dropout="0.25").dropout.p == 0.25
    assert build_head("lstm", (2, 5), {"verb": 3}, "seed", hidden="8").norm.num_features == 8
    plain = build_head("convlstm", (2, 5, 2, 2), {"verb": 3}, norm="false")
    assert isinstance(plain.norm, nn.Identity)
    assert head_options("lstm", "seed")["hidden"] == 50
    assert head_options("lstm")["hidden"] == 256


@pytest.mark.parametrize(
    ("name", "shape", "preset", "options", "says"),
    [
        ("gru", (20, 8), None, {}, "no head 'gru'.*lstm, convlstm, conv1d, linear"),
        ("lstm", (20, 8), "sead", {}, "no preset 'sead'.*seed"),
        ("linear", (20, 8), "seed", {}, "preset 'seed' has no head 'linear'"),
        ("lstm", (20, 8), None, {"hiden": 3}, "no option 'hiden'.*hidden, layers, summary"),
        ("lstm", (20, 8), None, {"hidden": "many"}, r"hidden of head 'lstm' .* valid integer"),
        ("lstm", (20, 8), None, {"hidden": 2.5}, r"hidden .* cannot be 2\.5: .* valid integer"),
        ("lstm", (20, 8), None, {"hidden": 0}, r"hidden .* cannot be 0: .* equal to 1"),
        ("lstm", (20, 8), None, {"dropout": 1.0}, r"dropout .* cannot be 1\.0: .* less than 1"),
        ("lstm", (20, 8), None, {"dropout": "nan"}, r"dropout .* cannot be 'nan'"),
        ("logistic", (20, 8), None, {"l2": 1e39}, r"l2 .* cannot be 1e\+39: .* equal to 10{9}"),
        ("knn", (20, 8), None, {"temperature": 1e-50}, r"temperature .* cannot be 1e-50"),
        ("lstm", (20, 8), None, {"hidden": "none"}, r"hidden .* cannot be 'none'"),
        ("lstm", (20, 8), None, {"summary": "first"}, "summary .* should be 'last' or 'mean'"),
        ("convlstm", (20, 8, 2, 2), None, {"norm": "maybe"}, "norm .* cannot be 'maybe'"),
        ("convlstm", (20, 8, 2, 2), None, {"stride": 0}, "stride .* equal to 1"),
        ("convlstm", (20, 8, 2, 2), None, {"pool": "min"}, "pool .* should be 'mean' or 'max'"),
        ("conv1d", (20, 8), None, {"blocks": -1}, "blocks .* equal to 0"),
        ("conv1d", (20, 8), "seed", {"kernel": 4}, "4 blocks .* kernel 4 leave none of 20 frames"),
        ("convlstm", (20, 8), None, {}, "needs feature maps.*`tap` map or `tap` block12"),
        ("conv1d", (16, 8), "seed", {}, "20 frames.*has 16.*`frames` 20"),
    ],
)
def test_a_wrong_request_is_one_sentence_with_the_mend(name, shape, preset, options, says):
    with pytest.raises(RequestError, match=says):
        build_head(name, shape, {"verb": 3}, preset, **options)


class ToyHead(Head):
    """A head of somebody's own, whose options are like nobody else's."""

    def __init__(
        self,
        feature_shape,
        classes,
        *,
        temperature: Annotated[float, Field(gt=0, le=100)] = 20.0,
        kernel: Annotated[int, Field(ge=2, multiple_of=2)] = 4,
        order: Literal["rising", "falling"] = "rising",
        centred: bool = False,
        steps: int | None = None,
    ) -> None:
        super().__init__(feature_shape[1], classes, 0.0)
        self.made_with = (temperature, kernel, order, centred, steps)

    def embed(self, features):
        return features.mean(dim=1)


@pytest.fixture
def toy(monkeypatch):
    """One file, and one line in the registry."""
    monkeypatch.setitem(HEADS.own, "toy", ToyHead)
    return lambda **options: build_head("toy", (4, 6), {"verb": 3}, **options).made_with


def test_a_head_declares_its_own_options(toy):
    assert toy() == (20.0, 4, "rising", False, None)
    words = {"temperature": "1.5", "kernel": "6", "order": "falling", "centred": "true"}
    assert toy(**words, steps="8") == (1.5, 6, "falling", True, 8)
    assert toy(steps="none") == toy(steps=None) == toy()
    assert head_options("toy") == {
        "temperature": 20.0,
        "kernel": 4,
        "order": "rising",
        "centred": False,
        "steps": None,
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": "0"}, "temperature of head 'toy' cannot be '0': .* greater than 0"),
        ({"temperature": 101}, "less than or equal to 100"),
        ({"kernel": 3}, "multiple of 2"),
        ({"order": "level"}, "'rising' or 'falling'"),
        ({"centred": 0.5}, "boolean"),
        ({"steps": "few"}, "steps of head 'toy' cannot be 'few': .* integer"),
        ({"dropout": 0.5}, "no option 'dropout': it knows temperature, kernel, order"),
    ],
)
def test_a_head_is_held_to_its_own_bounds(toy, options, says):
    with pytest.raises(RequestError, match=says):
        toy(**options)
