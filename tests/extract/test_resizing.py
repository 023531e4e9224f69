"""Sizes of frames against torchvision's own."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, functional
from torchvision.transforms.v2 import functional as v2

from egofeat.extract import resizing

SIDES = ([24], [80], [33, 91], [64, 48], [48])


@pytest.fixture(scope="module")
def frame():
    """Wider than high, as a decoder gives it: channels last."""
    return torch.randint(
        0, 256, (48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    ).permute(2, 0, 1)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_every_size_is_torchvisions_to_the_bit(frame, kind):
    for sides, antialias, one in product(SIDES, (True, False), (frame, frame.mT)):
        how = (one, sides, InterpolationMode(kind))
        floats = resizing.resize_in_float32(one, sides, kind, antialias=antialias)
        assert torch.equal(floats, functional.resize(*how, antialias=antialias))
        levels = resizing.resize_in_uint8(one, sides, kind, antialias=antialias)
        assert torch.equal(levels, v2.resize(*how, antialias=antialias))


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [resizing.resize_in_uint8, resizing.resize_in_float32])
def test_a_part_is_that_of_the_whole_to_the_bit(frame, resize, kind, antialias):
    """Also one as high or as wide as the frame was."""
    untils = ((20, 30), (47, 64), (48, 63), (48, 64), (60, 80), (200, 200))
    for sides, until, one in product(([40], [60], [60, 64], [97, 31]), untils, (frame, frame.mT)):
        whole = resize(one, sides, kind, antialias=antialias)
        part = resize(one, sides, kind, antialias=antialias, until=until)
        height, width = map(min, zip(whole.shape[1:], until, strict=True))
        assert torch.equal(part[:, :height, :width], whole[:, :height, :width])


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("resize", [resizing.resize_in_uint8, resizing.resize_in_float32])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_part_of_any_size_is_that_of_the_whole(resize, antialias, data):
    """Of bytes the largest weight of a part alone may be less than that of the whole."""
    sides = st.integers(8, 600)
    high, wide, *size = [data.draw(sides) for _ in range(4)]
    until = [data.draw(st.integers(1, side)) for side in size]
    frame = torch.randint(0, 256, (3, high, wide), dtype=torch.uint8)
    whole = resize(frame, size, antialias=antialias)
    part = resize(frame, size, antialias=antialias, until=until)
    assert torch.equal(part[:, : until[0], : until[1]], whole[:, : until[0], : until[1]])


def test_the_weights_of_a_part_are_those_of_the_whole():
    frame = torch.randint(0, 256, (3, 423, 571), dtype=torch.uint8)
    whole = resizing.resize_in_uint8(frame, [232, 313], antialias=False)
    part = resizing.resize_in_uint8(frame, [232, 313], antialias=False, until=(51, 120))
    assert torch.equal(part[:, :51, :120], whole[:, :51, :120])


def test_a_processor_without_a_kernel_for_bytes_rounds_floats(frame, monkeypatch):
    monkeypatch.setattr(resizing, "_has_kernel", lambda: False)
    levels = resizing.resize_in_uint8(frame, [24, 24], antialias=True)
    assert torch.equal(levels, resizing.resize_in_float32(frame, [24, 24], antialias=True))


def test_channels_stay_last(frame):
    resized = resizing.resize_in_uint8(frame, [24, 24], antialias=True)
    assert resized.permute(1, 2, 0).is_contiguous()
