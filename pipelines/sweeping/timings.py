"""Milliseconds a clip, measured on this machine: of networks down to their taps, and of heads.

What was measured stays with the study, so that a table that is made again is the same.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from egofeat.device import choose_device
from egofeat.errors import EgofeatError
from egofeat.extract.backbones import load
from egofeat.heads.fusion import for_members
from egofeat.heads.solved import remembers
from egofeat.pipelines.bench.speed import median_seconds
from egofeat.pipelines.bench.tables import machine
from egofeat.pipelines.runs.config import RunConfig, Source
from egofeat.pipelines.sweeping.costs import seen_by
from egofeat.recipe import Recipe
from egofeat.store.files import replace_file

_SECONDS = 0.2
"""That each is repeated."""
_FRAMES_AT_ONCE = 4
"""Of an image network: their activations stay where the processor has them."""


class Timings:
    """What was measured for a study, in a file of its folder; of another machine, nothing."""

    def __init__(self, path: Path, device: str) -> None:
        self._path = path
        self._device = choose_device(device)
        self.machine = machine(self._device)
        self._ms: dict[str, float | None] = {}
        try:
            kept = json.loads(path.read_bytes())
            self._ms = kept["ms"] if kept["machine"] == self.machine else {}
        except (OSError, ValueError, LookupError, TypeError):  # none, or no longer one
            pass

    def of_features(self, sources: Sequence[Source]) -> float | None:
        """Milliseconds of the networks, of all views of a clip; None where one cannot be run.

        Random weights and numbers: neither decoding nor motion is in it.
        """
        of_each = []
        for one in sources:
            recipe = one.recipe.only(one.tap)
            measured = partial(self._network, recipe, one.tap)
            of_each.append(self._once(recipe.store_name, measured))
        known = [ms for ms in of_each if ms is not None]
        return sum(known) if len(known) == len(of_each) else None

    def of_head(self, asked: RunConfig) -> float | None:
        """Milliseconds of the head, of one clip's features."""
        of_sources = [[one.recipe.only(one.tap).digest, one.shape] for one in asked.sources]
        key = [asked.head, asked.preset, dict(asked.options), asked.fuse, of_sources]
        return self._once(json.dumps(key, default=str), partial(self._head, asked))

    def _once(self, key: str, measure: Callable[[], float]) -> float | None:
        if key not in self._ms:
            try:
                self._ms[key] = round(1000 * measure(), 4)
            except (EgofeatError, RuntimeError):  # not here, or not of such numbers
                self._ms[key] = None
            found = {"machine": self.machine, "ms": self._ms}
            replace_file(self._path, json.dumps(found, indent=1).encode())
        return self._ms[key]

    def _network(self, recipe: Recipe, tap: str) -> float:
        """Seconds of all views."""
        seen, views = seen_by(recipe)
        own = (recipe.precision, recipe.engine)
        network = load(recipe.backbone, "random", (tap,), self._device, *own)
        at_once = 1 if seen.clip else min(views, _FRAMES_AT_ONCE)
        sides = (seen.size, seen.size)
        shape = (seen.clip.frames, *sides) if seen.clip else sides
        batch = torch.randn(at_once, seen.channels, *shape, device=self._device)
        return median_seconds(partial(network, batch), _SECONDS) * views / at_once

    def _head(self, asked: RunConfig) -> float:
        head = asked.make_head().to(self._device).eval()
        if remembers(head):
            raise RuntimeError("a head without its rows takes another time")
        rows = [torch.randn(1, *one.shape, device=self._device) for one in asked.sources]
        features = for_members(head, rows)
        given = features[0] if len(head.members) == 1 else features
        with torch.inference_mode():
            return median_seconds(partial(_run, head, given), _SECONDS)


def _run(head: nn.Module, features: object) -> object:
    return head(features)
