"""What tells a member of a family from the others: one key each, whose defaults never change.

A description has one canonical form, in which no key stands that has its default. That form is
the backbone's name, so whoever reads a store or a run can build the network without any file.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

from egofeat.adapters.entry import Strict, describe
from egofeat.errors import RequestError
from egofeat.extract.backbones.inception import s3d_v1, s3d_v3
from egofeat.extract.backbones.variants.keys import (
    Blocks,
    Depth,
    Fraction,
    Frames,
    Kernel,
    Kernels,
    Places,
    Pool,
    blocks_of,
)
from egofeat.names import VARIANT
from egofeat.words import quoted, shortened

LAYERS = {"v1": s3d_v1.LAYERS, "v3": s3d_v3.LAYERS}
"""Of Inception, in order; pools are layers too."""


class Description(Strict):
    """A member of a family.

    Raises:
        RequestError: a key that there is not, a value that it does not take, or values that do
            not go together.
    """

    family: ClassVar[str]

    def __init__(self, **keys: Any) -> None:
        try:
            super().__init__(**keys)
        except ValidationError as error:
            raise RequestError(f"family {self.family}: {shortened(describe(error))}") from None
        for problem in self._problems():
            raise RequestError(f"family {self.family}: {problem}")

    @property
    def name(self) -> str:
        """The canonical form, which is the name of the backbone."""
        keys = {**self._told(), "family": self.family}
        return VARIANT + json.dumps(keys, sort_keys=True, separators=(",", ":"))

    def _told(self) -> dict[str, Any]:
        """Keys that do not have their default."""
        return self.model_dump(exclude_defaults=True)

    def _problems(self) -> Iterator[str]:
        """What does not go together, a clause each that names the key."""
        yield from ()

    def _without_meaning(self, why: str, *keys: str) -> Iterator[str]:
        """Keys that were given though another leaves them no meaning."""
        for key in keys:
            if getattr(self, key) != type(self).model_fields[key].get_default(
                call_default_factory=True
            ):
                yield f"key {quoted(key)} has no meaning with {why}: leave it out"


class NonLocal(Strict):
    """Blocks of the slow pathway that a non-local block follows, by stage."""

    stage2: Places = ()
    stage3: Places = ()
    stage4: Places = ()
    stage5: Places = ()


class SlowFast(Description):
    """One or two pathways of a ResNet of bottlenecks (Feichtenhofer et al., 2019)."""

    family = "slowfast"

    pathways: Literal["both", "slow", "fast"] = "both"
    depth: Depth = 50
    """Layers, or the blocks of stages 2 to 5."""
    frames: Frames = 8
    """T: frames that the slow pathway sees; the clip has α times as many."""
    stride: Frames = 8
    """τ: from one of them to the next, at 30 frames a second."""
    alpha: int = Field(default=4, ge=1, le=64)
    """α: frames of the fast pathway for each of the slow one."""
    beta: Fraction = "1/8"
    """β: channels of the fast pathway for each of the slow one."""
    width: int = Field(default=64, ge=1, le=1024)
    """Channels of the slow pathway's stem."""
    laterals: bool = True
    """Whether connections lead from the fast pathway to the slow one."""
    lateral_kernel: Kernel = 5
    """Frames that they span."""
    slow_kernels: Kernels = (1, 1, 1, 3, 3)
    """Frames that the kernels of the slow pathway span, in the stem and in stages 2 to 5."""
    fast_kernels: Kernels = (5, 3, 3, 3, 3)
    temporal_blocks: Blocks | None = None
    """So many blocks of stages 2 to 5, from the first, have these kernels; later ones span 1."""
    temporal_pool: bool = False
    """Halve the number of frames after stage 2."""
    non_local: NonLocal = NonLocal()
    non_local_pool: Pool = (1, 2, 2)
    """Max pooling (T, H, W) of what non-local blocks look at."""
    non_local_softmax: bool = False
    """Weigh it by a softmax, else by the products over their number."""
    detection: bool = False
    """Stage 5 at stride 1 and dilation 2, for boxes; without a classifier of whole clips."""

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of stages 2 to 5."""
        return blocks_of(self.depth)

    @property
    def shrink(self) -> int:
        """1/β."""
        return int(self.beta.removeprefix("1/"))

    @property
    def places(self) -> dict[int, tuple[int, ...]]:
        """Stage to the blocks that a non-local block follows."""
        stages = ((stage, getattr(self.non_local, f"stage{stage}")) for stage in range(2, 6))
        return {stage: blocks for stage, blocks in stages if blocks}

    def _told(self) -> dict[str, Any]:
        told = super()._told()
        if self.temporal_blocks == self.blocks:
            del told["temporal_blocks"]
        return told

    def _problems(self) -> Iterator[str]:
        yield from self._unused()
        if self.pathways != "slow":
            yield from self._of_fast()
        blocks = self.blocks
        for stage, places in self.places.items():
            if places[-1] >= blocks[stage - 2]:
                yield (
                    f"key 'non_local.stage{stage}': there is no block {places[-1]}, stage {stage} "
                    f"has blocks 0 to {blocks[stage - 2] - 1}"
                )
        for stage, of in enumerate(self.temporal_blocks or (), start=2):
            if of > blocks[stage - 2]:
                yield (
                    f"key 'temporal_blocks': {of} is more than the {blocks[stage - 2]} blocks of "
                    f"stage {stage}"
                )
        yield from self._too_short()

    def _unused(self) -> Iterator[str]:
        """Keys of what the network does not have."""
        of_both = ("laterals", "lateral_kernel")
        if self.pathways == "slow":
            keys = ("alpha", "beta", *of_both, "fast_kernels")
            yield from self._without_meaning("`pathways: slow`", *keys)
        if self.pathways == "fast":
            yield from self._without_meaning(
                "`pathways: fast`", *of_both, "slow_kernels", "non_local"
            )
        if not self.laterals:
            yield from self._without_meaning("`laterals: false`", "lateral_kernel")
        if not self.places:
            yield from self._without_meaning(
                "no `non_local` block", "non_local_pool", "non_local_softmax"
            )
        if self.temporal_pool and self.pathways == "both":
            yield "key 'temporal_pool' is of one pathway: give `pathways: slow` or `fast` too"

    def _of_fast(self) -> Iterator[str]:
        """What α and β do not divide."""
        if self.stride % self.alpha:
            divisors = [str(n) for n in range(1, 65) if self.stride % n == 0]
            yield (
                f"key 'alpha': stride {self.stride} is not divisible by {self.alpha}: give one of "
                f"{', '.join(divisors)}, or another stride"
            )
        if self.width % self.shrink:
            yield (
                f"key 'beta': {self.beta} of {self.width} channels is no whole number: give "
                "another beta or width"
            )

    def _too_short(self) -> Iterator[str]:
        """What takes more frames than there are."""
        frames = self.frames * (self.alpha if self.pathways == "fast" else 1)
        if self.temporal_pool and frames < 2:
            yield "key 'temporal_pool': it halves 2 frames or more, not 1: give more `frames`"
        after = frames // 2 if self.temporal_pool else frames
        if self.places and after < self.non_local_pool[0]:
            yield (
                f"key 'non_local_pool': it pools {self.non_local_pool[0]} frames where there are "
                f"{after}: give fewer, or more `frames`"
            )


class S3D(Description):
    """Inception with convolutions taken apart into space and time (Xie et al., 2018)."""

    family = "s3d"

    inception: Literal["v1", "v3"] = Field(description="v1 or v3, the image network it grew from")
    temporal_from: str | None = None
    """First layer that looks along time, or `none`; by default the first of all."""
    sevens: Literal["three", "two"] = "three"
    """What a pair of 1×7 and 7×1 becomes: 1×1×7, 1×7×1 and 7×1×1, or 7×1×7 and 7×7×1."""

    @property
    def flat_layers(self) -> int:
        """So many layers from the first have no temporal convolution."""
        layers = LAYERS[self.inception]
        if self.temporal_from == "none":
            return len(layers)
        return layers.index(self.temporal_from) if self.temporal_from else 0

    def _told(self) -> dict[str, Any]:
        told = super()._told()
        if self.temporal_from == LAYERS[self.inception][0]:
            del told["temporal_from"]
        return told

    def _problems(self) -> Iterator[str]:
        layers = [one for one in LAYERS[self.inception] if "pool" not in one.lower()]
        if self.temporal_from not in (None, "none", *layers):
            yield (
                f"key 'temporal_from': there is no convolution {quoted(self.temporal_from)} in "
                f"Inception-{self.inception}: choose one of {', '.join(layers)}, none"
            )
        if self.inception == "v1":
            yield from self._without_meaning("`inception: v1`", "sevens")


FAMILIES: dict[str, type[Description]] = {one.family: one for one in (SlowFast, S3D)}
