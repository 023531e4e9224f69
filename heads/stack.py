"""Heads of one build as one: each weight of theirs stands in one tensor, on a first axis."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egofeat.heads.head import Head


def can_stack(head: Head) -> bool:
    """Whether heads of this build can be computed as one.

    A class that inherits `embed_stacked` is not: it may embed in another way.
    """
    return "embed_stacked" in vars(type(head))


class Stack:
    """K heads of one build, of which each weight and each buffer is one tensor `[K, …]`.

    Those of a head are views of it: what moves the stack moves the heads, and weights that are
    loaded into a head are loaded here. The figures of `Standardise` are the same in all.
    """

    def __init__(self, heads: Sequence[Head], moved: Sequence[bool]) -> None:
        """Stack their weights.

        Args:
            heads: of which `can_stack` is true.
            moved: of each, whether it moves with the stack; others are only computed along.
        """
        first = heads[0]
        kept = chain(first.parameters(), first.buffers(), [first.standardise])
        self.head = deepcopy(first, {id(one): one for one in kept})
        """A head of the stacked weights: of its methods, `embed_stacked` can be called."""
        self._moved = [head for head, moves in zip(heads, moved, strict=True) if moves]
        for (module, name), *parts in zip(*map(_places, (self.head, *heads)), strict=True):
            weights = [getattr(*part) for part in parts]
            stacked = torch.stack([weight.detach() for weight in weights])
            learns = isinstance(weights[0], nn.Parameter)
            leaf = nn.Parameter(stacked, weights[0].requires_grad) if learns else stacked
            setattr(module, name, leaf)
            for weight, view, moves in zip(weights, stacked.unbind(), moved, strict=True):
                if moves:
                    weight.data = view
        self._places = [place for place, moves in enumerate(moved) if moves]
        of_heads = zip(*(head.parameters() for head in self._moved), strict=True)
        self._weights = [*zip(self.head.parameters(), of_heads, strict=True)]

    def hand_gradients(self) -> None:
        """Let the weights of each head have their gradients, which are views too."""
        for stacked, weights in self._weights:
            if stacked.grad is not None:
                for weight, place in zip(weights, self._places, strict=True):
                    weight.grad = stacked.grad[place]

    def release(self) -> None:
        """Give each head weights of its own, the same."""
        for head in self._moved:
            head.zero_grad(set_to_none=True)
            for module, name in _places(head):
                weight = getattr(module, name)
                weight.data = weight.data.clone()

    def conclude(
        self, prepared: Tensor, drop_out: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    ) -> dict[str, Tensor]:
        """What is prepared, or condensed too, to logits `[B,K,classes]` of each target.

        Args:
            prepared: `[B, …]`.
            drop_out: told the embedding of each head `[B,width]`; called where heads drop out.
        """
        head = self.head
        embedded = head.embed_stacked(prepared)
        layers = [layer for layer in head.classifiers if isinstance(layer, nn.Linear)]
        if head.training and head.dropout.p:
            heads = len(layers[0].weight)
            each = embedded.expand(heads, -1, -1) if embedded.ndim == 2 else embedded
            embedded = torch.stack([*drop_out(each.unbind())])
        classify = _alike if embedded.ndim == 2 else _apart
        return {
            target: classify(embedded, layer.weight, layer.bias)
            for target, layer in zip(head.targets, layers, strict=True)
        }


def _alike(embedded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Classify an embedding `[B,width]` that all heads have, by one product."""
    return F.linear(embedded, weight.flatten(0, 1), bias.flatten()).view(-1, *bias.shape)


def _apart(embedded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Classify the embedding of each head, `[K,B,width]`, by a product that rounds as alone."""
    of_heads = zip(embedded.unbind(), weight.unbind(), bias.unbind(), strict=True)
    return torch.stack([F.linear(*one) for one in of_heads], dim=1)


def _places(head: Head) -> list[tuple[nn.Module, str]]:
    """Modules, and names in them, of all weights and buffers that are a head's own."""
    alike = set(head.standardise.modules())
    return [
        (module, name)
        for module in head.modules()
        if module not in alike
        for name, _ in chain(
            module.named_parameters(recurse=False), module.named_buffers(recurse=False)
        )
    ]
