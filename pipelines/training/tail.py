"""The blocks of a backbone above a tap, trained on the maps that the tap gave once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from egofeat import console
from egofeat.errors import WeightsError
from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.backbones.cutting import Above, above, whole
from egofeat.extract.backbones.registry import spec_of
from egofeat.extract.backbones.stages import Chain
from egofeat.extract.weights import Weights, choose_weights
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head
from egofeat.heads.options import Rate
from egofeat.pipelines.extraction.recipe_weights import named_weights
from egofeat.pipelines.runs.config import File, RunConfig, Source
from egofeat.pipelines.training.published_heads import start_from


class TailHead(Head):
    """The stages above a tap, their pool, dropout and a linear classifier a target.

    What is below the tap stays as it was when the maps were made. Each view, a clip or a frame, is
    seen alone, and what the classifier takes is averaged. `views` one trains on a view of each
    segment, drawn anew for each batch; validation sees all. `norms` frozen keeps the batch norms'
    statistics and scales. Blocks learn at `rate` times the learning rate.

    Raises:
        RequestError: the features are no maps of that tap, or there are no blocks above it.
    """

    above_tap = True

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        of_tap: tuple[str, str],
        *,
        norms: Literal["frozen", "trained"] = "frozen",
        views: Literal["one", "all"] = "one",
        rate: Annotated[float, Field(gt=0)] = 0.1,
        dropout: Rate = 0.5,
    ) -> None:
        blocks, spec = above(*of_tap)
        super().__init__(blocks.width, classes, dropout)
        self.of_clips = spec.clip is not None
        self.blocks: Above = blocks
        self.norms, self.views, self.rate = norms, views, rate
        if norms == "frozen":
            for norm in self._norms():
                norm.requires_grad_(requires_grad=False)

    def _norms(self) -> list[nn.Module]:
        return [layer for layer in self.blocks.modules() if isinstance(layer, _BatchNorm)]

    def train(self, mode: bool = True) -> Self:
        """Train, but for batch norms that are frozen."""
        super().train(mode)
        if self.norms == "frozen":
            for norm in self._norms():
                norm.eval()
        return self

    def slow_parameters(self) -> tuple[Sequence[nn.Parameter], float]:
        """Those of the blocks, at their own rate."""
        return [one for one in self.blocks.parameters() if one.requires_grad], self.rate

    def prepare(self, features: Tensor) -> Tensor:
        """Views `[B,V,t,C,H,W]` of clips, `[B,V,C,H,W]` of frames; one clip may come without V."""
        return features[:, None] if self.of_clips and features.ndim == 5 else features

    def embed(self, features: Tensor) -> Tensor:
        """Reduce views to `[B,width]`."""
        if self.training and self.views == "one" and features.shape[1] > 1:
            drawn = torch.randint(features.shape[1], (len(features),)).to(features.device)
            features = features[torch.arange(len(features), device=features.device), drawn][:, None]
        maps = features.flatten(0, 1)
        if self.of_clips:
            maps = maps.transpose(1, 2)
        vectors: Tensor = self.blocks(maps)
        return vectors.view(*features.shape[:2], -1).mean(dim=1)


def start(head: Head | AveragedHeads, asked: RunConfig) -> None:
    """Give a fresh head the weights that `init` asks for.

    Raises:
        RequestError: the head cannot start from them.
        WeightsError: they cannot be read, or are not those that the features were made with.
    """
    tails = [member for member in head.members if isinstance(member, TailHead)]
    if tails:
        for tail, source in zip(tails, asked.sources, strict=True):
            file = asked.init.file if isinstance(asked.init, File) else None
            chain, _ = chain_of(source, file)
            tail.blocks.load_state_dict(
                Above(chain, source.tap, source.recipe.network).state_dict()
            )
    elif isinstance(asked.init, File):
        start_from(head, Path(asked.init.file))


def chain_of(
    source: Source, file: str | None, *, same: bool = False
) -> tuple[Chain, Weights | None]:
    """The backbone of some features, whole and unfolded, and the published weights that it has.

    Args:
        source: of the features.
        file: weights to take; None takes those that made the features.
        same: whether a file, too, must be the one that made the features.

    Raises:
        WeightsError: those are a user's own and no file is given, or they have changed.
    """
    recipe = source.recipe
    spec: Spec = spec_of(recipe.backbone)
    named = file or named_weights(recipe)
    if named is None:
        raise WeightsError(
            f"the features were made with weights of your own ({recipe.weights[:15]}…): name that "
            "file with `init` or `weights`"
        )
    chosen = choose_weights(named, spec.weights, spec.called, console.note, spec.grew_from)
    if (same or file is None) and chosen.identity != recipe.weights:
        raise WeightsError(
            f"the features were made with {spec.called} weights {recipe.weights[:15]}…, and these "
            f"are {chosen.identity[:15]}…: extract them again, or name the right file"
        )
    return whole(spec.name, chosen), chosen.published
