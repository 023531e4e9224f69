"""Convolutions and pools by the quicker way give what PyTorch's own give."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from egofeat.extract.backbones.onednn import quick

CPU = torch.device("cpu")
# Sums in another order.
RELATIVE = 1e-6


def numbers(*sides: int) -> torch.Tensor:
    return torch.randn(sides, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "ceil"),
    [
        (3, 1, 1, False),
        (2, None, 0, False),
        ((1, 3, 3), (1, 2, 2), 0, True),
        ((3, 3, 3), (2, 2, 2), 1, True),
        ((3, 1, 1), (2, 1, 1), (1, 0, 0), False),
        ((2, 1, 1), (2, 1, 1), 0, True),
        ((1, 1, 1), (3, 2, 2), 0, False),
    ],
)
def test_a_pool_has_the_same_bits(kernel, stride, padding, ceil, channels_last):
    clips = numbers(2, 5, 7, 9, 10)
    clips[0, 1, 2, 3, 4] = torch.nan
    clips[1, 0] = -torch.inf
    if channels_last:
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    usual = F.max_pool3d(clips, kernel, stride, padding, ceil_mode=ceil)
    with quick(CPU), torch.inference_mode():
        module = nn.MaxPool3d(kernel, stride, padding, ceil_mode=ceil)
        ours = (F.max_pool3d(clips, kernel, stride, padding, ceil_mode=ceil), module(clips))
    for one in ours:
        assert one.shape == usual.shape
        assert torch.equal(one.nan_to_num(nan=1e9), usual.nan_to_num(nan=1e9))


def pooled(clips, kernel, stride, padding, ceil):
    sides = ((side, 1, 1) for side in (kernel, stride))
    try:
        return F.max_pool3d(clips, *sides, (padding, 0, 0), ceil_mode=ceil)
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("frames", range(1, 8))
def test_windows_over_time_are_pytorchs_and_so_is_what_it_refuses(frames):
    clips = numbers(2, 3, frames, 2, 3)
    for window in itertools.product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (False, True)):
        usual = pooled(clips, *window)
        with quick(CPU), torch.inference_mode():
            ours = pooled(clips, *window)
        assert ours == usual if isinstance(usual, str) else torch.equal(ours, usual)


def test_a_pool_that_is_asked_for_more_is_pytorchs_own():
    clip = numbers(1, 2, 5, 5, 5)
    with quick(CPU):
        values, places = F.max_pool3d(clip, 2, return_indices=True)
        spread = F.max_pool3d(clip, 2, dilation=2)
        alone = F.max_pool3d(clip[0], 2)
    assert torch.equal(values, alone[None])
    assert torch.equal(clip.flatten(2).gather(2, places.flatten(2)), values.flatten(2))
    assert torch.equal(spread, F.max_pool3d(clip, 2, dilation=2))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(8, 8, (1, 3, 3), padding=(0, 1, 1)),
        nn.Conv3d(8, 6, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0), bias=False),
        nn.Conv3d(8, 6, 1, groups=2, dilation=1),
        nn.Conv3d(8, 6, 3, padding="same"),
        nn.Conv3d(8, 6, 3, padding=1, padding_mode="replicate"),
        nn.Conv2d(8, 6, 1),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.Conv2d(8, 6, 3, dilation=2),
    ],
    ids=str,
)
@torch.inference_mode()
def test_a_convolution_is_the_same_but_for_rounding(layer):
    sides = (4, 9, 10) if isinstance(layer, nn.Conv3d) else (9, 10)
    batch = numbers(2, 8, *sides)
    usual = layer(batch)
    with quick(CPU):
        ours = layer(batch)
    assert (ours.shape, ours.dtype) == (usual.shape, usual.dtype)
    assert (ours - usual).norm() <= RELATIVE * usual.norm()


@torch.inference_mode()
def test_a_batch_of_none_gives_shapes():
    with quick(CPU):
        assert nn.Conv3d(2, 3, 3)(numbers(0, 2, 5, 6, 7)).shape == (0, 3, 3, 4, 5)
        assert F.max_pool3d(numbers(0, 2, 5, 6, 7), 2).shape == (0, 2, 2, 3, 3)


@torch.inference_mode()
def test_where_pytorch_would_compute_clips_by_itself_it_does_not():
    """One thread and kernels of one pixel: what its rule leaves to its own, slower code."""
    layer, clip = nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0)), numbers(1, 8, 4, 8, 8)

    def named() -> set[str]:
        with torch.profiler.profile() as profile:
            layer(clip)
        return {event.key for event in profile.key_averages()}

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert "aten::slow_conv3d_forward" in named()
        with quick(CPU):
            assert "aten::slow_conv3d_forward" not in named()
    finally:
        torch.set_num_threads(threads)


def test_what_is_no_number_stays_so():
    layer, images = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU6()), numbers(2, 2, 3, 3)
    images[1, 0, 1, 1] = torch.nan
    with quick(CPU), torch.inference_mode():
        assert layer(images).isnan().any()


@torch.inference_mode()
def test_bf16_is_pytorchs_own():
    """What oneDNN refuses where a processor has none, PyTorch computes nevertheless."""
    layer, images = nn.Conv2d(8, 6, 3).to(torch.bfloat16), numbers(2, 8, 9, 10).bfloat16()
    usual = layer(images)
    with quick(CPU):
        assert torch.equal(layer(images), usual)


def test_a_gpu_keeps_its_own():
    assert not isinstance(quick(torch.device("cuda")), torch.overrides.TorchFunctionMode)
