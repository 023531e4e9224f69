"""The kinds of networks of transformers: which class, which tokens, which frames.

A configuration says how wide and deep a network is. What it does not say is a fact of its kind
and stands here: the class that sees pixels, how its sequence is ordered, what its clips were.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Clip
from egofeat.extract.backbones.hooked import Grid


@dataclass(frozen=True)
class Given:
    """What a network makes of a batch."""

    tokens: Tensor
    """`[B, N, C]`, its last hidden state."""
    pooled: Tensor | None
    """`[B, C]`, where it has a way of its own to pool."""


@dataclass(frozen=True, kw_only=True)
class Tower:
    """One kind."""

    model: str
    """Class of transformers."""
    run: Callable[[nn.Module, Tensor], Given]
    prefix: Callable[[Any], int] = lambda _: 0
    """Of its configuration to the class and register tokens before the patches."""
    class_token: bool = False
    frames: str = ""
    """Name in the configuration of the frames of a clip; empty of images."""
    tubelet: Callable[[Any], int] = lambda _: 1
    """Of its configuration to the frames of a patch."""
    time_last: bool = False
    any_frames: bool = False
    """Whether it takes any multiple of a tubelet."""
    sampling: Callable[[int], tuple[int, float]] = lambda _: (1, 30.0)
    """Of the frames of a clip to their stride and rate, as its publisher trained or tested it."""
    tower: str = ""
    """Name, in the configuration of a model of images and texts, of the half that sees."""

    def grid(self, config: Any) -> Grid:
        """Where its tokens come from."""
        patch = config.tubelet_size[1:] if self.model == "VivitModel" else config.patch_size
        sides = (patch, patch) if isinstance(patch, int) else (patch[0], patch[1])
        return Grid(
            patch=sides,
            prefix=self.prefix(config),
            tubelet=self.tubelet(config) if self.frames else None,
            time_last=self.time_last,
        )

    def clip(self, config: Any, frames: int | None, fps: float | None) -> Clip | None:
        """Its clips, with frames and rate of the processor where that says some."""
        if not self.frames:
            return None
        own = int(getattr(config, self.frames))
        chosen = frames if frames and self.any_frames else own
        stride, rate = (1, fps) if fps else self.sampling(chosen)
        fewest = self.tubelet(config) if self.any_frames else own
        most = None if self.any_frames else own
        return Clip(
            frames=chosen, stride=stride, fps=rate, fewest=fewest, most=most, multiple=fewest
        )


def _images(network: nn.Module, batch: Tensor) -> Given:
    given = network(pixel_values=batch)
    return Given(given.last_hidden_state, getattr(given, "pooler_output", None))


def _clips(network: nn.Module, batch: Tensor) -> Given:
    return _images(network, batch.transpose(1, 2))


def _vjepa2(network: nn.Module, batch: Tensor) -> Given:
    given = network(pixel_values_videos=batch.transpose(1, 2), skip_predictor=True)
    return Given(given.last_hidden_state, None)


def _xclip(network: nn.Module, batch: Tensor) -> Given:
    """Frames are seen one by one: the class tokens of the frames are no patches of the clip."""
    given = network.get_video_features(pixel_values=batch.transpose(1, 2))  # type: ignore[operator]
    patches = given.last_hidden_state[:, 1:]
    return Given(patches.reshape(len(batch), -1, patches.shape[-1]), given.pooler_output)


def _after_class(config: Any) -> int:
    return 1 + int(getattr(config, "num_register_tokens", 0) or 0)


def _one(_config: Any) -> int:
    return 1


def _dino(model: str) -> Tower:
    return Tower(model=model, run=_images, prefix=_after_class, class_token=True)


_SIGLIP = Tower(model="SiglipVisionModel", run=_images, tower="vision_config")
_CLIP = Tower(
    model="CLIPVisionModel", run=_images, prefix=_one, class_token=True, tower="vision_config"
)
TOWERS = {
    "vjepa2": Tower(
        model="VJEPA2Model",
        run=_vjepa2,
        frames="frames_per_clip",
        tubelet=lambda config: int(config.tubelet_size),
        any_frames=True,
        sampling=lambda _: (1, 4.0),
    ),
    "videomae": Tower(
        model="VideoMAEModel",
        run=_clips,
        frames="num_frames",
        tubelet=lambda config: int(config.tubelet_size),
        sampling=lambda _: (4, 30.0),
    ),
    "timesformer": Tower(
        model="TimesformerModel",
        run=_clips,
        prefix=_one,
        class_token=True,
        frames="num_frames",
        # Without attention over time frames are averaged.
        tubelet=lambda config: config.num_frames if config.attention_type == "space_only" else 1,
        time_last=True,
        sampling=lambda frames: ({8: 32, 16: 16}.get(frames, 4), 30.0),
    ),
    "vivit": Tower(
        model="VivitModel",
        run=_clips,
        prefix=_one,
        class_token=True,
        frames="num_frames",
        tubelet=lambda config: int(config.tubelet_size[0]),
        sampling=lambda _: (2, 30.0),
    ),
    "xclip": Tower(
        model="XCLIPModel",
        run=_xclip,
        frames="num_frames",
        sampling=lambda frames: (max(1, 64 // frames), 30.0),
    ),
    "dinov2": _dino("Dinov2Model"),
    "dinov2_with_registers": _dino("Dinov2WithRegistersModel"),
    "dinov3_vit": _dino("DINOv3ViTModel"),
    "vit": _dino("ViTModel"),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
}
"""`model_type` of a configuration to its kind."""
