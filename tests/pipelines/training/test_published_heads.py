"""Classifiers of published detection networks, in each of their layouts."""

import json
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from egofeat.errors import RequestError, WeightsError
from egofeat.heads import build_head
from egofeat.heads.fusion import AveragedHeads
from egofeat.pipelines.training.published_heads import read_classifier, start_from

WEIGHT = torch.randn(80, 12, generator=torch.Generator().manual_seed(0))
BIAS = torch.randn(80, generator=torch.Generator().manual_seed(1))


def in_layout(name, folder):
    """Write the classifier as its publishers do, with something of the trunk beside it."""
    path = folder / f"{name}.pyth"
    ours = {"head.projection.weight": WEIGHT, "head.projection.bias": BIAS}
    trunk = {"s1.pathway0_stem.conv.weight": torch.zeros(2, 3, 1, 7, 7)}
    if name == "pyslowfast":
        torch.save({"epoch": 19, "model_state": ours | trunk}, path)
    elif name == "plain":
        torch.save(ours, path)
    elif name == "safetensors":
        path = folder / "plain.safetensors"
        save_file(ours, path)
    elif name == "pytorchvideo":
        theirs = {
            "model.blocks.0.multipathway_blocks.0.conv.weight": torch.zeros(2, 3, 1, 7, 7),
            "detection_head.proj.weight": WEIGHT,
            "detection_head.proj.bias": BIAS,
        }
        torch.save({"model_state": theirs}, path)
    else:
        path = folder / f"{name}.pkl"
        blobs = {
            "conv1_w": np.zeros((2, 3, 1, 7, 7), np.float32),
            "pred_w": WEIGHT.numpy().reshape(80, 12, *[1] * (3 if name == "caffe2_5d" else 0)),
            "pred_b": BIAS.numpy(),
            "pred_w_momentum": np.zeros((80, 12), np.float32),
            "lr": np.float32(0.1),
        }
        path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    return path


LAYOUTS = ["pyslowfast", "plain", "safetensors", "pytorchvideo", "caffe2", "caffe2_5d"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_classifier(layout, tmp_path):
    weight, bias = read_classifier(in_layout(layout, tmp_path))
    assert torch.equal(weight, WEIGHT)
    assert torch.equal(bias, BIAS)
    head = build_head("roi", (1, 12, 7, 7), {"action": 80})
    start_from(head, in_layout(layout, tmp_path))
    maps = torch.randn(3, 1, 12, 7, 7)
    by_hand = maps.amax((3, 4))[:, 0] @ WEIGHT.T + BIAS
    assert torch.allclose(head.eval()(maps)["action"], by_hand, atol=1e-5)
    assert all(parameter.requires_grad for parameter in head.parameters())


def test_a_network_without_classifier_is_said(tmp_path):
    torch.save({"s1.weight": torch.zeros(1)}, tmp_path / "trunk.pyth")
    with pytest.raises(WeightsError, match=r"no classifier \(head\.projection\.weight, head"):
        read_classifier(tmp_path / "trunk.pyth")
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_classifier(tmp_path / "absent.pyth")


def test_heads_of_several_stores_are_refused(tmp_path):
    heads = AveragedHeads(build_head("linear", (1, 12), {"action": 80}) for _ in range(2))
    with pytest.raises(RequestError, match="this run has a head a store"):
        start_from(heads, in_layout("plain", tmp_path))


@pytest.mark.real_data
def test_the_head_gives_the_scores_of_the_reference(real_data, tmp_path, monkeypatch):
    """RoI features of PySlowFast's network in, its sigmoids out, through a file of its layout."""
    monkeypatch.syspath_prepend(str(real_data / "golden"))
    fill = __import__("fill").fill
    sys.modules.pop("fill")
    meta = json.loads((real_data / "golden/ava_slowfast_32x2_r50.json").read_text())
    golden = np.load(real_data / "golden/ava_slowfast_32x2_r50.npz")
    state = {
        key: torch.from_numpy(fill(key, tuple(meta["layout"][key]), meta["meta"]["seed"]))
        for key in ("head.projection.weight", "head.projection.bias")
    }
    torch.save({"model_state": state}, tmp_path / "golden.pyth")
    pooled = torch.from_numpy(golden["pooled"])
    head = build_head("roi", (1, pooled.shape[1]), {"action": 80}).eval()
    start_from(head, tmp_path / "golden.pyth")
    with torch.inference_mode():
        scores = head(pooled[:, None])["action"].sigmoid().numpy()
    assert np.abs(scores - golden["output"]).max() <= 1e-6 * np.abs(golden["output"]).max()
