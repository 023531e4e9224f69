"""RAFT (Teed and Deng, ECCV 2020) as torchvision has it: flow by a network, on the device."""

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.device import exact
from egofeat.errors import WeightsError
from egofeat.extract.backbones.building import freeze, load_strictly, seeded
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import Weights, find, sha256_of
from egofeat.recipe.motion import Raft

_MULTIPLE = 8
"""Sides must be a multiple of so many pixels …"""
_FEWEST = 128
"""… and so many at least: the coarsest of four correlation maps has two positions a side."""
_PAIRS = {"cpu": 4, "cuda": 64}
"""Pairs of frames at once, by kind of device."""

_SOURCE = "https://download.pytorch.org/models"
_TRAINED_ON = "FlyingChairs, FlyingThings3D"


def _record(name: str, file: str, trained_on: str) -> Weights:
    return Weights(
        name=name,
        file=file,
        url=f"{_SOURCE}/{file}",
        sha256=file.removesuffix(".pth").rsplit("-", maxsplit=1)[1],
        licence="BSD-3-Clause (torchvision)",
        trained_on=trained_on,
    )


RECORDS = {
    "large": _record(
        "c_t_skht_v2",
        "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        f"{_TRAINED_ON}, Sintel, KITTI, HD1K",
    ),
    "small": _record("c_t_v2", "raft_small_C_T_V2-01064c6d.pth", _TRAINED_ON),
}
"""Size of the network to torchvision's default weights."""

Estimator = Callable[[Tensor], Tensor]


def load_published(size: Literal["large", "small"], note: Callable[[str], None]) -> Raft:
    """RAFT with torchvision's weights, downloaded where need be.

    Raises:
        WeightsError: they are not to be had.
    """
    return Raft(size, f"sha256:{sha256_of(find(RECORDS[size], note))}")


def start(method: Raft, device: torch.device) -> Estimator:
    """From RGB frames uint8 `[N, F + 1, K, S, S, 3]` the pixels (u, v) `[N, F, K, S, S, 2]`.

    Raises:
        WeightsError: the weights here are not those that are meant.
    """
    network = _network(method).to(device)
    return functools.partial(_estimate, network, method.updates, _PAIRS[device.type])


def _network(method: Raft) -> nn.Module:
    from torchvision.models import optical_flow  # noqa: PLC0415  # takes seconds to import

    make = {"large": optical_flow.raft_large, "small": optical_flow.raft_small}[method.size]
    if method.weights.startswith("random:"):
        return freeze(seeded(make, int(method.weights.removeprefix("random:"))))
    path = find(RECORDS[method.size])
    if method.weights != f"sha256:{sha256_of(path)}":
        raise WeightsError(
            f"the flow was made with RAFT weights {method.weights[:15]}…, and {path} is another "
            "file: put the right one there"
        )
    network = make()
    load_strictly(network, read_tensors(path), method.name)
    return freeze(network)


def _estimate(network: nn.Module, updates: int, most: int, frames_NFKHWC: Tensor) -> Tensor:
    """Each frame to the next, `most` pairs at once; frames that repeat have no flow."""
    frames = frames_NFKHWC.movedim(-1, -3)
    firsts, seconds = (one.flatten(0, 2) for one in (frames[:, :-1], frames[:, 1:]))
    flows = torch.zeros(len(firsts), 2, *firsts.shape[-2:], device=frames.device)
    moving = (firsts != seconds).flatten(1).any(dim=1).nonzero()[:, 0]
    with torch.inference_mode(), exact():
        for at in range(0, len(moving), most):
            places = moving[at : at + most]
            flows[places] = _between(network, updates, firsts[places], seconds[places])
    number, steps, crops = frames.shape[:3]
    return flows.view(number, steps - 1, crops, *flows.shape[1:]).movedim(-3, -1)


def _between(network: nn.Module, updates: int, first: Tensor, second: Tensor) -> Tensor:
    """`[P, 3, H, W]` uint8 each to pixels `[P, 2, H, W]`; sides are padded by their last pixels."""
    height, width = first.shape[-2:]
    down, right = (
        max(_FEWEST, -(-side // _MULTIPLE) * _MULTIPLE) - side for side in (height, width)
    )
    before, above = right // 2, down // 2
    pads = (before, right - before, above, down - above)
    padded = [
        F.pad(one.float() / 127.5 - 1, pads, mode="replicate").contiguous()
        for one in (first, second)
    ]
    flow: Tensor = network(*padded, num_flow_updates=updates)[-1]
    return flow[..., above : above + height, before : before + width]
