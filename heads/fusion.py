"""Features of several sources for one segment: side by side in one head, or a head each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head, merge_steps
from egofeat.heads.training.feed import Features
from egofeat.heads.training.losses import ABSENT


def concatenated_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of a row of all sources: the longest T, the sum of channels.

    A grid of one channel, such as flow, takes the size of the other maps.

    Args:
        shapes: of a row of each source, `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`.

    Raises:
        RequestError: vectors and maps, or maps of several sizes.
    """
    merged = [merge_steps(shape) for shape in shapes]
    if len(merged) == 1:
        return merged[0]
    wide = [shape for shape in merged if shape[1] > 1 or len(shape) == 2] or merged
    if len({shape[2:] for shape in wide}) > 1 or len({len(shape) for shape in merged}) > 1:
        sizes = " and ".join("×".join(map(str, shape[2:])) or "vectors" for shape in merged)
        raise RequestError(
            f"features of {sizes} cannot be concatenated: train a head a store with `fuse` logits, "
            "or choose taps of one size with `tap`"
        )
    steps = max(shape[0] for shape in merged)
    return (steps, sum(shape[1] for shape in merged), *wide[0][2:])


def concatenate(blocks: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
    """Put features of the same segments side by side on the channel axis.

    A source with fewer steps repeats each, by the nearest relative time: step t of T is
    step ⌊(t + ½)·T′/T⌋ of its T′. A grid of one channel is averaged to the size of the maps.

    Args:
        blocks: `[n, T, C]`, `[n, T, C, H, W]` or `[n, V, t, C, H, W]` of each source.
        out: `[n, T, ΣC, …]` to fill, in any type; None for a new one, float32.

    Raises:
        RequestError: as `concatenated_shape`.
    """
    shape = concatenated_shape([tuple(block.shape[1:]) for block in blocks])
    if out is None:
        out = torch.empty(len(blocks[0]), *shape)
    first = 0
    for block in blocks:
        steps = block.reshape(len(block), *merge_steps(tuple(block.shape[1:])))
        if steps.shape[1] < shape[0]:
            nearest = (2 * torch.arange(shape[0]) + 1) * steps.shape[1] // (2 * shape[0])
            steps = steps.index_select(1, nearest)
        if steps.shape[3:] != shape[2:]:
            resized = F.adaptive_avg_pool2d(steps.flatten(0, 1).float(), (shape[2], shape[3]))
            steps = resized.reshape(len(block), shape[0], 1, *shape[2:])
        last = first + steps.shape[2]
        out[:, :, first:last] = steps
        first = last
    return out


class Concatenated:
    """Several sources of features of the same rows, read as one.

    Raises:
        RequestError: as `concatenated_shape`.
    """

    def __init__(self, sources: Sequence[Features]) -> None:
        self._sources = sources
        self.row_shape = concatenated_shape([source.row_shape for source in sources])
        self.dtype: np.dtype[Any] = np.result_type(*(source.dtype for source in sources))
        self._kept: list[NDArray[Any]] = [
            np.empty((0, *source.row_shape), source.dtype) for source in sources
        ]
        """What each source gathered last: a buffer that is used again saves most of the time."""

    @property
    def longest(self) -> Features:
        """The source with most steps, whose times are those of the rows."""
        return max(self._sources, key=lambda source: merge_steps(source.row_shape)[0])

    @property
    def has_gaze(self) -> bool:
        """Whether there are `gaze_points`."""
        return bool(getattr(self.longest, "has_gaze", False))

    def gaze_points(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where the wearer looked at each step of rows, `[n, T, 3]`."""
        longest: Any = self.longest
        return np.asarray(longest.gaze_points(rows), np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows of all sources, as stored."""
        return sum(source.nbytes for source in self._sources)

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows `[n, T, ΣC, …]`; `out` may be wider than the stored type."""
        if out is None:
            out = np.empty((len(rows), *self.row_shape), self.dtype)
        blocks = []
        for number, source in enumerate(self._sources):
            if len(self._kept[number]) < len(rows):
                self._kept[number] = np.empty((len(rows), *source.row_shape), source.dtype)
            block = source.take(rows, out=self._kept[number][: len(rows)])
            blocks.append(torch.from_numpy(block))
        concatenate(blocks, torch.from_numpy(out))
        return out

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Tell the system which rows come next, in each source."""
        for source in self._sources:
            source.advise_random(rows)


class AveragedHeads(nn.Module):
    """Heads of the same targets, each on features of its own; the mean of their logits."""

    def __init__(self, heads: Iterable[Head]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    @property
    def members(self) -> list[Head]:
        """The heads, in the order of their sources."""
        return [head for head in self.heads if isinstance(head, Head)]

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of each source to target to logits `[B,classes]`."""
        pairs = zip(self.members, features, strict=True)
        return self.combine([head(of_source) for head, of_source in pairs])

    def combine(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Make one of the logits of each head, target by target."""
        return {
            target: torch.stack([logits[target] for logits in parts]).mean(dim=0)
            for target in parts[0]
        }


class WeightedHeads(AveragedHeads):
    """The same with a learnt weight: one number a head for each target, by softmax.

    The weights are fitted when the heads are done, on the training rows' logits. A fresh one
    averages.
    """

    def __init__(self, heads: Iterable[Head]) -> None:
        super().__init__(heads)
        targets = self.members[0].targets
        # Parameters by number: a target may have a dot in its name.
        self.scores = nn.ParameterList(torch.zeros(len(self.members)) for _ in targets)

    def weights(self) -> dict[str, Tensor]:
        """Target to the weight of each head `[heads]`, of sum 1."""
        targets = self.members[0].targets
        return {t: score.softmax(dim=0) for t, score in zip(targets, self.scores, strict=True)}

    def combine(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Weighted mean of the logits of each head, target by target."""
        return {
            target: torch.einsum(
                "s,snc->nc", weight, torch.stack([logits[target].to(weight) for logits in parts])
            )
            for target, weight in self.weights().items()
        }

    def fit(self, parts: Sequence[Mapping[str, Tensor]], labels: Mapping[str, Tensor]) -> None:
        """Find the weights of least cross-entropy; the heads stay as they are.

        The loss is convex in the weights, and they are few: L-BFGS on all rows at once finds
        them, the same each time.

        Args:
            parts: of each head, target to logits `[rows,classes]`.
            labels: target to `[rows]`, -1 where absent.
        """
        optimizer = torch.optim.LBFGS(self.scores, max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            fused = self.combine(parts)
            losses = [
                F.cross_entropy(fused[t], labels[t], ignore_index=ABSENT, reduction="sum")
                for t in fused
            ]
            total = torch.stack(losses).sum() / len(next(iter(labels.values())))
            torch.autograd.backward(total)
            return total

        optimizer.step(loss)  # type: ignore[no-untyped-call]


def for_members(head: Head | AveragedHeads, blocks: Sequence[Tensor]) -> list[Tensor]:
    """What each head of a run reads of the features of each source, `[n, T, C, …]` float32."""
    return [block.float() for block in blocks] if len(head.members) > 1 else [concatenate(blocks)]
