"""What a person's word for weights stands for: published ones, random ones, or a file."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from egofeat.errors import WeightsError
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import Weights, at_hand, find, sha256_of


@dataclass(frozen=True, kw_only=True)
class ChosenWeights:
    """What a network is built with."""

    identity: str
    """`sha256:<hex>` or `random:<seed>`."""
    state: dict[str, Tensor] | None = None
    """None: random weights, made from `seed`."""
    seed: int = 0
    path: Path | None = None
    published: Weights | None = None
    """The record that they are of, or that a user's file turns out to be."""

    def build(self, make: Callable[[dict[str, Tensor] | None, int], nn.Module]) -> nn.Module:
        """Make a network with them.

        Raises:
            WeightsError: they are not the network's; names their file.
        """
        try:
            return make(self.state, self.seed)
        except WeightsError as error:
            raise WeightsError(f"{self.path}: {error}" if self.path else str(error)) from None


def choose_weights(
    weights: str,
    published: Sequence[Weights],
    network: str,
    note: Callable[[str], None] = lambda _: None,
) -> ChosenWeights:
    """Find and read weights.

    Args:
        weights: `default`, the name of published weights, `random` or `random:<seed>`, or a file.
        published: of the network, the default first.
        network: its name, for sentences.
        note: see `find`.

    Raises:
        WeightsError: weights that are absent or altered, or a file that holds none.
    """
    if random := re.fullmatch(r"random(?::(\d+))?", weights):
        seed = int(random[1] or 0)
        return ChosenWeights(identity=f"random:{seed}", seed=seed)
    if weights == "default" and not published:
        raise WeightsError(
            f"nobody has published weights of {network}: give a file or random with `weights`"
        )
    record = next((one for one in published if weights in ("default", one.name)), None)
    path = _find(record, published, note) if record else Path(weights).expanduser()
    if not path.is_file():
        names = "".join(f", {one.name}" for one in published)
        raise WeightsError(
            f"'{weights}' is neither a file nor weights of {network}: give a file or one of "
            f"default, random{names}"
        )
    digest, state = sha256_of(path), read_tensors(path)
    alike = (
        one
        for one in published
        if (one.sha256 and digest.startswith(one.sha256))
        or (one.marks and all(mark in state for mark in one.marks))
    )
    return ChosenWeights(
        identity=f"sha256:{digest}",
        state=state,
        path=path,
        published=record or next(alike, None),  # so that a user's copy is preprocessed alike
    )


def _find(record: Weights, published: Sequence[Weights], note: Callable[[str], None]) -> Path:
    """The file of a record; where it cannot be had, others that are at hand are named."""
    try:
        return find(record, note)
    except WeightsError as error:
        others = [other.name for other in published if at_hand(other)]
        if not others:
            raise
        raise WeightsError(f"{error}; at hand is `weights` {' or '.join(others)}") from None
