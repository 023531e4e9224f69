"""How many views a network is given at once, where nobody says."""

from dataclasses import replace

import pytest

from egofeat.extract.backbones import load
from egofeat.extract.backbones.engine import Compiled
from egofeat.extract.task import CPU_BLOCK, Task
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.recipe import Recipe, Uniform
from egofeat.recipe.transform import as_published


@pytest.fixture(scope="module")
def backbones():
    backbone = load("mobilenetv2", "random")
    compiled = Compiled(backbone.module, "mobilenetv2", "float32")  # when it first runs
    return {"torch": backbone, "openvino": replace(backbone, compiled=compiled)}


@pytest.mark.parametrize(
    ("engine", "size", "crops", "views"),
    [
        ("torch", 32, 1, 64),
        ("torch", 112, 1, 64),
        ("torch", 224, 1, 16),
        ("torch", 256, 1, 16),
        ("torch", 256, 3, 4),
        ("torch", 512, 1, 4),
        ("torch", 2048, 1, 1),
        ("openvino", 32, 1, 64),
        ("openvino", 112, 1, 16),
        ("openvino", 224, 1, 4),
        ("openvino", 256, 1, 4),
        ("openvino", 256, 3, 1),
        ("openvino", 512, 1, 1),
    ],
)
def test_a_batch_on_a_cpu_follows_its_largest_activation(backbones, engine, size, crops, views):
    backbone = backbones[engine]
    task = Task(
        backbone=backbone,
        recipe=Recipe(
            backbone="mobilenetv2",
            weights="random:0",
            plan=Uniform(1),
            transform=as_published(size, size, size, mean=(0.5,) * 3, std=(0.5,) * 3, crops=crops),
            taps={"gap": (crops, 1280)},
            dtype="float32",
        ),
        sink=Memory("gap"),
    )
    assert task.views_a_batch == views
    bytes_a_view = 4 * crops * backbone.outline(size).largest
    assert views == 1 or views * bytes_a_view <= CPU_BLOCK[engine]
