"""`egofeat fit-head --seeds`: a run for each seed, and what they are on average."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from egofeat.heads.training.replicas import DivergedError
from egofeat.pipelines.training.fit import fit_each
from egofeat.pipelines.training.in_folder import Diverged, Fitted
from egofeat.pipelines.training.options import FitConfig

_MAIN = ("top1", "mean_class_accuracy", "mAP")


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Runs that differ by their seed alone."""

    runs: Sequence[Fitted]
    failed: Sequence[Diverged]
    """Seeds whose loss was not finite at some time; they have no run."""

    @property
    def exit_code(self) -> int:
        """1 where a seed has no run."""
        return 1 if self.failed else 0

    @property
    def figures(self) -> dict[str, list[float]]:
        """`<target>/<figure>` of the main ones to that of each run, fractions."""
        of_first = self.runs[0].evaluation.metrics
        names = [n for n in of_first if n.count("/") == 1 and n.endswith(_MAIN)]
        return {name: [run.evaluation.metrics[name] for run in self.runs] for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        each = [
            {
                "seed": run.config.trainer.seed,
                **run.evaluation.to_dict(),
                "run": str(run.path),
                "parameters": run.parameters,
            }
            for run in self.runs
        ]
        several = {n: of for n, of in self.figures.items() if len(of) > 1}
        return {
            "runs": each,
            "failed": [{"seed": one.seed, "error": str(one.error)} for one in self.failed],
            "mean": {name: mean(of) for name, of in self.figures.items()},
            "deviation": {name: stdev(of) for name, of in several.items()},
        }

    def lines(self) -> Iterator[str]:
        """A line a seed, then each main figure on average."""
        for run in self.runs:
            said = (f"{_words(n)} {100 * of:.1f} %" for n, of in self._main_of(run).items())
            yield f"seed {run.config.trainer.seed}  {'  '.join(said)}  {run.path}"
            yield from (f"warning: {run.path.name} {of}" for of in run.evaluation.warnings)
        for one in self.failed:
            yield f"seed {one.seed} has no run: {one.error}"
        seen = self.runs[0].evaluation.seen()
        yield f"mean ± standard deviation of {len(self.runs)} seeds, {seen}"
        for name, values in self.figures.items():
            spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
            yield f"{_words(name)} {100 * mean(values):.1f}{spread} %"

    def _main_of(self, run: Fitted) -> dict[str, float]:
        names = [name for name in self.figures if not name.endswith("mean_class_accuracy")]
        return {name: run.evaluation.metrics[name] for name in names}


def _words(name: str) -> str:
    return name.replace("/", " ").replace("_", " ").replace("top", "top-")


def fit_seeds(
    config: FitConfig,
    *,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
    shown: bool = False,
) -> Seeds:
    """Train a head with `config.seeds` seeds on the same batches, and leave a run folder each.

    Each run is what the seed alone comes to with the same `data_seed`. Arguments and errors are
    those of `fit_head`, and `on_epoch` is told the records of all seeds.

    Raises:
        EgofeatError: the training of every seed failed.
    """
    fitted = fit_each(config, on_epoch, shown)
    failed = [one for one in fitted if isinstance(one, Diverged)]
    if len(failed) == len(fitted):
        first, named = failed[0], ", ".join(str(one.seed) for one in failed)
        whose = f"seeds {named} have no run; of seed {first.seed}, " if failed[1:] else ""
        raise DivergedError(f"{whose}{first.error}")
    return Seeds(runs=[one for one in fitted if isinstance(one, Fitted)], failed=failed)
