"""Actions of one person: the region of its box pooled, and the persons beside it if wanted."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Rate


class RoiHead(Head):
    """The head of SlowFast's detection network (Feichtenhofer et al., 2019, section 5).

    A row is `[1+others, C, H, W]`, or `[1+others, C]` pooled over space by who made the store:
    first the person, then others of its key frame, all zeros where there are fewer; pathways lie
    side by side on C. The logits are for a sigmoid each.

    As published, that is the maximum over space, dropout and one linear layer a target. `pool`
    mean averages instead, and `pool` attention weighs the places of a map (`PlacePool`). `others`
    n joins to the person's vector what it finds in n others (`Company`).

    Raises:
        RequestError: another pool than max on vectors, or fewer persons a row than wanted.
    """

    reads = "persons"

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        pool: Literal["max", "mean", "attention"] = "max",
        others: Annotated[int, Field(ge=0)] = 0,
        hidden: Count = 256,
        dropout: Rate = 0.5,
    ) -> None:
        persons, channels, *space = feature_shape
        if pool != "max" and not space:
            raise RequestError(
                f"option pool {pool} of head 'roi' needs maps of persons, and these are vectors, "
                "the maxima over space: choose `tap` roi_map, or leave the option out"
            )
        if persons < 1 + others:
            raise RequestError(
                f"option others {others} of head 'roi' needs rows of {1 + others} persons, and "
                f"these are of {persons}: give fewer others"
            )
        super().__init__(channels + (hidden if others else 0), classes, dropout)
        self.persons = 1 + others
        self.pool = pool
        self.places = PlacePool(channels, hidden) if pool == "attention" else None
        self.company = Company(channels, hidden) if others else None

    def prepare(self, features: Tensor) -> Tensor:
        """Standardise persons; nobody stays zero."""
        prepared = super().prepare(features)
        if isinstance(self.standardise, nn.Identity):
            return prepared
        nobody = ~_present(features.reshape(prepared.shape))
        return prepared.masked_fill(nobody.view(*nobody.shape, *(1,) * (prepared.ndim - 2)), 0)

    def embed(self, features: Tensor) -> Tensor:
        """Reduce `[B,P,C]` or `[B,P,C,H,W]`, P = 1+others, to `[B,C]` or `[B,C+hidden]`."""
        features = features[:, : self.persons]
        vectors = self._pooled(features)
        person, others = vectors[:, 0], vectors[:, 1:]
        if self.company is None:
            return person
        return torch.cat([person, self.company(person, others, _present(features[:, 1:]))], dim=1)

    def _pooled(self, features: Tensor) -> Tensor:
        """One vector a person, `[B,P,C]`."""
        if features.ndim == 3:
            return features
        if self.places is not None:
            pooled: Tensor = self.places(features)
            return pooled
        return features.amax(dim=(3, 4)) if self.pool == "max" else features.mean(dim=(3, 4))


class PlacePool(nn.Module):
    """Mean of a map's places, each weighed by a softmax over space of wᵀ tanh(V x).

    The pooling of Ilse, Tomczak and Welling (2018), equation 8, over the places of one person. The
    scores begin at zero, so that a fresh one averages.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """`[B,P,C,H,W]` to `[B,P,C]`."""
        places = maps.flatten(3).transpose(2, 3)
        scores: Tensor = self.score(torch.tanh(self.hidden(places)))
        weights = scores.squeeze(3).float().softmax(dim=2)
        return torch.einsum("bps,bpsc->bpc", weights, places.float())


class Company(nn.Module):
    """What a person finds in others: scaled dot-product attention (Vaswani et al., 2017, 3.2.1).

    Its query meets a key of each of them; the values that it finds are summed by the softmax. In
    nobody it finds zeros.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, hidden, bias=False)
        self.key = nn.Linear(channels, hidden, bias=False)
        self.value = nn.Linear(channels, hidden, bias=False)

    def forward(self, person: Tensor, others: Tensor, present: Tensor) -> Tensor:
        """Person `[B,C]`, others `[B,n,C]` and which of them there are `[B,n]` to `[B,hidden]`."""
        query, keys = self.query(person), self.key(others)
        scores = torch.einsum("bh,bnh->bn", query, keys).float() / query.shape[1] ** 0.5
        # Not -inf: where all are absent its softmax has no number, nor its gradient.
        scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1) * present
        return torch.einsum("bn,bnh->bh", weights, self.value(others).float())


def _present(persons: Tensor) -> Tensor:
    """Which persons there are, `[B,P]`: those whose features are not all zeros."""
    return persons.flatten(2).any(dim=2)
