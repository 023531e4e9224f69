"""Image networks against torchvision's own, filled with the same weights."""

import re

import numpy as np
import pytest
import torch
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.functional import normalize

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones import load
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.torchvision.images import FAMILY, family_of
from egofeat.extract.weights import at_hand

# Folding a batch norm reorders float32 sums.
RELATIVE = 1e-4
# A plain one, gates and depthwise, norms before convolutions, channel shuffles, no linear layer.
CONVOLUTIONAL = (
    "resnet18",
    "mobilenet_v3_small",
    "densenet121",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "mnasnet0_5",
    "regnet_y_400mf",
)


def reference(name: str, **options: object) -> torch.nn.Module:
    """Torchvision's model in eval mode; its norms have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = get_model(name, **options).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.3, 0.9)
                torch.nn.init.normal_(module.bias, std=0.1)
    return model


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= RELATIVE * theirs.abs().max()


@pytest.mark.parametrize("name", FAMILY)
def test_the_spec_says_what_torchvision_says(name):
    spec, build = FAMILY[name]
    official = get_model_weights(name).DEFAULT
    record = spec.weights[0]
    assert record.url == official.url
    assert record.file.endswith(f"-{record.sha256}.pth")
    assert record.accuracy == official.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert [record.resize] == official.transforms().resize_size
    assert [spec.size] == official.transforms().crop_size
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        assert spec.parameters == sum(p.numel() for p in get_model(name, **options).parameters())
    assert multiply_adds(spec, build) / 1e9 == pytest.approx(official.meta["_ops"], abs=1e-3)


def test_every_tap_of_resnet50_equals_torchvisions():
    theirs, batch = reference("resnet50"), noise(2, 3, 64, 96)
    spec, build = FAMILY["resnet50"]
    ours = build(spec.taps, theirs.state_dict(), 0)(batch)
    with torch.inference_mode():
        hidden = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(batch))))
        assert_close(ours["stem"], hidden)
        for number in range(1, 5):
            hidden = theirs.get_submodule(f"layer{number}")(hidden)
            assert_close(ours[f"stage{number}"], hidden)
        assert_close(ours["gap"], hidden.mean((2, 3)))
        assert_close(ours["logits"], theirs(batch))
    assert torch.equal(ours["map"], ours["stage4"])


@pytest.mark.parametrize("auxiliary", [True, False])
def test_inception_v3_equals_torchvisions_on_its_own_preprocessing(auxiliary):
    """Torchvision's weights undo its normalisation in the network; ours are normalised for it."""
    official = get_model_weights("inception_v3").DEFAULT.transforms()
    theirs = reference(
        "inception_v3", transform_input=True, aux_logits=auxiliary, init_weights=False
    )
    spec, build = FAMILY["inception_v3"]
    picture = torch.rand(2, 3, 75, 107, generator=torch.Generator().manual_seed(1))
    ours = build(spec.taps, theirs.state_dict(), 0)(normalize(picture, spec.mean, spec.std))
    nodes = {"maxpool1": "stem", "maxpool2": "middle", "avgpool": "pooled", "fc": "logits"}
    nodes |= {f"Mixed_{tap[6:]}": tap for tap in spec.taps if tap.startswith("mixed")}
    with torch.inference_mode():
        outputs = create_feature_extractor(theirs, nodes, suppress_diff_warning=True).eval()(
            normalize(picture, official.mean, official.std)
        )
    for tap in nodes.values():
        if tap != "pooled":
            assert_close(ours[tap], outputs[tap])
    assert_close(ours["map"], outputs["mixed_7c"])
    assert_close(ours["gap"], outputs["pooled"].flatten(1))


@pytest.mark.parametrize("name", FAMILY)
def test_a_backbone_with_random_weights(name):
    backbone = load(name, "random:2", FAMILY[name][0].taps)
    for tap, output in backbone(noise(2, 3, 96, 96)).items():
        assert 0.01 < output.std() < 100, tap
        assert tuple(output.shape[1:]) == backbone.tap_shapes(96)[tap]
    short = load(name, "random:2", ["stem"])
    assert sum(p.numel() for p in short.module.parameters()) < 1e5


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_node_equals_torchvisions(name):
    """Also what is read twice: a tapped convolution is not folded, nothing is overwritten."""
    spec, build = family_of(name)
    theirs, batch = reference(name), noise(2, 3, 64, 64)
    ours = build(spec.taps, theirs.state_dict(), 0)(batch)
    assert tuple(ours) == spec.taps
    for module in theirs.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    nodes = set(build.__self__.taps.values())
    with torch.inference_mode():
        logits = theirs(batch)
        seen = create_feature_extractor(theirs, sorted(nodes), suppress_diff_warning=True)(batch)
    assert_close(ours["logits"], logits)
    for tap, node in build.__self__.taps.items():
        # Torchvision's DenseNet writes the last activation over the last norm.
        if tap != "gap" and node != "features.norm5":
            assert_close(ours[tap], seen[node])
    assert ours["gap"].ndim == 2
    if name != "squeezenet1_1":
        with torch.inference_mode():
            classifier = theirs.get_submodule(build.__self__.classifier)
            assert_close(classifier(ours["gap"]), logits)


