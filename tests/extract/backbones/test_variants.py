"""Variants: a description is the network, wherever it stands and however it is written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torchvision.models import inception_v3, resnet50

from egofeat.errors import RequestError, StoreError, WeightsError
from egofeat.extract.backbones import find_backbone, load, spec_of
from egofeat.extract.backbones.building import blank
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.slowfast.networks import DESIGNS
from egofeat.extract.backbones.variants import S3D, SlowFast
from egofeat.extract.backbones.variants.networks import design_of
from egofeat.names import short_name
from egofeat.recipe import Recipe

SHIPPED = Path(__file__).parents[3] / "docs" / "variants"
R101 = {"depth": 101}
FIRST_SIX = {**R101, "temporal_blocks": [3, 4, 6, 3]}
I3D = {
    "pathways": "slow",
    "slow_kernels": [5, 3, [3, 1], [3, 1], [1, 3]],
    "temporal_pool": True,
}
OF_I3D = {"non_local": {"stage3": [1, 3], "stage4": [1, 3, 5]}, "non_local_softmax": True}
OF_R101 = {"non_local": {"stage4": [6, 13, 20]}}
PUBLISHED = {
    "slowfast_8x8_r50": {"lateral_kernel": 7},
    "slowfast_4x16_r50": {"frames": 4, "stride": 16, "alpha": 8},
    "slowfast_8x8_r101": R101,
    "slowfast_16x8_r101": {**FIRST_SIX, "frames": 16},
    "slowfast_nln_16x8_r101": {**FIRST_SIX, "frames": 16, **OF_R101},
    "slowfast_32x2_r50_ava": {"lateral_kernel": 7, "detection": True},
    "slowfast_32x2_r101_ava": {
        **FIRST_SIX,
        **OF_R101,
        "non_local_pool": [2, 2, 2],
        "detection": True,
    },
    "slow_8x8_r50": {"pathways": "slow"},
    "slow_4x16_r50": {"pathways": "slow", "frames": 4, "stride": 16},
    "i3d_8x8_r50": I3D,
    "i3d_nln_8x8_r50": {**I3D, **OF_I3D},
    "i3d_nln_8x8_r101": {**R101, **I3D, **OF_I3D},
}
TINY = {"depth": [1, 1, 1, 1], "width": 8, "frames": 2, "stride": 4, "alpha": 2}
"""Keys of a network that is quick."""


def clip(frames: int, size: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(3))


def test_every_network_of_the_family_can_be_described():
    assert set(PUBLISHED) == set(DESIGNS)
    for name, keys in PUBLISHED.items():
        described = SlowFast(**keys)
        assert design_of(described) == DESIGNS[name], name
        assert replace(spec_of(described.name), name=name) == spec_of(name)


@pytest.mark.parametrize(
    ("name", "variant", "frames"),
    [
        ("slowfast_4x16_r50", SlowFast(**PUBLISHED["slowfast_4x16_r50"]), 8),
        ("slow_4x16_r50", SlowFast(**PUBLISHED["slow_4x16_r50"]), 2),
        ("s3d_v3_top_heavy", S3D(inception="v3", temporal_from="Mixed_5d"), 49),
        ("s3d_v1_top_heavy", S3D(inception="v1", temporal_from="Mixed_4c"), 8),
    ],
)
def test_a_published_network_described_has_its_features_to_the_bit(name, variant, frames):
    taps = [tap for tap in spec_of(name).taps if tap in ("gap", "slow", "fast", "stem", "logits")]
    ours, theirs = (load(one, "random:4", taps) for one in (variant.name, name))
    assert ours.spec.taps == theirs.spec.taps
    assert ours.spec.weights == theirs.spec.weights
    found, right = (network(clip(frames)) for network in (ours, theirs))
    assert all(torch.equal(found[tap], right[tap]) for tap in taps)


def test_weights_of_a_file_and_of_an_image_network_are_taken(tmp_path):
    network = load(SlowFast(**PUBLISHED["slow_4x16_r50"]).name, "random:1")
    state = find_backbone("slow_4x16_r50")[1].unfolded(None, 1, logits=True).state_dict()
    save_file(dict(state), tmp_path / "own.safetensors")
    described = SlowFast(pathways="slow", frames=4, stride=16).name
    again = load(described, tmp_path / "own.safetensors")
    assert torch.equal(network(clip(4))["gap"], again(clip(4))["gap"])
    with pytest.raises(WeightsError, match=r"not the weights of variant:slowfast-[0-9a-f]{8}: "):
        load(SlowFast(pathways="slow", depth=101).name, tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="nobody has published weights of variant"):
        load(SlowFast(alpha=2).name)
    torch.manual_seed(2)
    save_file(dict(resnet50(num_classes=7).state_dict()), tmp_path / "image.safetensors")
    flat = SlowFast(pathways="slow", slow_kernels=[1, 1, 1, 1, 1])
    still = clip(1).expand(-1, -1, 8, -1, -1)
    found, right = (
        load(one, tmp_path / "image.safetensors", ["logits"])(still)["logits"]
        for one in (flat.name, "slow_8x8_r50")
    )
    assert found.shape == (2, 7)
    assert (found - right).abs().max() < 1e-5 * right.abs().max()


# Parameters: PyTorchVideo's and VMZ's model zoos, torchvision's record of s3d. Multiply-adds:
# Feichtenhofer et al., 2019, Tables 2 and 5c, at 256 pixels; they round to 0.1 G.
@pytest.mark.parametrize(
    ("variant", "millions", "giga"),
    [
        (SlowFast(**PUBLISHED["slowfast_4x16_r50"]), 34.48, 36.1),
        (SlowFast(**PUBLISHED["slowfast_4x16_r50"], beta="1/16"), None, 30.6),
        (SlowFast(**PUBLISHED["slowfast_4x16_r50"], beta="1/32"), None, 28.6),
        (SlowFast(**PUBLISHED["slow_4x16_r50"]), 32.45, 27.3),
        (SlowFast(pathways="slow", slow_kernels=[1] * 5, temporal_pool=True), 24.33, None),
        (SlowFast(**FIRST_SIX, **OF_R101, frames=4, stride=16, alpha=8), 60.08, None),
        (SlowFast(**I3D, **OF_I3D, frames=32, stride=2), 35.401936, None),
        (SlowFast(**R101, **I3D, **OF_I3D, frames=32, stride=2), 59.112656, None),
        (S3D(inception="v1"), 8.320048, None),
        (S3D(inception="v3", temporal_from="none"), 22.61, None),
    ],
)
def test_counts_are_the_published_ones(variant, millions, giga):
    spec, build = find_backbone(variant.name)
    if millions:
        assert spec.parameters / 1e6 == pytest.approx(millions, abs=0.0051)
    if giga:
        assert multiply_adds(spec, build) / 1e9 == pytest.approx(giga, abs=0.06)


def test_pathways_alone_and_unjoined_are_those_of_the_whole():
    whole, apart = SlowFast(**TINY), SlowFast(**TINY, laterals=False)
    fast = SlowFast(**TINY, pathways="fast")
    slow = SlowFast(pathways="slow", **{key: of for key, of in TINY.items() if key != "alpha"})
    state = find_backbone(apart.name)[1].unfolded(None, 5, logits=False).state_dict()
    seen = clip(4)
    taps = find_backbone(apart.name)[1](["slow", "fast"], state, 0)(seen)
    ends = seen[:, :, [0, 3]]  # T of the α T frames, from the first to the last
    for other, prefix, tap, batch in ((slow, 0, "slow", ends), (fast, 1, "fast", seen)):
        trunk = find_backbone(other.name)[1]
        own = {
            key.replace(f"pathway{prefix}", "pathway0"): tensor
            for key, tensor in state.items()
            if f"pathway{prefix}" in key
        }
        assert torch.equal(trunk(["gap"], own, 0)(batch)["gap"], taps[tap])
    assert not any("fuse" in key for key in state)
    assert spec_of(whole.name).taps == spec_of(apart.name).taps
    assert spec_of(fast.name).taps == spec_of("slow_8x8_r50").taps
    assert spec_of(fast.name).clip == replace(spec_of(whole.name).clip, fewest=1, multiple=1)


@pytest.mark.parametrize(
    "first", ["Conv2d_2a_3x3", "Conv2d_4a_3x3", "Mixed_6b", "Mixed_7b", "none"]
)
def test_wherever_time_begins_the_shapes_are_those_of_s3d_v3(first):
    described = S3D(inception="v3", temporal_from=first).name
    taps = spec_of("s3d_v3").taps
    with torch.no_grad():
        shapes = [
            {tap: of.shape for tap, of in network(clip(64).to("meta")).items()}
            for network in (
                blank(lambda name=name: find_backbone(name)[1](taps, None, 0))
                for name in (described, "s3d_v3")
            )
        ]
    assert shapes[0] == shapes[1]


def test_two_sevens_are_inflated_kernels(tmp_path):
    torch.manual_seed(0)
    network = inception_v3(weights=None, init_weights=False, num_classes=3).eval()
    state = dict(network.state_dict())
    save_file(state, tmp_path / "image.safetensors")
    still = clip(1).expand(-1, -1, 49, -1, -1)
    two, three = (find_backbone(S3D(inception="v3", sevens=of).name)[1] for of in ("two", "three"))
    found, right = (build(["gap"], state, 0)(still)["gap"] for build in (two, three))
    assert (found - right).abs().max() < 5e-5 * right.abs().max()
    shapes = {key: tuple(of.shape[2:]) for key, of in two.make().state_dict().items()}
    first = "Mixed_6b.branch7x7.{}.spatial.conv.weight"
    assert [shapes[first.format(k)] for k in (1, 2)] == [(7, 1, 7), (7, 7, 1)]
    assert not any("Mixed_6b.branch7x7" in key and "temporal" in key for key in shapes)


values = {
    "depth": st.sampled_from([50, 101, 152, [1, 2, 1, 1], [3, 4, 6, 3]]),
    "frames": st.integers(1, 32),
    "stride": st.sampled_from([8, 16, 32]),
    "alpha": st.sampled_from([1, 2, 4, 8]),
    "beta": st.sampled_from(["1/2", "1/4", "1/8", "1/16"]),
    "width": st.sampled_from([16, 32, 64]),
    "lateral_kernel": st.sampled_from([3, 5, 7]),
    "slow_kernels": st.lists(st.sampled_from([1, 3, 5]), min_size=5, max_size=5),
    "fast_kernels": st.lists(st.sampled_from([1, 3, [3, 1]]), min_size=4, max_size=4).map(
        lambda stages: [5, *stages]
    ),
    "detection": st.booleans(),
    "non_local": st.fixed_dictionaries({"stage2": st.sampled_from([[], [0]])}),
}
keys = st.fixed_dictionaries({}, optional=values)


@settings(max_examples=30)
@given(keys, st.randoms(use_true_random=False))
def test_order_comments_and_defaults_change_nothing(tmp_path_factory, keys, chance):
    described = SlowFast(**keys)
    spelled = described.model_dump(mode="json") | {"family": "slowfast"}
    order = list(spelled)
    chance.shuffle(order)
    lines = [f"# {key}\n{yaml.safe_dump({key: spelled[key]})}" for key in order]
    path = tmp_path_factory.mktemp("laws") / "other.yaml"
    path.write_text("".join(lines))
    assert spec_of(str(path)).name == described.name
    assert spec_of(described.name).name == described.name
    inside = json.loads(described.name.removeprefix("variant:"))
    again = SlowFast(**{key: of for key, of in inside.items() if key != "family"})
    assert again == described
    assert design_of(again) == design_of(described)


@settings(max_examples=30)
@given(keys, st.sampled_from(sorted(values)), st.data())
def test_a_changed_value_is_another_network(keys, key, data):
    before = SlowFast(**keys)
    changed = SlowFast(**{**keys, key: data.draw(values[key])})
    same = getattr(before, key) == getattr(changed, key)
    assert (before.name == changed.name) == same
    assert (short_name(before.name) == short_name(changed.name)) == same
    assert (design_of(before) == design_of(changed)) == same


def test_defaults_never_change():
    """The names of stores depend on them: a key may be added, a default not moved."""
    names = {path.stem: short_name(spec_of(str(path)).name) for path in SHIPPED.glob("*.yaml")}
    assert names == {
        "c2d-8x8-r50": "variant:slowfast-3348d064",
        "fast-only-4x16-r50": "variant:slowfast-ae097dab",
        "i3d-8x8-r101": "variant:slowfast-c5d8cd0e",
        "non-local-32x2-r101": "variant:slowfast-6905ca2a",
        "s3d-v3-from-mixed-6b": "variant:s3d-ce46f4b1",
        "s3d-v3-sevens-two": "variant:s3d-19a04588",
        "slow-only-4x16-r50": "variant:slowfast-7c6d174f",
        "slowfast-4x16-r50-unjoined": "variant:slowfast-a44fe469",
        "thesis-slowfast-nl-4x16-r101": "variant:slowfast-38c552c7",
    }
    defaults = SlowFast().model_dump(mode="json")
    assert {k: v for k, v in defaults.items() if k != "non_local"} == {
        **{"pathways": "both", "depth": 50, "frames": 8, "stride": 8, "alpha": 4, "beta": "1/8"},
        **{"width": 64, "laterals": True, "lateral_kernel": 5},
        **{"slow_kernels": [1, 1, 1, 3, 3], "fast_kernels": [5, 3, 3, 3, 3]},
        **{"temporal_blocks": None, "temporal_pool": False},
        **{"non_local_pool": [1, 2, 2], "non_local_softmax": False, "detection": False},
    }
    assert S3D(inception="v3").model_dump() == {
        "inception": "v3",
        "temporal_from": None,
        "sevens": "three",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: begin it with `family: slowfast` or `family: s3d`"),
        ("- slowfast", "is no mapping of keys: begin it"),
        ("family: [", r"FILE line 1: .*correct the YAML there"),
        ("alpha: 8", "FILE: key 'family' is missing: begin with"),
        ("family: slowfats", "there is no family 'slowfats': did you mean 'slowfast'"),
        ("{family: s3d, 4: 5}", "unknown key 4"),
        ("{family: slowfast, alpha: 4, alpha: 8}", "'alpha' occurs twice"),
        ("{family: slowfast, aplha: 8}", "unknown key 'aplha': did you mean 'alpha'"),
        ("{family: slowfast, alpha: eight}", "key 'alpha': input should be a valid integer"),
        ("{family: slowfast, alpha: 3}", "key 'alpha': stride 8 is not divisible by 3: give one"),
        ("{family: slowfast, alpha: 0}", "key 'alpha': input should be greater than or equal to 1"),
        ("{family: slowfast, lateral_kernel: 4}", "key 'lateral_kernel': takes an odd number"),
        ("{family: slowfast, beta: 8}", "key 'beta': takes a fraction such as 1/8, not 8"),
        ("{family: slowfast, beta: 1/7}", "key 'beta': 1/7 of 64 channels is no whole number"),
        ("{family: slowfast, depth: 34}", "key 'depth': takes 50, 101 or 152, or four numbers"),
        ("{family: slowfast, slow_kernels: [1, 1, 2, 3, 3]}", "key 'slow_kernels': takes five odd"),
        (
            "{family: slowfast, non_local: {stage4: [6]}}",
            "key 'non_local.stage4': there is no block 6, stage 4 has blocks 0 to 5",
        ),
        ("{family: slowfast, non_local: {stage6: [1]}}", "key 'non_local': unknown key 'stage6'"),
        ("{family: slowfast, non_local: {stage4: [1, 1]}}", "'non_local.stage4': takes numbers of"),
        ("{family: slowfast, temporal_blocks: [9, 4, 6, 3]}", "9 is more than the 3 blocks of sta"),
        ("{family: slowfast, temporal_pool: true}", "key 'temporal_pool' is of one pathway"),
        ("{family: slowfast, pathways: slow, alpha: 8}", "key 'alpha' has no meaning with `path"),
        ("{family: slowfast, non_local_softmax: true}", "no meaning with no `non_local` block"),
        (
            "{family: slowfast, pathways: slow, frames: 1, temporal_pool: true}",
            "key 'temporal_pool': it halves 2 frames or more",
        ),
        (
            "{family: slowfast, frames: 1, non_local: {stage4: [1]}, non_local_pool: [2, 2, 2]}",
            "key 'non_local_pool': it pools 2 frames where there are 1",
        ),
        ("family: s3d", "key 'inception' is missing: add `inception:`, v1 or v3"),
        ("{family: s3d, inception: v2}", "key 'inception': input should be 'v1' or 'v3'"),
        ("{family: s3d, inception: v1, sevens: two}", "key 'sevens' has no meaning with"),
        (
            "{family: s3d, inception: v3, temporal_from: maxpool1}",
            "no convolution 'maxpool1' in Inception-v3: choose one of Conv2d_1a_3x3, .*, none",
        ),
    ],
)
def test_a_wrong_description_is_one_sentence_that_names_file_and_key(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=said.replace("FILE", str(path))) as error:
        spec_of(str(path))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_what_is_no_description_is_said(tmp_path):
    with pytest.raises(RequestError, match=r"away\.yaml does not exist: put the file there"):
        spec_of(str(tmp_path / "away.yaml"))
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(RequestError, match=r"is no file, but a folder"):
        spec_of(str(tmp_path / "folder.yml"))
    for name in (
        "variant:mine.yaml",
        "variant:{",
        "variant:" + "[" * 3000,
        "variant:" + "9" * 5000,
    ):
        with pytest.raises(RequestError, match=r"is no description in JSON, such as variant:\{"):
            spec_of(name)
    form = {"taps": {"gap": [1]}, "plan": {}, "transform": {}, "dtype": "float16"}
    for file in ("mine.yaml", "/etc/mine.yml"):  # a store of a stranger names no file to read
        with pytest.raises(StoreError, match="the backbone is a file, where its description"):
            Recipe.from_dict({**form, "backbone": file, "weights": "random:0", "decoder": "pyav"})
    with pytest.raises(RequestError, match=r"the variant .*: key 'family' is missing"):
        spec_of("variant:{}")
    with pytest.raises(RequestError, match="family slowfast: key 'alpha': stride 8 is not"):
        SlowFast(alpha=3)
