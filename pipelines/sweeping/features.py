"""Features of a study: taps of stores that are there, or that are extracted first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from egofeat.errors import RequestError
from egofeat.options import declared
from egofeat.pipelines.crew import settled
from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.extraction.job import Job, plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.pipelines.extraction.reports import JointReport
from egofeat.pipelines.extraction.wanted import read_dataset
from egofeat.pipelines.options import Compute, Data
from egofeat.pipelines.runs.config import Source
from egofeat.pipelines.sweeping.choices import known, multiply, read_values, told
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.study import Line, Places, Study
from egofeat.segments import Dataset
from egofeat.store.description import Description
from egofeat.store.reading.opening import find_store
from egofeat.words import nearest, quoted

_OTHERS = [one.name for kind in (Data, Compute, RoiConfig) for one in declared(kind)]
_OF_EXTRACTION = known(declared(ExtractConfig), but=[*_OTHERS, "out", "taps"])


@dataclass(frozen=True)
class Feature:
    """A tap of a store."""

    name: str
    """`i3d/gap`."""
    more: str
    """What else the study says of it: `frames 8`."""
    store: Path
    source: Source
    dataset: Dataset | None = field(repr=False, compare=False)
    """That it is extracted from; None of a store that was named."""

    @property
    def label(self) -> str:
        """For people."""
        return " ".join(filter(None, (self.name, self.more)))


@dataclass(frozen=True)
class Features:
    """All of a study, and the extractions that make them."""

    all: tuple[Feature, ...]
    jobs: tuple[Job, ...]
    compute: Compute

    def extract(self) -> JointReport | None:
        """Extract what is missing; see `run_jobs`."""
        return run_jobs(self.jobs, self.compute) if self.jobs else None

    def called(self, name: str) -> list[Feature]:
        """Those of a name, `i3d/gap` or with `*`.

        Raises:
            RequestError: there is none.
        """
        names = [one.name for one in self.all]
        found = [one for one in self.all if fnmatchcase(one.name, name) or one.label == name]
        if not found:
            raise RequestError(
                f"there are no features {quoted(name)}: {nearest(name, list(dict.fromkeys(names)))}"
            )
        return found


def compute_of(asked: SweepConfig) -> Compute:
    """How the options ask for features to be extracted, and by which workers; settled.

    Raises:
        RequestError: a device that is not there, or what no engine takes.
    """
    return settled(
        ExtractConfig(
            backbone="mobilenetv2",
            device=asked.device,
            devices=asked.devices,
            ray=asked.ray,
            slurm=asked.slurm,
        )
    )


def plan_features(study: Study, places: Places, asked: SweepConfig, compute: Compute) -> Features:
    """What the lines of `features` ask for. Weights are loaded, no video is opened.

    Raises:
        RequestError: a line that cannot be; the sentence tells which.
        WeightsError: weights are not to be had.
        StoreError: a store that is named is damaged.
    """
    found: list[Feature] = []
    jobs: list[Job] = []
    dataset: Dataset | None = None
    for number, line in enumerate(study.features):
        where = places.of("features", number)
        if "store" in line:
            found += _of_stores(where, line)
            continue
        if "backbone" not in line:
            raise RequestError(f"{where}: it names no features: add `backbone:` or `store:`")
        for said in _said(where, line):
            config = _config(where, said, _taps(line), study, asked.features, compute.device)
            with told(where):
                dataset = dataset or read_dataset(Path(study.manifest), study.dataset)
                job = plan_job(config, dataset)
            jobs.append(job)
            found += _of_job(job, line, said)
    twice = [one for place, one in enumerate(found) if one in found[:place]]
    if twice:
        raise RequestError(f"features {twice[0].label} are asked for twice: name them once")
    return Features(tuple(_apart(found)), tuple(_merged(jobs)), compute)


def _apart(found: Sequence[Feature]) -> Iterator[Feature]:
    """Features, their stores named where nothing else tells them apart."""
    labels = [one.label for one in found]
    for one in found:
        alike = labels.count(one.label) > 1
        yield replace(one, more=f"{one.more} of {one.store}".strip()) if alike else one


def _said(where: str, line: Line) -> list[dict[str, Any]]:
    with told(where):
        return multiply({name: value for name, value in line.items() if name != "tap"})


def _taps(line: Line) -> tuple[str, ...]:
    """Taps of one line are kept by one extraction: several are no choice."""
    said = line.get("tap")
    texts = [] if said is None else said if isinstance(said, list) else [said]
    return tuple(one.strip() for text in texts for one in str(text).split(",") if one.strip())


def _config(
    where: str,
    said: Mapping[str, Any],
    taps: tuple[str, ...],
    study: Study,
    out: Path,
    device: str,
) -> ExtractConfig:
    given = read_values(where, said, _OF_EXTRACTION, also=("backbone", "tap", "store"))
    wanted = {
        name
        for of in study.splits
        for name in (of.train, of.test, None if of.validation_from_train else of.validation)
    }
    published = any(of.published for of in study.splits)
    with told(where):
        return ExtractConfig(
            **given,
            taps=taps,
            manifest=Path(study.manifest),
            dataset=study.dataset,
            splits=() if published else tuple(sorted(filter(None, wanted))),
            out=out,
            device=device,
        )


def _of_job(job: Job, line: Line, said: Mapping[str, Any]) -> Iterator[Feature]:
    more = ", ".join(
        f"{n} {said[n]}" for n in said if isinstance(line[n], list) and n != "backbone"
    )
    for tap, shape in job.recipe.taps.items():
        source = Source(store=str(job.store), digest="", tap=tap, shape=shape, recipe=job.recipe)
        yield Feature(f"{job.recipe.network}/{tap}", more, job.store, source, job.dataset)


def _of_stores(where: str, line: Line) -> Iterator[Feature]:
    for key in line:
        if key not in ("store", "tap"):
            raise RequestError(
                f"{where}: unknown key {quoted(key)}: of a store that is there, give `store` and "
                "`tap` alone"
            )
    for said in _said(where, line):
        with told(where):
            path = find_store(str(said["store"]))
            recipe = Description.read(path).recipe
            for tap in _taps(line) or tuple(recipe.taps):
                if tap not in recipe.taps:
                    raise RequestError(
                        f"{path} has no tap {quoted(tap)}, it has {', '.join(recipe.taps)}"
                    )
                shape = recipe.taps[tap]
                source = Source(store=str(path), digest="", tap=tap, shape=shape, recipe=recipe)
                yield Feature(f"{recipe.network}/{tap}", "", path, source, None)


def _merged(jobs: Sequence[Job]) -> Iterator[Job]:
    """Of several jobs into one store, one."""
    seen: set[Path] = set()
    for job in jobs:
        if job.store not in seen:
            seen.add(job.store)
            yield job
