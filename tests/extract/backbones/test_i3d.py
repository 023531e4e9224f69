"""I3D against a plain restatement of the paper, and on real video with its Kinetics weights."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, resize

from egofeat.errors import WeightsError
from egofeat.extract.backbones import load
from egofeat.extract.backbones.inception import i3d
from egofeat.extract.backbones.precision import keep_biases_apart
from egofeat.extract.video import open_video
from egofeat.segments import Media

# Folding batch norms reorders float32 sums; errors are relative to the largest value.
RELATIVE = 2e-5

GAP = [
    0.24075042,
    0.09560265,
    0.06537191,
    0.38438433,
    0.06018986,
    0.00999951,
    0.96274316,
    0.10574710,
]
LOGITS = [-0.15948886, 14.616556, 16.633503, 13.939960, 4.6663480, 17.314709, -1.7613845, 3.6083231]
GAP_NORM, LOGITS_NORM = 23.0517, 200.1827

REAL = "weights/i3d_rgb_kinetics400.pth"


@pytest.fixture(scope="module")
def real_state(real_data):
    return torch.load(real_data / REAL, weights_only=True)


def made_state(classes=400, channels=3):
    """Weights that keep activations at their scale, and batch norms that are not the identity."""
    random = torch.Generator().manual_seed(4)
    state = i3d.make_i3d(classes, channels).state_dict()
    for key, tensor in state.items():
        drawn = torch.randn(tensor.shape, generator=random)
        if tensor.ndim == 5:
            state[key] = drawn * (2 / tensor[0].numel()) ** 0.5
        elif key.endswith(("running_var", "bn.weight")):
            state[key] = 1 + 0.2 * drawn.clamp(-2, 2)
        elif tensor.ndim == 1:
            state[key] = 0.1 * drawn
    return state


def made_clip(frames=19, size=224):
    t, y, x = torch.meshgrid(
        torch.arange(frames), torch.arange(size), torch.arange(size), indexing="ij"
    )
    waves = [
        torch.sin((x + 3 * t) / (9 + c)) * torch.cos((y - 2 * t) / (7 + 2 * c)) for c in (0, 1, 2)
    ]
    return torch.stack(waves)[None]


def naive(state, clip, window):
    """The network told again, function by function, its padding written out."""
    outputs = {}

    def padded(x, kernel, stride):
        pads = []
        for size, k, s in zip(
            reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True
        ):
            total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads)

    def unit(x, name, stride=1):
        weight = state[f"{name}.conv3d.weight"]
        x = F.conv3d(padded(x, weight.shape[2:], (stride,) * 3), weight, stride=stride)
        mean, var, scale, shift = (
            state[f"{name}.bn.{part}"][None, :, None, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-3).sqrt() * scale + shift).clamp(min=0)

    def pool(x, kernel, stride):
        return F.max_pool3d(padded(x, kernel, stride), kernel, stride)

    def block(x, name):
        return torch.cat(
            [
                unit(x, f"{name}.b0"),
                unit(unit(x, f"{name}.b1a"), f"{name}.b1b"),
                unit(unit(x, f"{name}.b2a"), f"{name}.b2b"),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"),
            ],
            dim=1,
        )

    x = outputs["stem"] = unit(clip, "Conv3d_1a_7x7", 2)
    x = outputs["MaxPool3d_2a_3x3"] = pool(x, (1, 3, 3), (1, 2, 2))
    x = outputs["Conv3d_2b_1x1"] = unit(x, "Conv3d_2b_1x1")
    x = outputs["Conv3d_2c_3x3"] = unit(x, "Conv3d_2c_3x3")
    x = outputs["MaxPool3d_3a_3x3"] = pool(x, (1, 3, 3), (1, 2, 2))
    for name in ("Mixed_3b", "Mixed_3c"):
        x = outputs[name] = block(x, name)
    x = outputs["MaxPool3d_4a_3x3"] = pool(x, (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = outputs[f"Mixed_4{letter}"] = block(x, f"Mixed_4{letter}")
    x = outputs["MaxPool3d_5a_2x2"] = pool(x, (2, 2, 2), (2, 2, 2))
    x = outputs["Mixed_5b"] = block(x, "Mixed_5b")
    x = outputs["map"] = block(x, "Mixed_5c")
    pooled = F.avg_pool3d(x, (2, *window), stride=1)
    outputs["gap"] = pooled.mean((2, 3, 4))
    logits = F.conv3d(pooled, state["logits.conv3d.weight"], state["logits.conv3d.bias"])
    outputs["logits"] = logits.mean((2, 3, 4))
    return outputs


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= RELATIVE * theirs.abs().max()


@given(size=st.integers(1, 300), kernel=st.integers(1, 7), stride=st.integers(1, 3))
def test_same_padding_is_tensorflows(size, kernel, stride):
    before, after = i3d.same_padding(size, kernel, stride)
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    assert before + after == total
    assert after - before in (0, 1)
    assert (size + total - kernel) // stride + 1 >= -(-size // stride)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    kernel=st.tuples(*[st.integers(1, 4)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
)
def test_a_padded_operator_starts_where_tensorflow_does(sizes, kernel, stride):
    x = torch.rand(1, 1, *sizes)
    pads = [i3d.same_padding(*axis) for axis in zip(sizes, kernel, stride, strict=True)]
    explicit = [pad for axis in reversed(pads) for pad in axis]
    conv = i3d.SameConv3d(1, 1, kernel, stride)
    expected = F.conv3d(F.pad(x, explicit), conv.weight, conv.bias, stride)
    torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=0)
    # Values above zero: zeros beyond the border can never be the greatest.
    expected = F.max_pool3d(F.pad(x, explicit), kernel, stride)
    assert torch.equal(i3d.SamePool3d(kernel, stride)(x), expected)
    assert expected.shape[2:] == tuple(-(-n // s) for n, s in zip(sizes, stride, strict=True))


@pytest.mark.parametrize(("frames", "height", "width"), [(9, 49, 66), (18, 32, 47)])
def test_every_tap_equals_the_restatement(frames, height, width):
    state = made_state()
    clip = torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(1))
    spec, build = i3d.FAMILY["i3d"]
    with torch.inference_mode():
        ours = build(spec.taps, state, 0)(clip)
        theirs = naive(state, clip, window=[-(-height // 32), -(-width // 32)])
    assert tuple(ours) == spec.taps == tuple(theirs)
    for tap in spec.taps:
        assert_close(ours[tap], theirs[tap])
    steps = ours["map"].shape[2]
    plain = torch.allclose(ours["gap"], ours["map"].mean((2, 3, 4)), rtol=1e-3)
    assert plain is (steps == 2)


def test_optical_flow_has_two_channels():
    state = made_state(channels=2)
    clip = torch.randn(1, 2, 10, 32, 32, generator=torch.Generator().manual_seed(2))
    spec, build = i3d.FAMILY["i3d_flow"]
    with torch.inference_mode():
        ours = build(["logits"], state, 0)(clip)
        assert_close(ours["logits"], naive(state, clip, window=(1, 1))["logits"])
    assert spec.channels == 2


@pytest.mark.parametrize("name", ["i3d", "i3d_flow"])
def test_parameters_are_counted(name):
    spec, _ = i3d.FAMILY[name]
    network = i3d.make_i3d(channels=spec.channels)
    assert sum(p.numel() for p in network.parameters()) == spec.parameters


def test_tap_shapes_of_a_published_view():
    taps = ["stem", "Mixed_3c", "Mixed_4f", "map", "gap", "logits"]
    assert load("i3d", "random", taps).tap_shapes(224, 64) == {
        "stem": (32, 64, 112, 112),
        "Mixed_3c": (32, 480, 28, 28),
        "Mixed_4f": (16, 832, 14, 14),
        "map": (8, 1024, 7, 7),
        "gap": (1024,),
        "logits": (400,),
    }


def test_the_network_stops_at_the_deepest_tap():
    short = load("i3d", "random", ["Mixed_3b"])
    assert sum(p.numel() for p in short.module.parameters()) < 800_000
    assert all(not p.requires_grad for p in short.module.parameters())


@pytest.mark.parametrize("name", ["i3d", "i3d_flow"])
def test_random_weights_are_of_a_usual_scale(name):
    spec, _ = i3d.FAMILY[name]
    clip = torch.randn(1, spec.channels, 9, 48, 48, generator=torch.Generator().manual_seed(3))
    first, again, other = (
        load(name, weights, spec.taps)(clip) for weights in ("random", "random:0", "random:1")
    )
    for tap in spec.taps:
        assert 0.01 < first[tap].std() < 100, tap
    assert torch.equal(first["gap"], again["gap"])
    assert not torch.equal(first["gap"], other["gap"])


def test_bf16_is_near():
    clip = torch.randn(1, 3, 9, 48, 48, generator=torch.Generator().manual_seed(3))
    exact = load("i3d", "random", ["logits"])(clip)["logits"]
    fast = load("i3d", "random", ["logits"], precision="bf16")(clip)["logits"]
    assert 0 < (fast - exact).norm() / exact.norm() < 0.05


def test_a_classifier_of_any_size_and_none():
    _, build = i3d.FAMILY["i3d"]
    clip = torch.zeros(1, 3, 9, 32, 32)
    state = made_state(classes=7)
    assert build(["logits"], state, 0)(clip)["logits"].shape == (1, 7)
    trunk = {key: tensor for key, tensor in state.items() if not key.startswith("logits.")}
    assert torch.equal(build(["gap"], trunk, 0)(clip)["gap"], build(["gap"], state, 0)(clip)["gap"])
    with pytest.raises(WeightsError, match=r"of i3d have no classifier \(logits\.conv3d\.weight\)"):
        build(["gap", "logits"], trunk, 0)


def test_wrong_keys_are_listed():
    state = made_state()
    del state["Mixed_4c.b2a.conv3d.weight"]
    state["end_points.x"] = torch.zeros(1)
    state["Mixed_3b.b0.bn.bias"] = torch.zeros(3)
    expected = (
        r"weights of i3d: 1 missing: Mixed_4c\.b2a\.conv3d\.weight; 1 unexpected: end_points\.x; "
        r"1 misshapen: Mixed_3b\.b0\.bn\.bias \[3\] in place of \[64\]"
    )
    with pytest.raises(WeightsError, match=expected):
        i3d.FAMILY["i3d"][1](["stem"], state, 0)


def test_a_converted_file_is_not_to_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EGOFEAT_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"nobody hosts i3d_rgb_kinetics400\.pth: put that file"):
        load("i3d", "kinetics400")


@pytest.mark.real_data
def test_the_real_weights_have_every_parameter(real_state):
    trained = [t for key, t in real_state.items() if not re.search("running_|num_batches", key)]
    assert sum(tensor.numel() for tensor in trained) == i3d.I3D.parameters


@pytest.mark.real_data
def test_the_real_weights_are_known_by_their_digest(real_data):
    backbone = load("i3d", str(real_data / REAL))
    assert backbone.published is not None
    assert (backbone.published.name, backbone.published.accuracy) == ("kinetics400", 68.4)


@pytest.mark.real_data
def test_the_numbers_of_another_implementation(real_data):
    """Printed by pytorch-i3d (piergiaj) with the same weights on the same made clip."""
    outputs = load("i3d", str(real_data / REAL), ["gap", "logits"])(made_clip())
    gap, logits = outputs["gap"][0], outputs["logits"][0]
    np.testing.assert_allclose(gap[:8], GAP, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logits[:8], LOGITS, rtol=1e-4, atol=1e-5)
    assert gap.norm().item() == pytest.approx(GAP_NORM, rel=1e-5)
    assert logits.norm().item() == pytest.approx(LOGITS_NORM, rel=1e-5)


@pytest.mark.real_data
def test_a_pancake_is_flipped(real_data):
    spec = i3d.I3D
    with open_video(Media(real_data / "data/clips/decord/flipping_a_pancake.mkv")) as video:
        start = video.stop / 2 - spec.clip.frames / spec.clip.fps / 2
        wanted = start + np.arange(spec.clip.frames) / spec.clip.fps
        shown = np.searchsorted(video.times, wanted, side="right") - 1
        frames_TCHW = torch.from_numpy(video.frames(shown)).permute(0, 3, 1, 2)
    resized = resize(frames_TCHW.float(), [spec.short_side], antialias=True)
    clip = (center_crop(resized, [spec.size]) / 127.5 - 1).transpose(0, 1)[None]
    assert clip.shape == (1, 3, 64, 224, 224)
    logits = load("i3d", str(real_data / REAL), ["logits"])(clip)["logits"][0]
    labels = (real_data / "weights/kinetics400_labels.txt").read_text().splitlines()
    assert labels[logits.argmax()] == "flipping pancake"
    assert logits.softmax(0).max() > 0.99


def no_bias(monkeypatch) -> None:
    """Refuse 3-D convolutions that are given one."""
    convolve = F.conv3d

    def check(values, weight, bias=None, *rest, **more):
        assert bias is None
        return convolve(values, weight, bias, *rest, **more)

    monkeypatch.setattr(F, "conv3d", check)


@pytest.mark.parametrize("name", ["i3d", "slow_8x8_r50"])
def test_biases_that_are_kept_apart_change_only_rounding(name, monkeypatch):
    clips = torch.randn(1, 3, 16, 64, 64, generator=torch.Generator().manual_seed(1))
    backbone = load(name, "random")
    (expected,) = backbone(clips).values()
    assert any(isinstance(one, torch.nn.Conv3d) for one in backbone.module.modules())
    no_bias(monkeypatch)
    with pytest.raises(AssertionError):
        backbone(clips)
    keep_biases_apart(backbone.module)
    (apart,) = backbone(clips).values()
    assert (apart - expected).norm() < 1e-5 * expected.norm()
    assert backbone.tap_shapes(64, 16)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["i3d", "s3d", "slowfast_8x8_r50", "r2plus1d_18"])
@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.02), ("bf16", 0.1)])
def test_a_gpu_gives_half_precision_near_float32(name, precision, most, monkeypatch, gpu):
    clips = torch.randn(2, 3, 32, 112, 112, generator=torch.Generator().manual_seed(1))
    exact = load(name, "random", (), gpu)(clips)
    no_bias(monkeypatch)
    half = load(name, "random", (), gpu, precision)(clips)
    for tap, right in exact.items():
        assert 0 < (half[tap] - right).norm() < most * right.norm()
