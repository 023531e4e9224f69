"""The attentive probe of V-JEPA: a question for each target, asked of every token."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Rate
from egofeat.heads.transformer import waves


class ProbeHead(Head):
    """Learnable queries, one a target, attend to all tokens: every place of every step.

    As in V-JEPA (Bardes et al., 2024, section 4.2) and V-JEPA 2: `blocks` − 1 blocks in which
    tokens attend to each other, then one in which the queries attend to them, each with a
    feed-forward part four times as wide. Tokens are narrowed to `width` first. They are blind to
    order as far as the backbone is; with `order` each step has a learned position besides, which
    begins as waves.

    Raises:
        RequestError: the width is no multiple of the number of heads.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        blocks: Annotated[int, Field(ge=1, le=4)] = 1,
        width: Count = 128,
        heads_count: Count = 4,
        order: bool = False,
        dropout: Rate = 0.1,
    ) -> None:
        if width % heads_count:
            raise RequestError(
                f"option width of head 'probe' must be a multiple of heads_count {heads_count}, "
                f"not {width}"
            )
        super().__init__(width, classes, dropout)
        self.narrow = nn.Linear(feature_shape[1], width)
        self.positions = nn.Parameter(waves(feature_shape[0], width)) if order else None
        layer = nn.TransformerEncoderLayer(
            width, heads_count, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.mixing = (
            nn.TransformerEncoder(layer, blocks - 1, enable_nested_tensor=False)
            if blocks > 1
            else nn.Identity()
        )
        self.queries = nn.Parameter(0.02 * torch.randn(len(classes), width))
        self.token_norm, self.query_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads_count, dropout, batch_first=True)
        self.forwards = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def embed(self, features: Tensor) -> Tensor:
        """What each query found, `[B,T,C]` or `[B,T,C,H,W]` to `[B,targets,width]`."""
        if features.ndim == 5:
            features = features.flatten(3).transpose(2, 3)  # [B,T,H·W,C]
        else:
            features = features.unsqueeze(2)
        tokens = self.narrow(features)
        if self.positions is not None:
            tokens = tokens + self.positions[:, None]
        tokens = self.token_norm(self.mixing(tokens.flatten(1, 2)))
        asked = self.query_norm(self.queries + 0)  # torch's counter cannot watch a parameter
        asked = asked.expand(len(tokens), -1, -1)
        found, _ = self.attention(asked, tokens, tokens, need_weights=False)
        found = self.queries + found
        answers: Tensor = found + self.forwards(found)
        return answers

    def classify(self, embedding: Tensor) -> dict[str, Tensor]:
        """Classify for each target what its own query found."""
        answers = self.dropout(embedding).unbind(1)
        layers = zip(self.targets, self.classifiers, answers, strict=True)
        return {target: classify(answer) for target, classify, answer in layers}
