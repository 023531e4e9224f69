"""PyTorchVideo's and Caffe2's spellings of a SlowFast state dict come out as PySlowFast's."""

import pytest
import torch

from egofeat.errors import WeightsError
from egofeat.extract.backbones.slowfast.layouts import to_pyslowfast
from egofeat.extract.backbones.slowfast.network import layers
from egofeat.extract.backbones.slowfast.networks import DESIGNS, FAMILY

ENDINGS = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


def keys_of(name):
    """The network's own state dict, without memory and without counters of training."""
    with torch.device("meta"):
        state = layers(DESIGNS[name], {"projection": 400}).state_dict()
    return {key: t for key, t in state.items() if not key.endswith("num_batches_tracked")}


def caffe2_blob(key, last_blocks):
    """A key as Caffe2's blobs spell it; `last_blocks[stage]` is the stage's last block."""
    stage, *middle, leaf = key.split(".")
    if stage == "head":
        return f"pred_{leaf[0]}"
    is_norm = any(word.endswith("bn") for word in middle)
    ending = f"bn_{ENDINGS[leaf]}" if is_norm else leaf[0]
    if stage.endswith("_fuse"):
        number = stage[1]
        place = "pool1" if number == "1" else f"res{number}_{last_blocks[number]}_branch2c_bn"
        return f"t_{place}_subsample_{ending}"
    pathway, unit = middle[0][7], middle[0][9:]
    prefix = "t_" if pathway == "1" else ""
    if unit == "stem":
        return f"{prefix}{'res_conv1' if is_norm else 'conv1'}_{ending}"
    if unit.startswith("nonlocal"):
        part = "" if is_norm else middle[1].removeprefix("conv_") + "_"
        return f"nonlocal_conv{stage[1]}_{unit[8:]}_{part}{ending}"
    branch = middle[1].removesuffix("_bn") + "".join(middle[2:]).removesuffix("_bn")
    return f"{prefix}res{stage[1]}_{unit[3:]}_{branch}_{ending}"


@pytest.mark.parametrize("name", ["slowfast_nln_16x8_r101", "slowfast_8x8_r50", "i3d_nln_8x8_r50"])
def test_caffe2_blobs(name):
    state = keys_of(name)
    kernels = DESIGNS[name].slow.kernels
    last_blocks = {str(k): len(blocks) - 1 for k, blocks in enumerate(kernels, start=2)}
    blobs = {caffe2_blob(key, last_blocks): tensor for key, tensor in state.items()}
    assert len(blobs) == len(state)
    blobs |= {f"{blob}_momentum": tensor for blob, tensor in blobs.items()}
    blobs |= {"lr": torch.zeros(1), "model_iter": torch.zeros(1)}
    converted = to_pyslowfast(blobs)
    assert {key: t.shape for key, t in converted.items()} == {k: t.shape for k, t in state.items()}


def test_the_published_names_of_blobs():
    blobs = {
        "conv1_w": "s1.pathway0_stem.conv.weight",
        "t_res_conv1_bn_riv": "s1.pathway1_stem.bn.running_var",
        "t_pool1_subsample_w": "s1_fuse.conv_f2s.weight",
        "t_res4_5_branch2c_bn_subsample_bn_rm": "s4_fuse.bn.running_mean",
        "res4_4_branch2c_bn_s": "s4.pathway0_res4.branch2.c_bn.weight",
        "t_res2_0_branch1_bn_b": "s2.pathway1_res0.branch1_bn.bias",
        "nonlocal_conv3_1_theta_b": "s3.pathway0_nonlocal1.conv_theta.bias",
        "nonlocal_conv4_5_bn_s": "s4.pathway0_nonlocal5.bn.weight",
        "pred_b": "head.projection.bias",
    }
    state = {blob: torch.zeros(1) for blob in blobs}
    assert list(to_pyslowfast(state)) == list(blobs.values())


def test_trailing_sides_of_one_are_made_to_fit():
    blobs = {"conv1_w": torch.zeros(4, 3, 1), "pred_w": torch.zeros(5, 4, 1, 1, 1)}
    blobs["res2_0_branch2a_bn_s"] = torch.zeros(4)
    shapes = [tuple(tensor.shape) for tensor in to_pyslowfast(blobs).values()]
    assert shapes == [(4, 3, 1, 1, 1), (5, 4), (4,)]


def pytorchvideo_keys(name):
    """The keys that PyTorchVideo gives a single-pathway network; I3D pools in block 2."""
    blocks = {2: 1, 3: 2, 4: 3, 5: 4}
    if DESIGNS[name].temporal_pool:
        blocks = {2: 1, 3: 3, 4: 4, 5: 5}
    keys = {}
    for key, tensor in keys_of(name).items():
        stage, _, rest = key.partition(".")
        if stage == "head":
            rest = rest.replace("projection", f"blocks.{blocks[5] + 1}.proj")
        elif stage == "s1":
            rest = rest.replace("pathway0_stem.", "blocks.0.").replace(".bn.", ".norm.")
        else:
            _, rest = rest.split("_res", 1)
            for old, new in (("branch1_bn", "branch1_norm"), ("branch1.", "branch1_conv.")):
                rest = rest.replace(old, new)
            for letter in "abc":
                rest = rest.replace(f"branch2.{letter}_bn", f"branch2.norm_{letter}")
                rest = rest.replace(f"branch2.{letter}.", f"branch2.conv_{letter}.")
            rest = f"blocks.{blocks[int(stage[1])]}.res_blocks.{rest}"
        keys[rest] = tensor
    return keys


@pytest.mark.parametrize("name", ["slow_8x8_r50", "i3d_8x8_r50"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_pytorchvideo_with_one_pathway(name, prefix):
    state = {prefix + key: tensor for key, tensor in pytorchvideo_keys(name).items()}
    converted = to_pyslowfast(state)
    assert {key: t.shape for key, t in converted.items()} == {
        key: t.shape for key, t in keys_of(name).items()
    }


def test_pytorchvideo_with_a_detection_head():
    state = {
        "model.blocks.0.multipathway_blocks.1.norm.bias": torch.zeros(8),
        "model.blocks.1.multipathway_fusion.norm.weight": torch.zeros(64),
        "model.blocks.4.multipathway_blocks.0.res_blocks.2.branch2.norm_c.bias": torch.zeros(2048),
        "detection_head.proj.weight": torch.zeros(80, 2304),
    }
    # Blocks that are absent here still count, as sorted: 0, 1, 4.
    assert list(to_pyslowfast(state)) == [
        "s1.pathway1_stem.bn.bias",
        "s2_fuse.bn.weight",
        "s3.pathway0_res2.branch2.c_bn.bias",
        "head.projection.weight",
    ]


def test_keys_that_no_rule_knows_are_named_in_the_error():
    for state in (
        {"conv1_w": torch.zeros(1), "conv9_w": torch.zeros(1), "odd": torch.zeros(1)},
        {"blocks.0.conv.weight": torch.zeros(1), "blocks.1.conv9_w": torch.zeros(1)},
    ):
        with pytest.raises(WeightsError, match=r"unexpected: .*conv9_w"):
            FAMILY["slow_8x8_r50"][1](["gap"], state, 0)
