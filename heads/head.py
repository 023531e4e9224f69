"""What every head shares: standardise, embed a segment, drop out, classify each target."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from egofeat.heads.dropout import Dropout

Reads = Literal["segments", "persons", "maps+flow"]


class Standardise(nn.Module):
    """(features − mean) / std for each channel, with figures of the training rows."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return standardised features of the same shape, `[B,T,C]` or `[B,T,C,H,W]`."""
        shape = (-1,) + (1,) * (features.ndim - 3)
        return (features - self.mean.view(shape)) / self.std.view(shape)


class Head(nn.Module, ABC):
    """Features `[B,T,C]`, `[B,T,C,H,W]` or `[B,V,t,C,H,W]` to logits `[B,classes]` of each target.

    Every head ends alike (MobileNetV2 seed, common base): one embedding of the segment,
    dropout, and one linear classifier a target. Maps of clips have two axes of time, V clips
    of t steps: a head sees them as T = V·t steps.
    """

    reads: ClassVar[Reads] = "segments"
    """What rows it takes: `persons` of key frames, `maps+flow` of which the last channel is a grid
    of flow, or any `segments`."""
    above_tap: ClassVar[bool] = False
    """Whether it is built for the tap of a backbone, which `build_head` then tells it."""

    def __init__(self, width: int, classes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.targets = tuple(classes)
        self.class_totals = dict(classes)
        self.standardise: nn.Module = nn.Identity()
        self.dropout = Dropout(dropout)
        self.classifiers = nn.ModuleList(nn.Linear(width, count) for count in classes.values())

    @property
    def members(self) -> list["Head"]:
        """The heads of a run on its own: this one."""
        return [self]

    def combine(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Make one of the logits of each member: those of the only one."""
        (logits,) = parts
        return dict(logits)

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """Reduce `[B,T,C]` or `[B,T,C,H,W]` to one vector a segment, `[B,width]`."""

    def embed_stacked(self, features: Tensor) -> Tensor:
        """As `embed`, by weights of K heads on a first axis: `[K,B,width]`, or `[B,width]` of all.

        The heads of a class that defines it are computed as one where several seeds learn from
        the same batches (`egofeat.heads.stack`); those of others in turn.
        """
        raise NotImplementedError

    def slow_parameters(self) -> tuple[Sequence[nn.Parameter], float]:
        """Parameters that learn at a part of the learning rate, and this part; none of most."""
        return (), 1.0

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return target to logits `[B,classes]`."""
        return self.conclude(self.prepare(features))

    def prepare(self, features: Tensor) -> Tensor:
        """Merge clips and their steps into one axis of time, and standardise."""
        if features.ndim == 6:
            features = features.flatten(1, 2)
        prepared: Tensor = self.standardise(features)
        return prepared

    def condense(self, prepared: Tensor) -> Tensor:
        """What is prepared, in fewer numbers of which `embed` makes the same.

        Neither weights nor chance have a part in it, so that a trainer does it once for all epochs.
        """
        return prepared

    def conclude(self, prepared: Tensor) -> dict[str, Tensor]:
        """What is prepared, or condensed too, to logits `[B,classes]` of each target."""
        return self.classify(self.embed(prepared))

    def classify(self, embedding: Tensor) -> dict[str, Tensor]:
        """Drop out of an embedding `[B,width]`; return target to logits `[B,classes]`."""
        embedding = self.dropout(embedding)
        return {
            target: classify(embedding)
            for target, classify in zip(self.targets, self.classifiers, strict=True)
        }


class VectorHead(Head):
    """A head of vectors: maps are averaged over space, and that is all that it sees of them."""

    def condense(self, prepared: Tensor) -> Tensor:
        """`[B,T,C]` or `[B,T,C,H,W]` to `[B,T,C]`."""
        return pool_space(prepared)


def merge_steps(feature_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `(V, t, C, H, W)` as `(V·t, C, H, W)`; other shapes unchanged."""
    if len(feature_shape) != 5:
        return feature_shape
    views, steps, *rest = feature_shape
    return (views * steps, *rest)


def pool_space(features: Tensor) -> Tensor:
    """Global average pool: `[B,T,C,H,W]` to `[B,T,C]`; vectors pass unchanged."""
    return features.mean(dim=(3, 4)) if features.ndim == 5 else features
