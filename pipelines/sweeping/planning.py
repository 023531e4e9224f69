"""What a study would train, and what it leaves out because it does not fit; nothing is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.names import HEADS
from egofeat.heads.registry import reads, resolve_options
from egofeat.names import check_name
from egofeat.pipelines.runs.config import RunConfig, Splits, init_of
from egofeat.pipelines.runs.targets import split_names
from egofeat.pipelines.sweeping.candidates import Candidate, candidates
from egofeat.pipelines.sweeping.features import Features, compute_of, plan_features
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.study import Study, read_study, set_split, study_of
from egofeat.pipelines.training.fit import check_head
from egofeat.pipelines.training.options import FitConfig
from egofeat.pipelines.training.training_rows import TrainingRows, describe
from egofeat.segments import Dataset
from egofeat.words import nearest

_LONGEST = 150
"""Bytes of the words in a run's name."""


@dataclass(frozen=True)
class Part:
    """What is trained and judged on one of a study's splits."""

    name: str
    """Of the splits; empty where they are the only ones."""
    study: Study
    """On them alone."""
    out: Path
    candidates: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...]
    """What does not fit, and why."""
    rows: "OpenedRows"


@dataclass(frozen=True)
class Plan:
    """A study, and what is to be done for it."""

    study: Study
    out: Path
    features: Features
    parts: tuple[Part, ...]
    figures: str
    """Format of figures beside PNG."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Of all parts."""
        return tuple(one for part in self.parts for one in part.candidates)

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """What does not fit, and why, each once."""
        return tuple(dict.fromkeys(one for part in self.parts for one in part.left_out))


@dataclass(frozen=True)
class _Reading:
    """What decides which rows a training has."""

    key: tuple[Any, ...]
    config: FitConfig = field(compare=False)
    options: Mapping[str, Any] = field(compare=False)
    seed: int = field(compare=False)


class OpenedRows:
    """Rows of stores, opened once for all heads that learn from them one after the other."""

    def __init__(self) -> None:
        self._open = lru_cache(maxsize=4)(_open)

    def of(self, config: FitConfig) -> TrainingRows:
        """The rows that a training has; see `TrainingRows.open`."""
        options = resolve_options(config.head, config.preset, config.options)
        seed = trainer_of(config).order_seed
        drawn = config.val_from_train > 0 or config.train_fraction < 1
        key = (
            *(config.store, config.tap, config.targets, config.train_split, config.val_split),
            *(config.published_split, config.val_from_train, config.train_fraction, config.where),
            *(drawn and seed, options.get("others"), reads(config.head, config.preset)),
        )
        return self._open(_Reading(key, config, options, seed))

    def asked(self, config: FitConfig) -> RunConfig:
        """What config.yaml of the run is to say."""
        options = resolve_options(config.head, config.preset, config.options)
        return describe(config, options, trainer_of(config), self.of(config))


def _open(reading: _Reading) -> TrainingRows:
    rows = TrainingRows.open(reading.config, reading.options, reading.seed)
    rows.tell_missing()
    return rows


def trainer_of(config: FitConfig) -> TrainerConfig:
    """How the head is trained, which `FitConfig.of` has always settled."""
    return config.trainer or TrainerConfig()


def plan_sweep(asked: SweepConfig) -> Plan:
    """Read the study, and find out what of it fits.

    Raises:
        RequestError: the study is not what it must be, or nothing of it fits.
        WeightsError: weights are not to be had.
        StoreError: a store that is named is damaged.
    """
    if asked.study:
        study, places = read_study(asked.study)
    else:
        study, places = study_of(asked.head, asked.store, asked.tap)
    study, settings = set_split(study, asked.settings)
    asked = replace(asked, settings=settings)
    if asked.seeds:
        study = study.model_copy(update={"seeds": asked.seeds})
    compute = compute_of(asked)
    if not compute.has_crew:  # one of `devices` alone is this process's own
        asked = replace(asked, device=compute.device, devices=())
    features = plan_features(study, places, asked, compute)
    out = asked.out or Path("sweeps") / study.name
    rows = OpenedRows()
    parts = []
    for name, of in study.parts.items():
        fitting, left_out = _fitting(of, name, candidates(of, places, features, asked), rows)
        folder = out / f"split-{name}" if name else out
        parts.append(Part(name, of, folder, fitting, left_out, rows))
    return Plan(study, out, features, tuple(parts), asked.figures)


