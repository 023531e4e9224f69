"""Published key layouts of the SlowFast family, turned into the one of PySlowFast.

PySlowFast's torch files need no change. PyTorchVideo counts blocks (0 the stem, 1 to 4 the
stages, a pool in between for I3D) where PySlowFast numbers stages from 1; Caffe2 blobs spell
the place in one name, `t_` before those of the fast pathway. A key that no rule knows stays
as it is, so that strict loading names it.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from egofeat.extract.backbones.inflation import inflated

_PYTORCHVIDEO = (
    # (pattern of what follows `blocks.N.`, key in stage S of pathway P)
    (r"multipathway_fusion\.conv_fast_to_slow\.(\w+)", r"s{S}_fuse.conv_f2s.\1"),
    (r"multipathway_fusion\.norm\.(\w+)", r"s{S}_fuse.bn.\1"),
    (r"conv\.(\w+)", r"s{S}.pathway{P}_stem.conv.\1"),
    (r"norm\.(\w+)", r"s{S}.pathway{P}_stem.bn.\1"),
    (r"res_blocks\.(\d+)\.branch1_conv\.(\w+)", r"s{S}.pathway{P}_res\1.branch1.\2"),
    (r"res_blocks\.(\d+)\.branch1_norm\.(\w+)", r"s{S}.pathway{P}_res\1.branch1_bn.\2"),
    (r"res_blocks\.(\d+)\.branch2\.conv_(\w)\.(\w+)", r"s{S}.pathway{P}_res\1.branch2.\2.\3"),
    (r"res_blocks\.(\d+)\.branch2\.norm_(\w)\.(\w+)", r"s{S}.pathway{P}_res\1.branch2.\2_bn.\3"),
    (r"proj\.(\w+)", r"head.projection.\1"),
)

_CAFFE2 = (
    # (pattern of a blob without `t_` and its ending, key of a convolution, of a batch norm)
    (r"conv1", r"s1.pathway{P}_stem.conv", None),
    (r"res_conv1", None, r"s1.pathway{P}_stem.bn"),
    (r"pool1_subsample", r"s1_fuse.conv_f2s", r"s1_fuse.bn"),
    (r"res(\d)_\d+_branch2c_bn_subsample", r"s\1_fuse.conv_f2s", r"s\1_fuse.bn"),
    (r"res(\d)_(\d+)_branch1", r"s\1.pathway{P}_res\2.branch1", r"s\1.pathway{P}_res\2.branch1_bn"),
    (
        r"res(\d)_(\d+)_branch2([abc])",
        r"s\1.pathway{P}_res\2.branch2.\3",
        r"s\1.pathway{P}_res\2.branch2.\3_bn",
    ),
    (r"nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)", r"s\1.pathway{P}_nonlocal\2.conv_\3", None),
    (r"nonlocal_conv(\d)_(\d+)", None, r"s\1.pathway{P}_nonlocal\2.bn"),
    (r"pred", r"head.projection", None),
)

_CAFFE2_ENDINGS = {
    # Longer endings first: `_bn_b` ends in `_b` too. True: of a batch norm.
    "_bn_s": (True, "weight"),
    "_bn_b": (True, "bias"),
    "_bn_rm": (True, "running_mean"),
    "_bn_riv": (True, "running_var"),
    "_w": (False, "weight"),
    "_b": (False, "bias"),
}

_TRAINING_BLOB = re.compile(r".*_momentum|lr|model_iter")


def to_pyslowfast(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under PySlowFast's keys, from whichever of the three layouts it has."""
    if any(re.match(r"(model\.)?blocks\.\d+\.", key) for key in state):
        return _from_pytorchvideo(state)
    if "conv1_w" in state:
        return {
            _from_caffe2(blob): _as_torch_shape(blob, tensor)
            for blob, tensor in state.items()
            if not _TRAINING_BLOB.fullmatch(blob)
        }
    return dict(state)


