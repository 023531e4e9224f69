"""Heads that no learning rate makes: solved from all training rows at once."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.newton import Problem, principal_axes
from egofeat.heads.options import Count, Positive
from egofeat.heads.training.losses import ABSENT, Criterion
from egofeat.words import decimals

STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""λ of which validation chooses one, the strongest first: each starts where the last ended, and
none follows one that was worse."""
_ROUGHLY = 0.03
"""Part of the loss that may be left at an λ that is only on the way."""
_SIMILARITIES = 1 << 24
"""Of queries to rows, that are held at once: 64 MB."""
_LEAST = 1e-6
"""Share of the votes of a class that none of the neighbours has."""


@dataclass(frozen=True)
class Vectors:
    """What a head is solved from: averages `[rows,C]` float32 with their labels, on a device."""

    vectors: Tensor
    labels: Mapping[str, Tensor]
    """Target to labels `[rows]`, -1 where absent, or `[rows,classes]` bool."""


class SolvedHead(VectorHead):
    """A head of the average over time (and space) that is computed, not trained.

    The same rows give the same head, whatever the seed, rate or number of epochs.
    """

    def condense(self, prepared: Tensor) -> Tensor:
        """`[B,T,C]` or `[B,T,C,H,W]` to a single step, `[B,1,C]`."""
        return self.embed(prepared).unsqueeze(1)

    def embed(self, features: Tensor) -> Tensor:
        """Average `[B,T,C]` or `[B,T,C,H,W]` to `[B,C]`."""
        return pool_space(features).mean(dim=1)

    @abstractmethod
    def solve(self, train: Vectors, validation: Vectors, criterion: Criterion) -> str:
        """Take what the rows give, and say what was chosen, for people; empty: nothing was.

        Args:
            train: rows to learn from.
            validation: rows that choose.
            criterion: loss of logits, by target.

        Raises:
            RequestError: labels that the head cannot learn.
        """


