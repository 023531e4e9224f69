"""Trainees whose weights are stacked: one forward, one backward and one step for all of them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from egofeat import graphs
from egofeat.heads.stack import Stack, can_stack
from egofeat.heads.training.losses import Criterion
from egofeat.heads.training.optim import OPTIMIZERS, set_rate
from egofeat.heads.training.replicas import Batch, InTurn, Trainee

FAMILY = 4
"""Seeds that may be stacked: 0 to 3, 4 to 7, …

So the same seeds come to the same bits by any number of processes. More at once gain little on one
core, and leave others idle.
"""


def family_of(seed: int) -> int:
    """Which seeds this one may be stacked with."""
    return seed // FAMILY


def can_learn_stacked(trainees: Sequence[Trainee]) -> bool:
    """Whether these learn as one.

    Half precision rounds what differs in the last bit to what differs visibly, and a GPU has a
    graph of each trainee.
    """
    first = trainees[0]
    return (
        len(trainees) > 1
        and can_stack(first.head)
        and first.config.amp == "off"
        and first.device.type == "cpu"
        and graphs.recorder_of(first.device) is None
    )


class Stacked:
    """Trainees that learn from a batch together, as `InTurn` has them learn one after the other.

    Sums are rounded otherwise than alone. They are rounded alike whoever learns, where the members
    are the same: some may be computed along only to that end.
    """

    def __init__(self, members: Sequence[Trainee], learning: Sequence[bool]) -> None:
        """Stack their weights.

        Args:
            members: that came equally far, or farther.
            learning: which of them learn; the others stay as they are.
        """
        self.members, self.learning = list(members), list(learning)
        self._config, self._condensed = members[0].config, members[0].condensed
        self._stack = Stack([one.head for one in members], learning)
        self._learners = {place: one for place, one in enumerate(members) if learning[place]}
        self._places = torch.tensor([*self._learners])
        self.learners = [*self._learners.values()]
        self._optimizer = self._step_together()

    def _step_together(self) -> torch.optim.Optimizer:
        """One optimiser of all weights, which remembers where that of each remembers."""
        each = [one.optimizer for one in self.learners]
        groups = [
            of[0] | {"params": [weight for group in of for weight in group["params"]]}
            for of in zip(*(one.param_groups for one in each), strict=True)
        ]
        together = OPTIMIZERS[self._config.optimizer](groups, lr=self._config.lr)
        for one in each:
            for group in one.param_groups:
                together.state.update({weight: one.state[weight] for weight in group["params"]})
        return together

    def train(self) -> None:
        """Begin a part of the training, with the random numbers of each."""
        self._stack.head.train()
        for trainee in self.learners:
            trainee.seed_noise()

    def step(self, batch: Batch, criterion: Criterion, rates: Sequence[float]) -> Tensor:
        """Learn from a batch at one rate; returns the losses of those that learn."""
        for optimizer in (self._optimizer, *(one.optimizer for one in self.learners)):
            set_rate(optimizer, rates[0])
        losses = criterion(self._conclude(batch.features), batch.labels)
        self._stack.head.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.sum())
        if self._config.clip_norm:
            clip_each(self._stack.head.parameters(), self._config.clip_norm)
        self._stack.hand_gradients()
        self._optimizer.step()
        return losses.detach()[self._places]

    def _conclude(self, features: Tensor) -> dict[str, Tensor]:
        prepared = features if self._condensed else self._stack.head.prepare(features)
        return self._stack.conclude(prepared, self._drop_out)

    def _drop_out(self, embedded: Sequence[Tensor]) -> list[Tensor]:
        dropped = list(embedded)
        for place, trainee in self._learners.items():
            with trainee.noise():
                dropped[place] = self._stack.head.dropout(embedded[place])
        return dropped

    def eval(self) -> None:
        """End a part of the training."""
        self._stack.head.eval()

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Target to `[B,K,classes]` of those that learn."""
        return {t: of[:, self._places] for t, of in self._conclude(features).items()}

    def release(self) -> None:
        """Give each trainee weights of its own."""
        self._stack.release()


class Families:
    """Stacks of several families, and whose rates differ in turn: each learns from every batch."""

    def __init__(self, families: Sequence[InTurn | Stacked]) -> None:
        self._families = families
        self.learners = [one for family in families for one in family.learners]

    def train(self) -> None:
        """Begin a part of the training, with the random numbers of each."""
        for family in self._families:
            family.train()

    def step(self, batch: Batch, criterion: Criterion, rates: Sequence[float]) -> Tensor:
        """Learn from a batch at a rate each; returns the losses `[K]`."""
        losses, left = [], list(rates)
        for family in self._families:
            count = len(family.learners)
            losses.append(family.step(batch, criterion, left[:count]))
            del left[:count]
        return torch.cat(losses)

    def eval(self) -> None:
        """End a part of the training."""
        for family in self._families:
            family.eval()

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Target to `[B,K,classes]`."""
        each = [family.logits(features) for family in self._families]
        return {t: torch.cat([logits[t] for logits in each], dim=1) for t in each[0]}


def clip_each(weights: Iterable[Tensor], most: float) -> None:
    """Scale the gradients of K heads to a norm each, as `nn.utils.clip_grad_norm_` those of one.

    Args:
        weights: `[K, …]` each, in the order of those of a head.
        most: the norm of all gradients of a head together.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norms = [torch.linalg.vector_norm(one.flatten(1), dim=1) for one in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms, dim=1), dim=1)
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for one in gradients:
        one.mul_(factor.view(-1, *(1,) * (one.ndim - 1)))
