"""Weights and a clip that golden numbers are of: made from names and a seed, the same everywhere.

NumPy's RandomState is frozen, so that a public implementation filled by these once can be compared
with wherever its published weights are not at hand.
"""

import zlib

import numpy as np
import torch


def fill(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """One entry of a state dict, made from its name."""
    random = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_var":
        array = random.uniform(0.5, 1.5, shape)
    elif leaf == "running_mean":
        array = 0.1 * random.standard_normal(shape)
    elif leaf == "bias":
        array = 0.05 * random.standard_normal(shape)
    elif len(shape) <= 1:
        array = random.uniform(0.4, 0.8, shape)
    else:
        array = np.sqrt(1.0 / np.prod(shape[1:])) * random.standard_normal(shape)
    return torch.from_numpy(np.asarray(array, np.float32))


def made_clip(frames: int, size: int, seed: int) -> torch.Tensor:
    """A clip [1, 3, T, H, W] of patches of 16 pixels."""
    random = np.random.RandomState(seed + 12345)
    small = random.standard_normal((1, 3, frames, size // 16, size // 16)).astype(np.float32)
    return torch.from_numpy(small.repeat(16, axis=-2).repeat(16, axis=-1))