class LogisticHead(SolvedHead):
    """Multinomial logistic regression on standardised averages, by Newton steps to its minimum.

    Minimises the mean cross-entropy + λ‖W‖², W of standardised features, the biases free. The
    solution is kept as one linear classifier a target of the features as they are. Without `l2`,
    λ of each target is lowered along `STRENGTHS` as long as the validation loss falls.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        l2: Positive | None = None,
    ) -> None:
        super().__init__(feature_shape[1], classes, 0.0)
        self.l2 = l2
        for layer in self.classifiers:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def solve(self, train: Vectors, validation: Vectors, criterion: Criterion) -> str:
        """See `SolvedHead.solve`."""
        unit = _largest(train.vectors, dim=0)  # of large numbers the squares are too large
        own, others = train.vectors / unit, validation.vectors / unit
        mean, std = own.mean(dim=0), own.std(dim=0, correction=0)
        std = torch.where(std > torch.finfo(std.dtype).eps * mean.abs(), std, 1.0)
        own, others = (own - mean) / std, (others - mean) / std
        axes = principal_axes(own)
        own, others = own @ axes, others @ axes
        said = []
        for target, layer in zip(self.targets, self.classifiers, strict=True):
            assert isinstance(layer, nn.Linear)
            problem = _problem(own, train.labels[target], target, criterion)
            best, solution = math.inf, None
            weights = own.new_zeros(layer.out_features, own.shape[1] + 1)
            for strength in STRENGTHS[::2]:  # from far the way is shorter by where λ is large
                if self.l2 and strength > self.l2:
                    weights = problem.minimised(strength, weights, _ROUGHLY)
            for strength in (self.l2,) if self.l2 else STRENGTHS:
                weights = problem.minimised(strength, weights)
                logits = F.linear(others, weights[:, :-1], weights[:, -1])
                loss = float(criterion({target: logits}, {target: validation.labels[target]}))
                if solution is not None and loss >= best:
                    break
                best, solution, chosen = loss, weights, strength
            assert solution is not None
            scaled = solution[:, :-1] @ axes.T / std
            layer.weight.data.copy_(scaled / unit)
            layer.bias.data.copy_(solution[:, -1] - scaled @ mean)
            said.append(f"{target} λ {chosen:g}, validation loss {decimals(best)}")
        return "; ".join(said)


def _problem(vectors: Tensor, labels: Tensor, target: str, criterion: Criterion) -> Problem:
    def loss(logits: Tensor) -> Tensor:
        return criterion({target: logits}, {target: labels})

    several = labels.ndim == 2
    classes = None if several else labels.clamp(min=0)[:, None]
    return Problem(vectors, loss, classes, 0.0 if several else criterion.shift(target))


def _largest(values: Tensor, dim: int) -> Tensor:
    """The greatest magnitude along an axis, which stays; 1 where all is nought."""
    largest = values.abs().amax(dim=dim, keepdim=True)
    return torch.where(largest == 0, 1.0, largest)


def _directions(rows: Tensor) -> Tensor:
    """Rows `[B,C]` of length 1, however long they were: a square of 1e20 is no number any more."""
    return F.normalize(rows / _largest(rows, dim=1), dim=1)


class Bank(nn.Module):
    """Rows that a head remembers: unit vectors `[rows,C]`, and their labels `[rows,targets]`."""

    vectors: Tensor
    labels: Tensor

    def __init__(self, width: int, targets: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(0, width))
        self.register_buffer("labels", torch.zeros(0, targets, dtype=torch.int64))

    def grow(self, rows: int) -> None:
        """Make room for so many rows; what was there goes."""
        self.vectors = self.vectors.new_zeros(rows, self.vectors.shape[1])
        self.labels = self.labels.new_zeros(rows, self.labels.shape[1])

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        """Take as many rows as there are."""
        if (found := state.get(f"{prefix}vectors")) is not None and found.ndim == 2:
            self.grow(len(found))
        super()._load_from_state_dict(state, prefix, *rest)


class KnnHead(SolvedHead):
    """Votes of the most similar training rows, as DINO counts them (Caron et al., 2021).

    Of `k` neighbours by cosine similarity s, each votes for its class with exp(s/`temperature`) (Wu
    et al., 2018, section 3.4). Logits are the logarithm of each class's share of the votes.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        k: Count = 20,
        temperature: Positive = 0.07,
    ) -> None:
        super().__init__(feature_shape[1], {}, 0.0)
        self.targets = tuple(classes)
        self.counts = tuple(classes.values())
        self.k = k
        self.temperature = temperature
        self.bank = Bank(feature_shape[1], len(classes))

    def solve(self, train: Vectors, validation: Vectors, criterion: Criterion) -> str:
        """See `SolvedHead.solve`: remember the rows."""
        for target, labels in train.labels.items():
            if labels.ndim == 2:
                raise RequestError(
                    f"target '{target}' has several classes a row, and neighbours vote for one: "
                    "choose head logistic"
                )
        self.bank.vectors = _directions(train.vectors)
        self.bank.labels = torch.stack([train.labels[target] for target in self.targets], dim=1)
        return ""

    def classify(self, embedding: Tensor) -> dict[str, Tensor]:
        """Logarithms of shares of the votes, `[B,classes]` of each target."""
        if not len(self.bank.vectors):  # not solved yet: nobody votes
            return {
                target: embedding.new_full((len(embedding), classes), -math.log(classes))
                for target, classes in zip(self.targets, self.counts, strict=True)
            }
        at_once = max(1, _SIMILARITIES // len(self.bank.vectors))
        parts = [self._voted(_directions(of)) for of in torch.split(embedding.float(), at_once)]
        return {
            target: torch.cat([part[place] for part in parts])
            for place, target in enumerate(self.targets)
        }

    def _voted(self, queries: Tensor) -> Sequence[Tensor]:
        similar = queries @ self.bank.vectors.T
        whole = bool((self.bank.labels != ABSENT).all())
        shared = similar.topk(min(self.k, similar.shape[1])) if whole else None
        votes = []
        for labels, classes in zip(self.bank.labels.T, self.counts, strict=True):
            there = labels != ABSENT
            scores, rows = shared or similar.masked_fill(~there, -torch.inf).topk(
                min(self.k, max(1, int(there.sum())))
            )
            weights = ((scores - scores[:, :1]) / self.temperature).exp()
            shares = torch.zeros(len(queries), classes, device=queries.device)
            shares.scatter_add_(1, labels[rows].clamp(min=0), weights)
            shares = shares / shares.sum(dim=1, keepdim=True)
            votes.append(shares.clamp(min=_LEAST).log())
        return votes


def remembers(head: nn.Module) -> bool:
    """Whether what a head costs is known only with its training rows."""
    return any(isinstance(module, Bank) for module in head.modules())


def grow_banks(head: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give what a head remembers the sizes of a file, by the names in it.

    Raises:
        KeyError: the file has no such thing.
    """
    for name, module in head.named_modules():
        if isinstance(module, Bank):
            module.grow(shapes[f"{name}.vectors"][0])
