"""The S3D networks against the image networks they grow from: a still clip is an image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.models import googlenet, inception_v3

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones import load
from egofeat.extract.backbones.inception import s3d_v1, s3d_v3
from egofeat.extract.backbones.inception.separable import AveragePool

FAMILY = {**s3d_v3.FAMILY, **s3d_v1.FAMILY}

# Folding batch norms reorders float32 sums, through some 60 layers; relative to the largest.
RELATIVE = 5e-5

SMALLEST = {"s3d_v3": (49, 64), "s3d_v3_top_heavy": (49, 64), "s3d_v1_top_heavy": (3, 33)}
"""(frames, pixels) of small inputs."""


def fill(module):
    """Weights that keep activations at their scale, and batch norms that are not the identity."""
    random = torch.Generator().manual_seed(5)
    state = module.state_dict()
    for key, tensor in state.items():
        drawn = torch.randn(tensor.shape, generator=random)
        if tensor.ndim > 1:
            state[key] = drawn * (2 / tensor[0].numel()) ** 0.5
        elif key.endswith(("running_var", "bn.weight")):
            state[key] = 1 + 0.2 * drawn.clamp(-2, 2)
        elif tensor.ndim == 1:
            state[key] = 0.1 * drawn
    module.load_state_dict(state)
    return module.eval()


def image_network(name):
    """(torchvision's network, tap to the name of its module)."""
    options = {"weights": None, "aux_logits": True, "init_weights": False, "num_classes": 11}
    if name == "s3d_v1_top_heavy":
        network = googlenet(**options)
        layers = ["conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b"]
        layers += ["maxpool3", *(f"inception4{k}" for k in "abcde"), "maxpool4"]
        layers += ["inception5a", "inception5b"]
    else:
        network = inception_v3(**options)
        layers = [key for key, _ in network.named_children() if key not in ("AuxLogits", "fc")][:18]
        # Table 1 pads where Inception-v3 does not: 224 pixels become 112.
        for layer in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3"):
            network.get_submodule(layer).conv.padding = (1, 1)
        network.maxpool1.padding = network.maxpool2.padding = 1
    taps = FAMILY[name][0].taps
    return fill(network), dict(zip(taps, [*layers, "avgpool", "fc"], strict=True))


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [
        ("s3d_v3", 49, 97),
        ("s3d_v3_top_heavy", 50, 64),
        ("s3d_v1_top_heavy", 16, 96),
        ("s3d_v1_top_heavy", 5, 57),
    ],
)
def test_a_still_clip_has_the_features_of_the_image(name, frames, size):
    network, modules = image_network(name)
    seen = {}
    for tap, path in modules.items():
        network.get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output, tap=tap: seen.update({tap: output})
        )
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(6))
    spec, build = FAMILY[name]
    with torch.inference_mode():
        network(images)
        clips = images[:, :, None].expand(-1, -1, frames, -1, -1)
        ours = build(spec.taps, network.state_dict(), 0)(clips)
    assert tuple(ours) == spec.taps
    for tap in spec.taps:
        theirs = seen[tap].flatten(1) if tap == "gap" else seen[tap]
        expected = theirs if theirs.ndim == 2 else theirs[:, :, None].expand_as(ours[tap])
        assert ours[tap].shape == expected.shape, tap
        assert (ours[tap] - expected).abs().max() <= RELATIVE * theirs.abs().max(), tap


@pytest.mark.parametrize("name", ["s3d_v3", "s3d_v3_top_heavy"])
def test_table_1(name):
    taps = ["stem", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"]
    taps += ["Mixed_6a", "Mixed_7a", "map", "gap", "logits"]
    assert load(name, "random", taps).tap_shapes(224, 64) == {
        "stem": (32, 32, 112, 112),
        "Conv2d_2b_3x3": (32, 64, 112, 112),
        "maxpool1": (16, 64, 56, 56),
        "Conv2d_3b_1x1": (16, 80, 56, 56),
        "Conv2d_4a_3x3": (16, 192, 56, 56),
        "maxpool2": (8, 192, 28, 28),
        "Mixed_6a": (3, 768, 13, 13),
        "Mixed_7a": (1, 1280, 6, 6),
        "map": (1, 2048, 6, 6),
        "gap": (2048,),
        "logits": (400,),
    }


def test_shapes_of_inception_v1_are_those_of_i3d():
    taps = ["stem", "Mixed_3c", "Mixed_4f", "map", "gap"]
    assert load("s3d_v1_top_heavy", "random", taps).tap_shapes(224, 64) == {
        "stem": (32, 64, 112, 112),
        "Mixed_3c": (32, 480, 28, 28),
        "Mixed_4f": (16, 832, 14, 14),
        "map": (8, 1024, 7, 7),
        "gap": (1024,),
    }


@pytest.mark.parametrize(
    ("make", "flat_layers", "parameters"),
    [
        (s3d_v3.make_s3d_v3, 0, s3d_v3.S3D_V3.parameters),
        (s3d_v3.make_s3d_v3, s3d_v3.TOP_HEAVY, s3d_v3.S3D_V3_TOP_HEAVY.parameters),
        (s3d_v1.make_s3d_v1, s3d_v1.TOP_HEAVY, s3d_v1.S3D_V1_TOP_HEAVY.parameters),
        (s3d_v1.make_s3d_v1, 0, 8_320_048),  # torchvision's S3D, temporal throughout
    ],
)
def test_parameters_are_counted(make, flat_layers, parameters):
    with torch.device("meta"):
        network = make(flat_layers=flat_layers)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("name", ["s3d_v3_top_heavy", "s3d_v1_top_heavy"])
def test_top_heavy_looks_along_time_only_after_layer_9(name):
    make = s3d_v3.make_s3d_v3 if name == "s3d_v3_top_heavy" else s3d_v1.make_s3d_v1
    with torch.device("meta"):
        layers = list(make(flat_layers=9).children())[:-2]
    spans = [
        {module.kernel_size[0] for module in layer.modules() if isinstance(module, torch.nn.Conv3d)}
        for layer in layers
    ]
    assert all(found <= {1} for found in spans[:9])
    assert max(spans[9]) > 1
    assert max(max(found, default=1) for found in spans) == (7 if "v3" in name else 3)


@pytest.mark.parametrize("name", FAMILY)
def test_random_weights_are_of_a_usual_scale(name):
    spec = FAMILY[name][0]
    frames, size = SMALLEST[name]
    clip = torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(7))
    first, other = (load(name, weights, spec.taps)(clip) for weights in ("random", "random:1"))
    for tap in spec.taps:
        assert 0.01 < first[tap].std() < 100, tap
    assert not torch.equal(first["gap"], other["gap"])


