"""Resizing in uint8: another word in the recipe, and at most one level from float32."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.extract.transforms import normalise, prepare
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction.choices import check_transform, choose_transform
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Transform
from egofeat.segments import Media

KINDS = ("bilinear", "bilinear-antialias")
RESIZES = (
    Transform("short-side", 96, 80, crops=3),
    Transform("stretch", (64, 85), 56),
    Transform("whole", 96, 96),
)
FILMS = (
    "clips/egoblur_ego/gen2__demo_assets__test_face_video.mp4",
    "clips/mmaction2/demo__demo_skeleton.mp4",
    "ego_homes_long/chopping_onion_tracked.mp4",
)


def made(height: int, width: int) -> torch.Tensor:
    """Noise beside flat areas of both ends of the scale, and a slope."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame[: height // 3, : width // 2] = 255
    frame[: height // 3, width // 2 :] = 0
    frame[-height // 3 :] = np.linspace(0, 255, width)[:, None]
    return torch.from_numpy(frame)


def furthest(transform: Transform, frame_HWC: torch.Tensor) -> int:
    """Levels between the two arithmetics, where they differ most."""
    in_float32 = prepare(transform, frame_HWC)
    in_uint8 = prepare(replace(transform, arithmetic="uint8"), frame_HWC)
    assert in_uint8.shape == in_float32.shape
    return int((in_uint8.int() - in_float32).abs().max())


@pytest.mark.parametrize("interpolation", KINDS)
@pytest.mark.parametrize("transform", RESIZES, ids=lambda one: one.resize)
def test_made_frames_differ_by_one_level(transform: Transform, interpolation: str) -> None:
    transform = replace(transform, interpolation=interpolation)
    sizes = ((270, 480), (480, 270), (97, 131), (60, 80))
    assert max(furthest(transform, made(*size)) for size in sizes) == 1


@pytest.mark.real_data
@pytest.mark.parametrize("film", FILMS, ids=lambda name: Path(name).stem)
def test_real_frames_differ_by_one_level(real_data: Path, film: str) -> None:
    transform = Transform("short-side", 256, 224)
    with open_video(Media(real_data / "data" / film)) as source:
        for _, frame in source.tensors([0, len(source.times) // 2]):
            for interpolation in KINDS:
                assert furthest(replace(transform, interpolation=interpolation), frame) == 1


@pytest.mark.parametrize("transform", RESIZES[:2], ids=lambda one: one.resize)
def test_cuts_lie_pixel_by_pixel_as_batches_do(transform: Transform) -> None:
    for one in (transform, replace(transform, arithmetic="uint8")):
        assert prepare(one, made(270, 480)).is_contiguous()


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_pixels_are_normalised_as_written(
    channels: Literal["RGB", "BGR"], kind: torch.dtype
) -> None:
    """(x / 255 - mean) / std, and what was given stays as it was."""
    transform = replace(RESIZES[0], channels=channels, std=(0.2, 0.3, 0.4))
    frames_NTSSC = torch.stack([made(48, 40), made(48, 40).flip(0)])[:, None].to(kind)
    before = frames_NTSSC.clone()
    batch_NCTSS = normalise(transform, frames_NTSSC)
    wanted = (before.double() / 255 - torch.tensor(transform.mean)) / torch.tensor(transform.std)
    wanted = wanted if channels == "RGB" else wanted.flip(-1)
    torch.testing.assert_close(batch_NCTSS, wanted.movedim(-1, 1).float(), rtol=1e-5, atol=1e-6)
    assert torch.equal(frames_NTSSC, before)
    assert batch_NCTSS.movedim(1, -1).is_contiguous()


@pytest.mark.parametrize("backbone", ["resnet50", "slowfast_8x8_r50"])
def test_the_recipe_has_a_word_of_it(backbone: str) -> None:
    spec = spec_of(backbone)
    plain, in_float32, in_uint8 = (
        choose_transform(spec, None, ExtractConfig(transform="weights", resize=resize))
        for resize in (None, "float32", "uint8")
    )
    assert in_float32 == plain
    assert "arithmetic" not in plain.to_dict()
    assert in_uint8.to_dict() == plain.to_dict() | {"arithmetic": "uint8"}
    assert Transform.from_dict(in_uint8.to_dict()) == in_uint8
    assert in_uint8.pixels != plain.pixels, "two networks would share one frame"


def test_squash_is_in_uint8_and_says_so() -> None:
    spec = spec_of("mobilenetv2")
    plain, in_uint8 = (
        choose_transform(spec, None, ExtractConfig(resize=resize)) for resize in (None, "uint8")
    )
    assert in_uint8 == plain
    with pytest.raises(RequestError, match="squash resizes in uint8: leave `resize` out"):
        check_transform(spec, ExtractConfig(resize="float32"))


def test_what_uint8_does_otherwise_is_refused() -> None:
    spec = spec_of("resnet50")
    bicubic = replace(spec.weights[0], interpolation="bicubic-antialias")
    with pytest.raises(RequestError, match="by bicubic-antialias: extract with `resize` float32"):
        choose_transform(spec, bicubic, ExtractConfig(resize="uint8"))
