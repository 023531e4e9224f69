"""Trainings in this process: seeds that learn from the same batches at once, the others in turn."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from egofeat.pipelines.figures import style
from egofeat.pipelines.sweeping.fitting import Training, carry_out
from egofeat.pipelines.sweeping.planning import OpenedRows, trainer_of
from egofeat.pipelines.training.fit import fit_alike
from egofeat.pipelines.training.in_folder import Diverged
from egofeat.pipelines.training.options import FitConfig


def train_here(
    trainings: Mapping[str, Training], left: Collection[str], rows: OpenedRows
) -> Iterator[tuple[str, str]]:
    """Train what is left; yields the name of each, and why it failed, or nothing.

    Args:
        trainings: each by its name, those that are done too: what is left of seeds that are trained
            at once is trained as with them.
        left: names of those that are not done.
        rows: opens those of a config.
    """
    for group in _alike(trainings):
        of_group = {name: trainings[name] for name in group if name in left}
        alike = [one.config for one in of_group.values()]
        diverged = _train_at_once(alike, rows) if alike and len(group) > 1 else {}
        for name, one in of_group.items():  # what is trained is only judged
            yield name, diverged.get(trainer_of(one.config).seed) or carry_out(one, rows)


def _alike(trainings: Mapping[str, Training]) -> list[list[str]]:
    """Names of trainings that have the same batches, and differ by their seed alone."""
    groups: list[tuple[Training, list[str]]] = []
    for name, one in trainings.items():
        trainer = trainer_of(one.config)
        drawn_alike = trainer.data_seed is not None
        but_seed = replace(one.config, out=None, trainer=replace(trainer, seed=0))
        whole = replace(one, config=but_seed)
        same = groups and groups[-1][0] == whole  # seeds follow each other
        if drawn_alike and same:
            groups[-1][1].append(name)
        else:
            groups.append((whole if drawn_alike else one, [name]))
    return [names for _, names in groups]


def _train_at_once(configs: Sequence[FitConfig], rows: OpenedRows) -> dict[int, str]:
    """Train as far as it goes; returns seed to why it has no run.

    What ends all of them is not told: each says it alone, or is trained.
    """
    try:
        with style.undrawn():
            fitted = fit_alike(configs, rows=rows.of(configs[0]), several=True)
    except Exception:  # of the memory, the disk, a head that is not egofeat's
        return {}
    return {one.seed: str(one.error) for one in fitted if isinstance(one, Diverged)}