@pytest.mark.parametrize("name", ["s3d_v3_top_heavy", "s3d_v1_top_heavy"])
def test_bf16_is_near(name):
    frames, size = SMALLEST[name]
    clip = torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(7))
    exact, fast = (
        load(name, "random", ["logits"], precision=precision)(clip)["logits"]
        for precision in ("float32", "bf16")
    )
    assert 0 < (fast - exact).norm() / exact.norm() < 0.1


@pytest.mark.parametrize("name", FAMILY)
def test_the_order_of_frames_matters(name):
    clip = torch.randn(1, 3, 49, 64, 64, generator=torch.Generator().manual_seed(7))
    backbone = load(name, "random")
    forwards, backwards = backbone(clip)["gap"], backbone(clip.flip(2))["gap"]
    assert (forwards - backwards).norm() > 0.01 * forwards.norm()


@pytest.mark.parametrize("name", FAMILY)
def test_the_fewest_frames_are_enough_and_fewer_are_not(name):
    fewest = FAMILY[name][0].clip.fewest
    backbone = load(name, "random")
    assert backbone.tap_shapes(96, fewest)["gap"] == (2048 if "v3" in name else 1024,)
    with pytest.raises(RuntimeError):
        backbone.tap_shapes(96, fewest - 1)


@pytest.mark.parametrize("name", ["s3d_v3", "s3d_v3_top_heavy"])
def test_too_few_pixels_are_refused(name):
    backbone = load(name, "random")
    assert backbone.tap_shapes(49, 49) == {"gap": (2048,)}
    with pytest.raises(RequestError, match="at least 49 pixels a side, not 48"):
        backbone.tap_shapes(48, 49)


@pytest.mark.parametrize("name", FAMILY)
def test_a_trained_network_comes_back_folded(name):
    flat = 0 if name == "s3d_v3" else 9
    make = s3d_v1.make_s3d_v1 if "v1" in name else s3d_v3.make_s3d_v3
    trained = fill(make(num_classes=5, flat_layers=flat))
    frames, size = SMALLEST[name]
    clip = torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(8))
    spec, build = FAMILY[name]
    with torch.inference_mode():
        expected = trained(clip)
        logits = build(["logits"], trained.state_dict(), 0)(clip)["logits"]
    assert logits.shape == (2, 5)
    assert (logits - expected).abs().max() <= RELATIVE * expected.abs().max()
    drawn = torch.get_rng_state()
    short = build([spec.taps[0]], trained.state_dict(), 0)
    assert torch.equal(drawn, torch.get_rng_state())  # the caller's numbers stay as they were
    assert sum(1 for _ in short.stages.children()) == 1
    assert not any(p.requires_grad for p in short.parameters())


@pytest.mark.parametrize("name", FAMILY)
def test_weights_of_the_other_image_network_are_refused(name):
    other, _ = image_network("s3d_v3" if "v1" in name else "s3d_v1_top_heavy")
    with pytest.raises(WeightsError, match=rf"weights of {name}: \d+ missing: .* unexpected: "):
        FAMILY[name][1](["gap"], other.state_dict(), 0)


@pytest.mark.parametrize("name", ["s3d_v3", "s3d_v1_top_heavy"])
def test_image_weights_without_a_classifier_still_give_features(name):
    network, _ = image_network(name)
    trunk = {key: t for key, t in network.state_dict().items() if not key.startswith("fc.")}
    spec, build = FAMILY[name]
    build(["gap"], trunk, 0)
    with pytest.raises(WeightsError, match=rf"of {name} have no classifier \(fc\.weight\)"):
        build(["logits"], trunk, 0)
    missing = {key: t for key, t in trunk.items() if not key.startswith(("conv3.", "Mixed_7b."))}
    with pytest.raises(
        WeightsError, match=r"missing: (Conv2d_2c_3x3|Mixed_7b\.branch1x1)\.spatial"
    ):
        build(["gap"], missing, 0)
    assert not spec.weights


@settings(deadline=None, max_examples=30)
@given(frames=st.integers(1, 4), height=st.integers(1, 6), width=st.integers(1, 6))
def test_the_average_pool_keeps_a_still_clip_still(frames, height, width):
    image = torch.randn(1, 2, height, width)
    pooled = AveragePool()(image[:, :, None].expand(-1, -1, frames, -1, -1))
    theirs = F.avg_pool2d(image, 3, stride=1, padding=1)
    torch.testing.assert_close(pooled, theirs[:, :, None].expand_as(pooled))