@pytest.mark.parametrize("taps", [("map",), ("gap",), ("logits",), ("layer2", "layer1.0.bn1")])
def test_a_few_taps_alone_are_folded_and_the_same(taps):
    _, build = family_of("resnet18")
    theirs, batch = reference("resnet18"), noise(1, 3, 64, 64)
    few = build(taps, theirs.state_dict(), 0)
    for tap, output in build(family_of("resnet18")[0].taps, theirs.state_dict(), 0)(batch).items():
        if tap in taps:
            assert_close(few(batch)[tap], output)
    assert not [m for m in few.modules() if isinstance(m, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t"])
def test_a_transformer_equals_torchvisions(name):
    spec, build = family_of(name)
    theirs, batch = reference(name), noise(1, 3, 224, 224)
    taps = ("gap", "logits") if name == "vit_b_32" else ("map", "gap", "logits")
    assert ("map" in spec.taps) == ("map" in taps)
    classifier = theirs.get_submodule(build.__self__.classifier)
    torch.nn.init.normal_(classifier.weight)
    with torch.inference_mode():
        ours = build(taps, theirs.state_dict(), 0)(batch)
        assert_close(ours["logits"], theirs(batch))
        assert_close(classifier(ours["gap"]), ours["logits"])
    if "map" in taps:
        assert_close(ours["map"].mean((2, 3)), ours["gap"])


def test_googlenet_takes_weights_with_and_without_what_only_training_needs():
    spec, build = family_of("googlenet")
    official = get_model_weights("googlenet").DEFAULT.transforms()
    theirs = reference("googlenet", transform_input=True, init_weights=False, aux_logits=True)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    state = theirs.state_dict()
    without = {key: tensor for key, tensor in state.items() if not key.startswith("aux")}
    with torch.inference_mode():
        logits = theirs(normalize(picture, official.mean, official.std))
        for given in (state, without):
            ours = build(["logits"], given, 0)(normalize(picture, spec.mean, spec.std))
            assert_close(ours["logits"], logits)


@pytest.mark.parametrize(
    ("name", "layer", "older"),
    [
        ("densenet121", r"(denselayer\d+\.norm|conv)([12])\.", r"\1.\2."),
        (
            "vit_b_32",
            r"\.mlp\.[03]\.",
            lambda m: {"0": ".mlp.linear_1.", "3": ".mlp.linear_2."}[m[0][5]],
        ),
    ],
)
def test_older_names_of_layers_are_known(name, layer, older):
    state = reference(name).state_dict()
    renamed = {re.sub(layer, older, key): tensor for key, tensor in state.items()}
    assert renamed.keys() != state.keys()
    family_of(name)[1](["gap"], renamed, 0)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "vit_b_32"])
def test_random_weights_are_of_a_usual_scale(name):
    first, again = (
        load(f"tv:{name}", "random:4", ["gap", "logits"])(noise(2, 3, 224, 224)) for _ in range(2)
    )
    for tap, output in first.items():
        assert 0.01 < output.std() < 100, tap
        assert torch.equal(output, again[tap])


@pytest.mark.parametrize("name", list_models(module=__import__("torchvision").models))
def test_records_are_well_formed(name):
    """Cheap for all: no network is built."""
    from egofeat.extract.backbones.torchvision.weights import default_of, records

    for record in records(name):
        assert record.url.endswith(record.file)
        assert len(record.sha256) >= 8
        assert record.accuracy is None or 50 < record.accuracy < 90
        assert record.interpolation in ("bilinear-antialias", "bicubic-antialias")
        assert at_hand(record) is None or at_hand(record).name == record.file
    assert records(name)[0].name == default_of(name).name.lower()


@pytest.mark.parametrize("name", ["vit_h_14", "regnet_y_128gf"])
def test_what_is_known_of_a_large_model_costs_no_memory(name):
    spec, build = family_of(name)
    published = get_model_weights(name).DEFAULT.meta
    assert spec.parameters == published["num_params"]
    assert multiply_adds(spec, build) / 1e9 == pytest.approx(published["_ops"], rel=2e-4, abs=1e-3)


def test_a_classifier_may_be_another_or_missing():
    state = reference("resnet18", num_classes=7).state_dict()
    _, build = family_of("resnet18")
    batch = noise(1, 3, 64, 64)
    assert build(["logits"], state, 0)(batch)["logits"].shape == (1, 7)
    del state["fc.weight"], state["fc.bias"]
    assert build(["gap"], state, 0)(batch)["gap"].shape == (1, 512)
    for tap in ("logits", "fc"):  # the classifier's own node, too
        with pytest.raises(WeightsError, match=r"of tv:resnet18 have no classifier \(fc\.weight\)"):
            build([tap], state, 0)
    state["more"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="tv:resnet18: 1 unexpected: more"):
        build(["gap"], state, 0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet51", "no image classifier 'resnet51': choose one as tv:resnet"),
        ("fasterrcnn_resnet50_fpn", "no image classifier"),
        ("r3d_18", "no image classifier"),
        ("quantized_resnet50", "no image classifier"),
        ("zzz", "choose one as tv:resnet18 or"),
    ],
)
def test_what_is_no_image_classifier_is_refused(name, words):
    with pytest.raises(RequestError, match=words):
        family_of(name)


def test_a_size_that_a_network_has_no_room_for_is_refused():
    with pytest.raises(RequestError, match="needs 224 pixels a side, not 192: give `size` 224"):
        family_of("vit_b_32")[1](["conv_proj"], None, 0)(noise(1, 3, 192, 192))
    with pytest.raises(RequestError, match="at least 75 pixels a side, not 64"):
        FAMILY["inception_v3"][1](["stem"], None, 0)(noise(1, 3, 64, 64))


def test_weights_made_for_another_size_are_left_out():
    spec, _ = family_of("vit_b_16")
    assert [record.name for record in spec.weights] == [
        "imagenet1k_v1",
        "imagenet1k_swag_linear_v1",
    ]
    assert "SWAG" in spec.weights[1].licence
    np.testing.assert_allclose(family_of("vgg16")[0].mean, (0.485, 0.456, 0.406))
    assert len(family_of("vgg16")[0].weights) == 1
