"""What every frozen backbone is: a spec that binds what must never be mixed, and a module."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from egofeat.device import exact
from egofeat.errors import RequestError
from egofeat.extract.backbones.engine import Compiled, check_finite
from egofeat.extract.backbones.onednn import quick
from egofeat.extract.backbones.precision import DTYPES
from egofeat.extract.weights import Weights
from egofeat.names import short_name

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The stretch of video that a clip network sees at once, as its weights were trained."""

    frames: int
    stride: int
    """From one frame of the clip to the next, in frames at `fps`."""
    fps: float = 30.0
    fewest: int
    """Frames that the network needs at least."""
    most: int | None = None
    """Frames that it takes at most; None where there is no bound."""
    multiple: int = 1
    """Clips have a multiple of so many frames: the α of two pathways."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything fixed about a backbone before its weights are chosen."""

    name: str = ""
    """What packages add has the name that it is added under."""
    taps: tuple[str, ...]
    """Names of the outputs that can be kept, from the first layer to the last."""
    default_tap: str = ""
    """By default the last."""
    weights: tuple[Weights, ...] = ()
    """Published weights, the default first; none for an architecture that nobody published."""
    parameters: int | None = None
    """Of the network with its classifier, as trained; None where nobody has counted them."""
    size: int
    """Pixels of the square input that the weights were evaluated at."""
    squash_size: int = 0
    """Pixels of the square that the `squash` transform makes by default; 0 is `size`."""
    transform: str = "weights"
    """The transform by default: `weights` or `squash`."""
    short_side: int | tuple[int, int] = 256
    """What `weights` resizes to before the crop where no published weights say: the short side,
    or (height, width)."""
    interpolation: str = "bilinear-antialias"
    """How, where no published weights say; see `Weights.interpolation`."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """One value a channel, on values scaled to [0, 1]."""
    clip: Clip | None = None
    """None: a network of single images."""
    motion: str = "none"
    """How the motion that it is given is had by default; `none`: it is given colours."""
    grew_from: tuple[str, ...] | None = None
    """Image networks of torchvision whose weights it takes; None where that is not known."""
    detects: bool = False
    """Whether its classifier tells what persons in boxes do."""
    package: str = ""
    """Name and version of the package that adds it; empty of egofeat's own."""
    note: str = ""
    """What it is good for, and what not, where no weights are published."""
    module: Callable[[], nn.Module] | None = None
    """Makes the network with weights of its own, which are then the default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "default_tap", self.default_tap or self.taps[-1])
        object.__setattr__(self, "squash_size", self.squash_size or self.size)

    @property
    def called(self) -> str:
        """Its name for people: of a variant, its family and the digest of what describes it."""
        return short_name(self.name)

    @property
    def channels(self) -> int:
        """3 for colour; 2 for optical flow (u, v), 4 for that on both sides of a frame."""
        return len(self.mean)


@dataclass(frozen=True)
class Outline:
    """What a network makes of one view."""

    taps: Mapping[str, tuple[int, ...]]
    """Shape of each tap."""
    largest: int
    """Numbers in the largest tensor between two layers, the input among them."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Backbone:
    """A frozen network, ready on its device."""

    spec: Spec
    module: nn.Module
    """Maps a batch to a dict of taps; parameters need no gradient."""
    weights: str
    """`sha256:<hex>` or `random:<seed>`, as it stands in a recipe."""
    published: Weights | None
    """The record of the published weights, or None for a user's file and random ones."""
    device: torch.device
    precision: str
    compiled: Compiled | None = None
    """The module as another engine than PyTorch runs it."""
    _outlines: dict[tuple[int, int], Outline] = field(default_factory=dict, compare=False)
    """Of (size, frames)."""

    def __repr__(self) -> str:
        frames = self.spec.clip.frames if self.spec.clip else 1
        shapes = self.tap_shapes(self.spec.size, frames)
        taps = ", ".join(f"{tap} {shape}" for tap, shape in shapes.items())
        return f"Backbone('{self.spec.called}', {self.weights[:19]}, {taps}, {self.device})"

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """Run one normalised batch, `[B, C, H, W]` of images or `[B, C, T, H, W]` of clips.

        C is `spec.channels`: 3 colours, or the 2 of optical flow. Folded batch norms and the
        channels-last layout change only rounding, about 1e-6 relative at float32.

        Returns:
            float32 `{tap: [B, C]}`, `[B, C, h, w]` of images, `[B, t, C, h, w]` of clips:
            time comes before channels, as heads read it.
        """
        outputs = self.compiled(batch) if self.compiled else self._by_torch(batch)
        return {tap: time_first(output.float()) for tap, output in outputs.items()}

    @property
    def engine(self) -> str:
        """What runs the module, as it stands in a recipe."""
        return "openvino" if self.compiled else "torch"

    @property
    def is_reentrant(self) -> bool:
        """Whether several threads may run it at once: of modules of others that is not known."""
        if self.compiled:
            return True
        of_others = self.spec.package or self.spec.module
        return not of_others and getattr(self.module, "is_reentrant", True)

    def runs_abreast(self, threads: int) -> None:
        """Say that so many threads will run it at once, with a batch each; before the first."""
        if self.compiled:
            self.compiled.streams = threads

    def _by_torch(self, batch: Tensor) -> dict[str, Tensor]:
        layout = torch.channels_last if batch.ndim == 4 else torch.channels_last_3d
        dtype = torch.float32 if self.compiled else DTYPES[self.precision]
        batch = batch.to(self.device, dtype, memory_format=layout)
        arithmetic = exact(tf32=self.precision == "tf32")
        with torch.inference_mode(), arithmetic, quick(self.device):
            outputs: dict[str, Tensor] = self.module(batch)
            return outputs

    def check_on_noise(self, size: int, frames: int) -> None:
        """Refuse a network that gives what is no finite number whatever it sees; see `tap_shapes`.

        Raises:
            WeightsError: it does so of noise.
        """
        sides = (frames, size, size) if self.spec.clip else (size, size)
        fixed = torch.Generator().manual_seed(0)
        noise = torch.randn(1, self.spec.channels, *sides, generator=fixed)
        for tap, output in self(noise).items():
            check_finite(output, f"values of {self.spec.called} at tap {tap}", self.precision)

    def frames_seen(self, tap: str, frames: int) -> tuple[int, ...]:
        """Which of the frames of a clip a tap is made of: all, but for pathways that skip some."""
        seen: Callable[[str, int], tuple[int, ...]] | None = getattr(
            self.module, "frames_seen", None
        )
        return seen(tap, frames) if seen else tuple(range(frames))

    def tap_shapes(self, size: int, frames: int = 1) -> dict[str, tuple[int, ...]]:
        """Shape of each tap for one square input of `size` pixels.

        Args:
            size: pixels of a side.
            frames: of a clip; images take none of it.
        """
        return dict(self.outline(size, frames).taps)

    def outline(self, size: int, frames: int = 1) -> Outline:
        """What the network makes of one square input, whatever is in it; see `tap_shapes`."""
        if (size, frames) not in self._outlines:
            largest = self.spec.channels * frames * size**2

            def measure(_module: nn.Module, _inputs: object, output: object) -> None:
                nonlocal largest
                if isinstance(output, Tensor):
                    # Of a batch of none: what a clip would be.
                    largest = max(largest, output.numel() or math.prod(output.shape[1:]))

            leaves = [one for one in self.module.modules() if not any(one.children())]
            hooks = [
                one.register_forward_hook(measure)
                for one in leaves
                if not isinstance(one, torch.jit.ScriptModule)  # which takes no hooks
            ]
            try:
                shapes = self.run_blank(size, frames)
            finally:
                for hook in hooks:
                    hook.remove()
            self._outlines[size, frames] = Outline(shapes, largest)
        return self._outlines[size, frames]

    def run_blank(self, size: int, frames: int) -> dict[str, tuple[int, ...]]:
        """Shape of each tap.

        One image is run, and no clip: a batch of none takes a network no time. For what cannot
        take that, torch computes shapes alone, for which it imports its compiler.
        """
        channels = self.spec.channels
        if self.spec.clip is None and "torch._dynamo" not in sys.modules:
            outputs = self._by_torch(torch.zeros(1, channels, size, size))
            return {tap: tuple(output.shape[1:]) for tap, output in outputs.items()}
        sides = (frames, size, size) if self.spec.clip else (size, size)
        outputs = {}
        if self.spec.clip:
            with suppress(Exception):  # also where a network says that it cannot take such clips
                outputs = self._by_torch(torch.empty(0, channels, *sides))
        outputs = outputs or self._on_meta(torch.empty(1, channels, *sides, device="meta"))
        return {tap: tuple(time_first(output).shape[1:]) for tap, output in outputs.items()}

    def _on_meta(self, blank: Tensor) -> dict[str, Tensor]:
        weights = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        shapes = {
            name: (tensor.float() if tensor.is_floating_point() else tensor).to("meta")
            for name, tensor in weights.items()
        }
        with torch.no_grad():
            outputs: dict[str, Tensor] = torch.func.functional_call(self.module, shapes, (blank,))
            return outputs


def time_first(output: Tensor) -> Tensor:
    """Maps of clips `[B, C, t, h, w]` as `[B, t, C, h, w]`; others unchanged."""
    return output.transpose(1, 2) if output.ndim == 5 else output


Builder = Callable[[Sequence[str], Mapping[str, Tensor] | None, int], nn.Module]
"""(taps, state dict or None, seed) to a folded module in eval mode, gradients off."""


Family = dict[str, tuple[Spec, Builder]]
"""Name to spec and builder."""


def check_taps(taps: Sequence[str], spec: Spec) -> tuple[str, ...]:
    """The taps, each once, in the network's order.

    Raises:
        RequestError: a tap that the backbone does not have.
    """
    for tap in taps:
        if tap not in spec.taps:
            raise RequestError(
                f"{spec.called} has no tap '{tap}': choose from {', '.join(spec.taps)}"
            )
    return tuple(tap for tap in spec.taps if tap in taps)
