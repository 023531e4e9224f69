"""A small world in which the documentation is carried out."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.docs.world import make_world
from tests.networks import light
from torch import Tensor, nn

from egofeat.extract import persons
from egofeat.extract.backbones import BACKBONES


class OneFinder(nn.Module):
    """A detector that is sure of one person in the middle of every picture."""

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        found = []
        for image in images:
            height, width = image.shape[-2:]
            box = torch.tensor([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]])
            found.append({"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])})
        return found


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture
def here(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A copy of the world, in which a page leaves what it makes."""
    folder = tmp_path / "here"
    shutil.copytree(world, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    make_networks_small(monkeypatch, kernels="visualize.md" in request.node.name)
    return folder


def make_networks_small(monkeypatch: pytest.MonkeyPatch, *, kernels: bool) -> None:
    """Small pictures, a detector that looks at nothing, and stand-ins for large networks.

    A stand-in has no `kernels` to draw.
    """
    for name, (spec, build) in BACKBONES.items():
        small = replace(spec, size=min(96, spec.size), squash_size=min(96, spec.squash_size))
        large = spec.parameters > 4_000_000 and not kernels
        monkeypatch.setitem(BACKBONES.own, name, (small, light(build) if large else build))
    load = persons.load
    monkeypatch.setattr(persons, "build", lambda *_, **__: OneFinder())
    monkeypatch.setattr(persons, "load", lambda weights="default", **more: load("random", **more))
