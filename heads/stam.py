"""Spatiotemporal attention on feature maps, taught by gaze where there is gaze."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Odd, Rate

_LEAST = 1e-4
"""What a place weighs, before the weights of a step are divided by their sum, at least."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda scores: scores,
    "sigmoid": F.logsigmoid,
    "softplus": lambda scores: (F.softplus(scores) + _LEAST).log(),
    "relu": lambda scores: (F.relu(scores) + _LEAST).log(),
}
"""Name to the logarithm of what a score weighs; weights are then divided by their sum."""

BETWEEN: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
    "mish": nn.Mish,
}
"""Name to what stands behind each batch norm."""


class AttentionModule(nn.Module):
    """One module: 3-D convolutions score each place, and the map is weighted by the scores.

    The published module (Lu, Liao and Li, 2019) scores maps by 3-D convolutions, normalises over
    space at each step and adds the weighted map to the map. Scores begin at zero: a fresh
    module looks everywhere alike.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        kernel: int,
        activation: str,
        between: str,
        select: str,
        places: int,
        residual: bool,
    ) -> None:
        super().__init__()
        last = nn.Conv3d(hidden, 1, 1)
        nn.init.zeros_(last.weight)
        # A rectified score of zero would pass no gradient.
        nn.init.constant_(last.bias, float(activation == "relu"))  # type: ignore[arg-type]
        self.score = nn.Sequential(
            nn.Conv3d(channels, hidden, kernel, padding="same", bias=False),
            nn.BatchNorm3d(hidden),
            BETWEEN[between](),
            last,
        )
        self.activate = ACTIVATIONS[activation]
        self.select = select
        self.places = places
        self.residual = residual

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh maps `[B,C,T,H,W]`; also the log of the attention `[B,T,H,W]`, float32.

        Weights are of mean 1 over space, so that the scale of a map is kept.
        """
        scores = self.activate(self.score(maps).squeeze(1).float())
        log_attention = scores.flatten(2).log_softmax(dim=2)
        weights = self._selected(log_attention) * log_attention.shape[2]
        if self.residual:
            weights = (1 + weights) / 2
        weighted = maps * weights.view_as(scores).unsqueeze(1).to(maps.dtype)
        return weighted, log_attention.view_as(scores)

    def _selected(self, log_attention: Tensor) -> Tensor:
        """Weights `[B,T,H·W]` of sum 1: all places, the best few, or one drawn by its odds.

        Or the mean, which looks at nothing: the same head without attention.

        Drawing passes the gradient of the soft weights straight through (Jang et al., 2017,
        section 2.2); where nothing is trained, the likeliest place is taken.
        """
        soft = log_attention.exp()
        if self.select == "mean":
            return torch.full_like(soft, 1 / soft.shape[2])
        if self.select == "topk":
            best = soft.topk(min(self.places, soft.shape[2]), dim=2)
            share = best.values / best.values.sum(dim=2, keepdim=True)
            return torch.zeros_like(soft).scatter(2, best.indices, share)
        if self.select == "sample":
            if self.training:
                return F.gumbel_softmax(log_attention, hard=True, dim=2)
            return F.one_hot(soft.argmax(dim=2), soft.shape[2]).to(soft.dtype)
        return soft


class StamHead(Head):
    """Maps narrowed to `width` channels, `depth` modules of attention, pooled over all.

    `activation` makes weights of the scores, `between` follows each batch norm. Between two modules
    stands a 1×1×1 convolution with batch norm. Every module is taught by gaze; the attention that
    is shown is the last one's, which weighs what is pooled.

    Raises:
        RequestError: the features are vectors.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        depth: Count = 1,
        width: Count = 256,
        hidden: Count = 64,
        kernel: Odd = 3,
        activation: Literal["softmax", "sigmoid", "softplus", "relu"] = "softmax",
        between: Literal["relu", "leaky_relu", "elu", "gelu", "swish", "mish"] = "relu",
        select: Literal["soft", "topk", "sample", "mean"] = "soft",
        places: Count = 4,
        residual: bool = True,
        dropout: Rate = 0.5,
    ) -> None:
        if len(feature_shape) != 4:
            raise RequestError(
                "head 'stam' needs feature maps and this store holds vectors: extract with "
                "`tap` map, or choose attention_pool or transformer"
            )
        super().__init__(width, classes, dropout)
        incoming = [feature_shape[1], *[width] * (depth - 1)]
        self.narrow = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(channels, width, 1, bias=False), nn.BatchNorm3d(width), BETWEEN[between]()
            )
            for channels in incoming
        )
        self.attend = nn.ModuleList(
            AttentionModule(
                width,
                hidden=hidden,
                kernel=kernel,
                activation=activation,
                between=between,
                select=select,
                places=places,
                residual=residual,
            )
            for _ in incoming
        )

    def embed(self, features: Tensor) -> Tensor:
        """Reduce maps `[B,T,C,H,W]` to `[B,width]`."""
        return self._embed_and_attend(features)[0]

    def look(self, features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits, and the log of every module's attention, `[depth,B,T,H,W]`."""
        embedding, log_attention = self._embed_and_attend(self.prepare(features))
        return self.classify(embedding), log_attention

    def attention(self, features: Tensor) -> Tensor:
        """Where the last module looks, `[B,T,H,W]`; each step sums to 1 over space.

        Of hard attention, the odds by which it chooses.
        """
        return self._embed_and_attend(self.prepare(features))[1][-1].exp()

    def _embed_and_attend(self, features: Tensor) -> tuple[Tensor, Tensor]:
        maps = features.transpose(1, 2)
        looked = []
        for narrow, attend in zip(self.narrow, self.attend, strict=True):
            maps, log_attention = attend(narrow(maps))
            looked.append(log_attention)
        return maps.mean(dim=(2, 3, 4)), torch.stack(looked)