def _fitting(
    study: Study, name: str, wanted: Sequence[Candidate], rows: OpenedRows
) -> tuple[tuple[Candidate, ...], tuple[tuple[str, str], ...]]:
    """Those that can be trained; and what does not fit, and why.

    Raises:
        RequestError: none can.
    """
    fitting: dict[str, Candidate] = {}
    left_out: list[tuple[str, str]] = []
    for one in wanted:
        try:
            first = fitting.setdefault(_request(one, study, rows), one)
            if first is not one:
                left_out.append((one.label, f"it is the same as {first.label}"))
        except EgofeatError as error:
            left_out.append((one.label, str(error)))
    if not fitting:
        said = "; ".join(f"{what}: {why}" for what, why in left_out[:3])
        where = f" on split {name}" if name else ""
        raise RequestError(f"nothing of study '{study.name}' fits{where}: {said}")
    return tuple(fitting.values()), tuple(left_out)


def _request(candidate: Candidate, study: Study, rows: OpenedRows) -> str:
    """Digest of what a candidate asks first, whose head can be trained on its features.

    Raises:
        EgofeatError: it cannot.
    """
    config = candidate.config(study, study.seed_list[0], candidate.grid[0])
    dataset = next((one.dataset for one in candidate.features if one.dataset), None)
    asked = _before(config, candidate, dataset) if dataset else rows.asked(config)
    test = study.split.test
    if test and not dataset and not len((store := rows.of(config).store).rows(test)):
        raise RequestError(f"there is no split '{test}' to test on: it has {split_names(store)}")
    check_head(asked)
    return f"{asked.digest} {candidate.grid}"


def _before(config: FitConfig, candidate: Candidate, dataset: Dataset) -> RunConfig:
    """What config.yaml is about to say of features that need not be there yet."""
    of_persons = reads(config.head, config.preset) == "persons"
    if of_persons and not all(one.source.recipe.of_persons for one in candidate.features):
        raise RequestError(
            f"head '{config.head}' reads persons of key frames, and these are segments"
        )
    if dataset.key_frames:
        raise RequestError("these are key frames, whose persons egofeat roi makes features of")
    if any(one.source.recipe.plan.flat for one in candidate.features):
        raise RequestError("these are windows of whole videos, and heads learn from segments")
    published = config.published_split
    if published and published not in dataset.published:
        known = nearest(published, list(dataset.published))
        raise RequestError(
            f"data set {dataset.name} has no published split '{published}': "
            f"{known if dataset.published else 'it knows one alone'}"
        )
    targets = _targets(config, dataset)
    single = len(candidate.features) == 1
    return RunConfig(
        dataset=dataset.name,
        head=config.head,
        package=HEADS.package(config.head),
        preset=config.preset,
        options=resolve_options(config.head, config.preset, config.options),
        normalize=config.normalize,
        classes={target: dataset.classes[target] for target in targets},
        splits=Splits(
            train=config.train_split,
            val=config.val_split,
            where=config.where,
            train_fraction=config.train_fraction,
        ),
        trainer=trainer_of(config),
        init=init_of(config.init),
        fuse="features" if single else config.fuse,
        sources=tuple(one.source for one in candidate.features),
    )


def _targets(config: FitConfig, dataset: Dataset) -> tuple[str, ...]:
    """Those that will be learnt, as `choose_targets` will find them."""
    for target in config.targets:
        if target not in dataset.classes:
            raise RequestError(
                f"data set {dataset.name} has no target '{target}': it has "
                f"{', '.join(dataset.classes)}"
            )
    for usual in (config.targets, dataset.benchmark, ("verb", "noun")):
        if usual and set(usual) <= set(dataset.classes):
            return tuple(usual)
    return tuple(dataset.classes)


def place_of(out: Path, candidate: Candidate, asked: RunConfig, tried: Mapping[str, Any]) -> Path:
    """Folder of a run: what the study says of it, the seed, and digits of all that it was asked.

    The same request has the same name, whatever else the study holds.
    """
    features = "+".join(one.name.replace("/", ".") for one in candidate.features)
    stated = {**candidate.stated, **{name: str(value) for name, value in tried.items()}}
    words = [asked.head, features, *(f"{name}{value}" for name, value in stated.items())]
    said = "-".join(words)[:_LONGEST]
    plain = "".join(letter if letter.isalnum() or letter in ".+-_" else "_" for letter in said)
    plain = plain.encode()[:_LONGEST].decode(errors="ignore")
    name = f"{plain}-seed{asked.trainer.seed}-{asked.digest[:8]}"
    return out / "runs" / check_name(name, "run")
