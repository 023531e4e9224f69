"""What a clip costs: the network's parameters and multiply-adds, bytes kept, the head's."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from egofeat.errors import RequestError
from egofeat.extract.backbones import Spec, find_backbone
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.heads.fusion import for_members
from egofeat.heads.solved import remembers
from egofeat.pipelines.runs.config import RunConfig, Source
from egofeat.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of the features that a head reads of one clip; None where it cannot be counted."""

    backbone_parameters: int | None
    """Of the networks, each with its classifier."""
    multiply_adds: int | None
    """Of the networks down to their taps, of all frames, views and crops."""
    clip_bytes: int
    """Kept of the taps, uncompressed."""


def cost_of(sources: Sequence[Source]) -> Cost:
    """What features of some sources cost, of one clip."""
    counted = [_of_network(one.recipe.only(one.tap), one.tap) for one in sources]
    parameters = {
        one.recipe.backbone: found[0] for one, found in zip(sources, counted, strict=True)
    }
    return Cost(
        backbone_parameters=_sum(list(parameters.values())),
        multiply_adds=_sum([found[1] for found in counted]),
        clip_bytes=sum(one.recipe.only(one.tap).row_bytes for one in sources),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


_counted: dict[str, tuple[int | None, int | None]] = {}


def _of_network(recipe: Recipe, tap: str) -> tuple[int | None, int | None]:
    """Parameters, and multiply-adds a clip; None of networks that are a package's, or none."""
    if recipe.store_name not in _counted:
        _counted[recipe.store_name] = _count(recipe, tap)
    return _counted[recipe.store_name]


def _count(recipe: Recipe, tap: str) -> tuple[int | None, int | None]:
    try:
        seen, views = seen_by(recipe)
    except RequestError:  # of a package that is not installed here
        return None, None
    if seen.parameters is None or tap not in seen.taps:
        return seen.parameters, None
    _, build = find_backbone(recipe.backbone)
    with suppress(RuntimeError):  # a size that the network cannot take as it is counted
        return seen.parameters, views * multiply_adds(seen, build, (tap,))
    return seen.parameters, None


def seen_by(recipe: Recipe) -> tuple[Spec, int]:
    """A recipe's network, of the size and frames that it is given, and views of a clip.

    Raises:
        RequestError: its package is not installed.
    """
    spec, _ = find_backbone(recipe.backbone)
    clip = spec.clip and replace(spec.clip, frames=recipe.plan.view_frames)
    seen = replace(spec, size=recipe.transform.crop, clip=clip)
    return seen, recipe.plan.views * recipe.transform.crops


def of_head(asked: RunConfig) -> int | None:
    """Multiply-adds of a head for one clip; None of one that cannot be run without numbers."""
    with suppress(RuntimeError), torch.device("meta"), torch.no_grad():
        head = asked.make_head().eval()
        if remembers(head):
            return None
        features = for_members(head, [torch.zeros(1, *one.shape) for one in asked.sources])
        with FlopCounterMode(display=False) as counter:
            head(features[0] if len(head.members) == 1 else features)
        operations: int = counter.get_total_flops()
        return operations // 2
    return None