def _from_pytorchvideo(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    blocks = {int(found[1]) for key in state if (found := re.search(r"\bblocks\.(\d+)\.", key))}
    stages = {block: number for number, block in enumerate(sorted(blocks), start=1)}
    renamed = {}
    for key, tensor in state.items():
        # Detection networks, and PySlowFast's wrapper of these, put the trunk into `model`.
        plain = key.removeprefix("model.").replace("detection_head.proj.", "head.projection.")
        renamed[_pytorchvideo_key(plain, stages)] = tensor
    return renamed


def _pytorchvideo_key(key: str, stages: Mapping[int, int]) -> str:
    found = re.fullmatch(r"blocks\.(\d+)\.(?:multipathway_blocks\.(\d)\.)?(.+)", key)
    if found is None:
        return key
    block, pathway, rest = int(found[1]), found[2] or "0", found[3]
    for pattern, target in _PYTORCHVIDEO:
        if inner := re.fullmatch(pattern, rest):
            return inner.expand(target.replace("{S}", str(stages[block])).replace("{P}", pathway))
    return key


def _from_caffe2(blob: str) -> str:
    ending = next((end for end in _CAFFE2_ENDINGS if blob.endswith(end)), "")
    is_norm, leaf = _CAFFE2_ENDINGS.get(ending, (False, ""))
    place = blob.removesuffix(ending)
    pathway = "1" if place.startswith("t_") else "0"
    for pattern, of_convolution, of_norm in _CAFFE2:
        target = of_norm if is_norm else of_convolution
        found = re.fullmatch(pattern, place.removeprefix("t_"))
        if found and target and leaf:
            return found.expand(target.replace("{P}", pathway)) + f".{leaf}"
    return blob


def _as_torch_shape(blob: str, tensor: Tensor) -> Tensor:
    """Caffe2 leaves out, or adds, trailing sides of 1: weights are 5-D here, classifiers 2-D."""
    if not blob.endswith("_w"):
        return tensor
    if blob == "pred_w":
        return tensor.flatten(1)
    return tensor.reshape(*tensor.shape, *(1,) * (5 - tensor.ndim))


_RESNET = (
    (r"conv1\.(\w+)", r"s1.pathway0_stem.conv.\1"),
    (r"bn1\.(\w+)", r"s1.pathway0_stem.bn.\1"),
    (r"fc\.(\w+)", r"head.projection.\1"),
    (r"layer(\d)\.(\d+)\.downsample\.0\.(\w+)", r"s{S}.pathway0_res\2.branch1.\3"),
    (r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", r"s{S}.pathway0_res\2.branch1_bn.\3"),
    (r"layer(\d)\.(\d+)\.conv1\.(\w+)", r"s{S}.pathway0_res\2.branch2.a.\3"),
    (r"layer(\d)\.(\d+)\.bn1\.(\w+)", r"s{S}.pathway0_res\2.branch2.a_bn.\3"),
    (r"layer(\d)\.(\d+)\.conv2\.(\w+)", r"s{S}.pathway0_res\2.branch2.b.\3"),
    (r"layer(\d)\.(\d+)\.bn2\.(\w+)", r"s{S}.pathway0_res\2.branch2.b_bn.\3"),
    (r"layer(\d)\.(\d+)\.conv3\.(\w+)", r"s{S}.pathway0_res\2.branch2.c.\3"),
    (r"layer(\d)\.(\d+)\.bn3\.(\w+)", r"s{S}.pathway0_res\2.branch2.c_bn.\3"),
)


def is_resnet(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of torchvision's image network with bottlenecks."""
    return "layer1.0.conv3.weight" in state


def from_resnet(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The slow pathway out of an image network's state, its kernels in the middle frame.

    Args:
        state: of torchvision's resnet50 or resnet101, with or without its classifier.
        wanted: of the video network, whose classifier is left out where shapes do not allow it.
    """
    renamed = {}
    for key, tensor in state.items():
        for pattern, target in _RESNET:
            if found := re.fullmatch(pattern, key):
                stage = str(int(found[1]) + 1) if "{S}" in target else ""
                renamed[found.expand(target.replace("{S}", stage))] = tensor
                break
        else:
            renamed[key] = tensor
    return inflated(renamed, wanted)
