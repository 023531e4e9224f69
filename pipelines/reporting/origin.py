"""What makes a run again: its commands, and the stores that it was trained on."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from egofeat.errors import EgofeatError
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.registry import find_backbone
from egofeat.pipelines.comparing.finished import Finished
from egofeat.pipelines.runs import CONFIG
from egofeat.pipelines.runs.config import Source
from egofeat.store.description import Description


def commands_of(run: Finished, split: str | None) -> list[str]:
    """Command lines that train the head again, into another folder, and evaluate it."""
    place = shlex.quote(str(run.path))
    config = shlex.quote(str(run.path / CONFIG))
    fit = f"egofeat fit-head --config {config} --out {shlex.quote(f'{run.path}-again')}"
    if split in (None, run.config.splits.val):
        return [fit]
    return [fit, f"egofeat evaluate {place} --split {shlex.quote(str(split))}"]


def stores_of(runs: Sequence[Finished]) -> list[dict[str, str]]:
    """Each store that runs were trained on: name, place, and what made it."""
    sources = {(one.digest, one.tap): one for run in runs for one in run.config.sources}
    return [
        {
            "name": f"{one.recipe.network}/{one.tap}",
            "path": one.store,
            "said": f"{'×'.join(map(str, one.shape))} a row, recipe {one.digest[:12]}{_made(one)}",
        }
        for one in sources.values()
    ]


def operations_of(runs: Sequence[Finished]) -> dict[str, int | None]:
    """Store's backbones and taps to multiply-adds of one view of all; None where not known."""
    known: dict[str, int | None] = {}
    for run in runs:
        key = features_of(run)
        if key not in known:
            each = [_operations(one) for one in run.config.sources]
            counted = [of for of in each if of is not None]
            known[key] = sum(counted) if len(counted) == len(each) else None
    return known


def features_of(run: Finished) -> str:
    """Key of `operations_of`."""
    return "+".join(f"{one.recipe.network}/{one.tap}" for one in run.config.sources)


def _operations(source: Source) -> int | None:
    try:
        spec, build = find_backbone(source.recipe.backbone)
        return multiply_adds(spec, build, (source.tap,)) if source.tap in spec.taps else None
    except (EgofeatError, RuntimeError, ValueError, NotImplementedError):
        return None  # another package's, or one that the counter cannot follow


def _made(source: Source) -> str:
    try:
        made = Description.read(Path(source.store)).made_with
    except EgofeatError:
        return "; the store is not there any more"
    said = ", ".join(f"{name} {version}" for name, version in sorted(made.items()))
    return f"; made with {said}" if said else ""
