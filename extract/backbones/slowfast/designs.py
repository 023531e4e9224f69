"""What tells the networks of the SlowFast family apart, as published.

Names are `frames of the slow pathway × its stride` and depth. An `r101` has 23 blocks in stage
4; but for `slowfast_8x8_r101` (published as 101, 101) and I3D, only the first 6 of them look over
time, as all do in an `r50` (published as `50_50`).

Sources: Feichtenhofer et al., 2019, arXiv:1812.03982 (Tables 1 and 6); Wang et al., 2018,
arXiv:1711.07971 (I3D and non-local blocks); the configurations that PySlowFast and PyTorchVideo
publish with their weights.
"""

from collections.abc import Mapping

from egofeat.extract.backbones.slowfast.network import Design, Pathway


def _slow(blocks: int = 6, temporal: int = 6) -> Pathway:
    """Frames are joined in stages 4 and 5 alone; `temporal` of stage 4's `blocks` do so."""
    stage4 = (3,) * temporal + (1,) * (blocks - temporal)
    return Pathway(width=64, stem=1, kernels=((1,) * 3, (1,) * 4, stage4, (3,) * 3))


def _fast(blocks: int = 6, temporal: int = 6) -> Pathway:
    """Frames are joined from the stem on; `temporal` of stage 4's `blocks` do so."""
    stage4 = (3,) * temporal + (1,) * (blocks - temporal)
    return Pathway(width=8, stem=5, kernels=((3,) * 3, (3,) * 4, stage4, (3,) * 3))


def _i3d(blocks: int = 6) -> Pathway:
    """Inflated as in Wang et al.: from stage 3 on, every other block joins frames."""
    stage4 = ((3, 1) * blocks)[:blocks]
    return Pathway(width=64, stem=5, kernels=((3,) * 3, (3, 1, 3, 1), stage4, (1, 3, 1)))


_NONLOCAL_R101: Mapping[int, tuple[int, ...]] = {4: (6, 13, 20)}
_NONLOCAL_I3D: Mapping[int, tuple[int, ...]] = {3: (1, 3), 4: (1, 3, 5)}

DESIGNS: dict[str, Design] = {
    "slowfast_8x8_r50": Design(
        slow=_slow(), fast=_fast(), alpha=4, fusion_kernel=7, frames=32, stride=2
    ),
    "slowfast_4x16_r50": Design(slow=_slow(), fast=_fast(), alpha=8, frames=32, stride=2),
    "slowfast_8x8_r101": Design(
        slow=_slow(23, 23), fast=_fast(23, 23), alpha=4, frames=32, stride=2
    ),
    "slowfast_16x8_r101": Design(slow=_slow(23), fast=_fast(23), alpha=4, frames=64, stride=2),
    "slowfast_nln_16x8_r101": Design(
        slow=_slow(23), fast=_fast(23), alpha=4, frames=64, stride=2, nonlocal_after=_NONLOCAL_R101
    ),
    "slowfast_32x2_r50_ava": Design(
        slow=_slow(), fast=_fast(), alpha=4, fusion_kernel=7, frames=32, stride=2, detection=True
    ),
    "slowfast_32x2_r101_ava": Design(
        slow=_slow(23),
        fast=_fast(23),
        alpha=4,
        frames=32,
        stride=2,
        nonlocal_after=_NONLOCAL_R101,
        nonlocal_pool=(2, 2, 2),
        detection=True,
    ),
    "slow_8x8_r50": Design(slow=_slow(), frames=8, stride=8),
    "slow_4x16_r50": Design(slow=_slow(), frames=4, stride=16),
    "i3d_8x8_r50": Design(slow=_i3d(), frames=8, stride=8, temporal_pool=True),
    "i3d_nln_8x8_r50": Design(
        slow=_i3d(),
        frames=8,
        stride=8,
        temporal_pool=True,
        nonlocal_after=_NONLOCAL_I3D,
        nonlocal_softmax=True,
    ),
    "i3d_nln_8x8_r101": Design(
        slow=_i3d(23),
        frames=8,
        stride=8,
        temporal_pool=True,
        nonlocal_after=_NONLOCAL_I3D,
        nonlocal_softmax=True,
    ),
}
