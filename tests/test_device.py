"""A device has one name, whoever names it."""

import pytest
import torch

from egofeat.device import numbered
from egofeat.extract.backbones import load


@pytest.mark.parametrize(
    ("named", "there", "number"),
    [
        ("cuda", True, "cuda:2"),
        ("cuda:0", True, "cuda:0"),
        ("cuda", False, "cuda"),
        ("cpu", True, "cpu"),
    ],
)
def test_a_gpu_without_a_number_is_the_one_in_use(monkeypatch, named, there, number):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert numbered(torch.device(named)) == torch.device(number)


@pytest.mark.gpu
def test_a_backbone_knows_the_number_of_its_gpu(gpu):
    backbone = load("mobilenetv2", "random", device=gpu.type)
    assert backbone.device == next(backbone.module.parameters()).device
