"""Classifiers of published detection networks, for a head to start from."""

from pathlib import Path

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones.slowfast.layouts import to_pyslowfast
from egofeat.extract.weight_files import read_tensors
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head

_PLACE = "head.projection"
"""Of the classifier, as PySlowFast names it."""


def read_classifier(path: Path) -> tuple[Tensor, Tensor]:
    """Weight `[classes,C]` and bias `[classes]` of the last layer of a published network.

    Of networks trained on AVA, the classes are its 80 in the order of their ids, which begin at 1,
    and C is the slow pathway's channels before the fast one's.

    Args:
        path: a torch file of PySlowFast or PyTorchVideo or a Caffe2 pickle, of the whole network
            or of the classifier alone; or `.safetensors` with the same keys.

    Raises:
        WeightsError: the file cannot be read, or has no classifier.
    """
    state = to_pyslowfast(read_tensors(path))
    missing = [key for key in (f"{_PLACE}.weight", f"{_PLACE}.bias") if key not in state]
    if missing:
        raise WeightsError(
            f"{path} has no classifier ({', '.join(missing)}): name the weights of a detection "
            "network in the layout of PySlowFast, PyTorchVideo or Caffe2"
        )
    return state[f"{_PLACE}.weight"].flatten(1).float(), state[f"{_PLACE}.bias"].float()


def start_from(head: Head | AveragedHeads, path: Path) -> None:
    """Give a head of one target the published classifier; all else of it stays fresh.

    Raises:
        WeightsError: as `read_classifier`.
        RequestError: the head has several targets, or a classifier of another shape.
    """
    layers = list(head.classifiers) if isinstance(head, Head) else []
    if len(layers) != 1:
        raise RequestError(
            f"{path} holds one classifier and this run has {len(layers) or 'a head a store'}: "
            "train one head of one target from it, with `targets`, or leave `init` out"
        )
    weight, bias = read_classifier(path)
    layer = layers[0]
    assert isinstance(layer, nn.Linear)
    if weight.shape != layer.weight.shape:
        raise RequestError(
            f"the classifier of {path} is {list(weight.shape)}, classes by features, and this "
            f"head's is {list(layer.weight.shape)}: it needs the features that it was trained on, "
            "pooled alone (others 0), and a data set that lists all its classes, as AVA's 80"
        )
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
