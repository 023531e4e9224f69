"""What a person can choose about training a head, and about a trained one."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self

from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig, idle
from egofeat.heads.training.recipes import trainer_config
from egofeat.options import Device, Options, inherited, option
from egofeat.pipelines.options import (
    ChosenOut,
    DataSet,
    Figures,
    FrameRate,
    FromManifest,
    Preset,
    SeveralWeights,
    Split,
    StoreWeights,
    Tap,
    Top,
    Views,
)
from egofeat.pipelines.runs import Places

MOST_SEEDS = 1000


def _read_option(text: str) -> tuple[str, str]:
    """`hidden=128` to its two halves."""
    name, equals, value = text.partition("=")
    if not equals:
        raise RequestError(f"`options` {text} has no value: write {name}=VALUE")
    return name, value


class FitConfig(Tap, Preset, Figures, ChosenOut, panel="Head and data"):
    """Everything that a person can choose about a training."""

    head: str = option(
        "Head to train, or package.module:NAME of one of your own.",
        argument=True,
        imports=True,
        known="egofeat.heads.names:HEADS",
    )
    store: Places = option(
        "Read this feature store, or a folder that holds one; repeat it to join stores of one"
        " data set by segment.",
        default=Path("features"),
        repeated=True,
    )
    tap: str | None = inherited(
        "Read this tap of the store; with several stores, one for all or one per store, "
        "separated by commas."
    )
    fuse: str = option(
        "Join stores by features (one head for all), logits (a head per store, averaged) or "
        "weighted (averaged with the weights that fit the training rows best).",
        default="features",
        choices=("features", "logits", "weighted"),
    )
    targets: tuple[str, ...] = option(
        "Learn these targets, separated by commas.",
        default=(),
        flag="--target",
        default_is="verb and noun, else all labelled",
    )
    preset: str | None = inherited()
    options: Mapping[str, Any] = option(
        "Set an option of the head, such as hidden=128; can be repeated. `egofeat fit-head "
        "HEAD --help` lists them.",
        default={},
        flag="--option",
        repeated=True,
        read=_read_option,
    )
    init: Path | None = option(
        "Start roi from the classifier of this published detection network, tail from the blocks "
        "of this weights file or, with the word backbone, of those that made the features; "
        "--epochs 0 keeps them as they are.",
        default=None,
        metavar="FILE|backbone",
    )
    normalize: bool = option("Standardise channels by the training rows.", default=False)
    """The figures are kept in the head's file."""
    published_split: str | None = option(
        "Use this published split, such as 2, of a data set that has several.",
        default=None,
        default_is="the manifest's",
    )
    train_split: str = option("Train on this split.", default="train")
    val_split: str = option("Validate and evaluate on this split.", default="val")
    val_from_train: float = option(
        "Validate on this part of the training groups, such as 0.1, if there is no validation"
        " split.",
        default=0.0,
        least=0,
        below=1,
    )
    """Whole groups of the training split become `val_split`; 0 takes the split as it is."""
    train_fraction: float = option(
        "Train on this part of the training segments, such as 0.33, drawn by --seed: whole "
        "segments, of any group.",
        default=1.0,
        above=0,
        most=1,
    )
    where: tuple[str, ...] = option(
        "Train and validate only on segments of this group, video or class, such as group=P01 or "
        "verb=open; * stands for anything. Repeat it: one key for either, two keys for both.",
        default=(),
        repeated=True,
        metavar="KEY=VALUE",
    )
    """The head keeps the outputs of all classes; other splits stay whole."""
    out: Path | None = inherited("Write the run to this folder.", default_is="runs/DATASET-HEAD")
    """When that is another run's, with what is different: see `runs.claim`."""
    seeds: int = option(
        "Train with so many seeds at once, from --seed on, on the same batches: a run each.",
        default=1,
        least=1,
        most=MOST_SEEDS,
    )
    log: str | None = option(
        "Also write what TensorBoard shows, to the folder tensorboard of the run.",
        default=None,
        choices=("tensorboard",),
    )
    trainer: TrainerConfig | None = None
    """None takes the preset's own, or the defaults."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trainer:
            self.trainer.refuse_idle()
        if self.init is None and self.trainer and not self.trainer.length:
            raise RequestError(
                "`epochs` 0 trains nothing: give 1 or more, or weights that need no training "
                "with `init`"
            )
        if self.init is not None and self.normalize:
            raise RequestError(
                "a published classifier reads features as they are: leave `normalize` out, or "
                "`init`"
            )

    def trainers(self) -> list[TrainerConfig]:
        """How the head is trained with each seed, as each alone would be told."""
        first = self.trainer or trainer_config(self.preset)
        order = first.order_seed
        seeds = range(first.seed, first.seed + self.seeds)
        told = [first.data_seed if seed == first.seed else order for seed in seeds]
        return [
            replace(first, seed=seed, data_seed=of) for seed, of in zip(seeds, told, strict=True)
        ]

    def outs(self) -> list[Path | None]:
        """The folder named for the run of each seed: of several, one in it for each."""
        if self.out is None or self.seeds == 1:
            return [self.out] * self.seeds
        return [self.out / f"seed{trainer.seed}" for trainer in self.trainers()]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Make it of what was given; the rest is the preset's to say, then the trainer's.

        Raises:
            RequestError: a value that its option cannot have, or a trainer beside its own options.
        """
        own = {one.name: given[one.name] for one in fields(cls) if one.name in given}
        known = {one.name for one in fields(TrainerConfig)}
        trainer = {name: value for name, value in given.items() if name in known}
        if own.get("trainer") is not None:
            if trainer:
                raise RequestError(
                    f"trainer is given whole, and {', '.join(trainer)} too: give one of the two"
                )
            return cls(**own)
        own.pop("trainer", None)
        return cls(**own, trainer=trainer_config(given.get("preset"), **trainer))

    @classmethod
    def saved(cls, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options in a file; the config.yaml of a run says them in its own words."""
        if "classes" not in found:
            return super().saved(found)
        sources = found.get("sources") or found.get("stores") or [found]
        splits = found.get("splits") or {
            "train": found["train_split"],
            "val": found["val_split"],
            "published": found.get("published_split"),
            "val_from_train": found.get("val_from_train"),
        }
        return {
            **found["trainer"],
            **{name: found.get(name) for name in ("head", "preset", "options", "normalize")},
            "store": [source["store"] for source in sources],
            "tap": ",".join(source["tap"] for source in sources),
            "fuse": found.get("fuse"),
            "targets": list(found["classes"]),
            "init": init.get("file") if isinstance(init := found.get("init"), dict) else init,
            "published_split": splits["published"],
            "train_split": splits["train"],
            "val_split": splits["val"],
            "val_from_train": splits["val_from_train"],
            **{name: splits[name] for name in ("where", "train_fraction") if name in splits},
        }

    @classmethod
    def over(cls, saved: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
        """What was typed, then saved, which loses what goes with another value of what was typed.

        A training is counted in epochs or in iterations.
        """
        counted = typed if {"epochs", "iterations"} & typed.keys() else saved
        kept = dict(saved)
        if counted.get("iterations"):
            kept.pop("epochs", None)
        else:
            for name in ("iterations", "eval_every"):
                kept.pop(name, None)
        for name in {*idle({**kept, **typed})} - {*idle(kept)}:  # of a schedule that was
            kept.pop(name, None)
        return {**kept, **typed}


class RunFolder(Options, panel="Run"):
    """Which trained head."""

    run: Path = option("Folder of a run that fit-head made.", argument=True, metavar="RUN")


class StorePlaces(Options, panel="Run"):
    """Where the stores of a run are."""

    store: tuple[Path, ...] | None = option(
        "Read the run's store from this folder, if it was moved; with several stores, repeat "
        "it for each in order.",
        default=None,
        repeated=True,
        default_is="where it was",
    )


class RunStores(RunFolder, StorePlaces, panel="Run"):
    """Which trained head, and where its stores are."""


OWN_WEIGHTS = (
    "Load the backbone's weights from this file, if the store was made with a file of yours; once "
    "per store. With a backbone, its weights."
)
OF_STORE = "those of the store; the published"
RATE = "Frames per second of folders and archives of frames."


class OwnClassifier(Options, panel="Network"):
    """Whose own classifier is asked."""

    backbone: str | None = option(
        "Ask this network's own classifier, in place of a run: one of `egofeat backbones` with "
        "the tap logits.",
        default=None,
        imports=True,
    )


class EvaluateConfig(
    StorePlaces,
    OwnClassifier,
    SeveralWeights,
    DataSet,
    FromManifest,
    Views,
    Split,
    Figures,
    ChosenOut,
    Device,
    panel="Evaluation",
):
    """What a person can choose about an evaluation."""

    run: Path | None = option(
        "Folder of a run that fit-head made; none with a backbone.",
        argument=True,
        metavar="RUN",
        default=None,
    )
    store: tuple[Path, ...] | None = inherited(
        "Read the run's store from this folder, if it was moved; with several stores, repeat "
        "it for each in order. With a backbone, keep its logits there.",
        default_is="where it was; features",
    )
    weights: tuple[str, ...] = inherited(
        "With a backbone: load these weights, the name of published ones or a file.",
        default_is="the published",
    )
    dataset: str | None = inherited("With a backbone: judge it on this data set of the manifest.")
    split: str | None = inherited(
        "Evaluate on this split.", default_is="the validation split; with a backbone, all"
    )
    views: tuple[int, int] | None = inherited(
        "Average the softmax over the store's clips x crops, such as 10x3; there may be more "
        "than in training.",
        default_is="the head sees them together; with a backbone, the published",
    )
    out: Path | None = inherited(
        "With a backbone: write figures and predictions to this folder.",
        default_is="runs/DATASET-BACKBONE-DIGEST-SPLIT",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.run is None and self.backbone is None:
            raise RequestError(
                "RUN is missing: give it, or a `backbone` with the `dataset` to judge it on"
            )
        if self.run is not None and self.backbone is not None:
            raise RequestError(
                f"run {self.run} and `backbone` {self.backbone} exclude each other: leave one out"
            )
        if self.run is not None:
            for name in ("weights", "dataset", "out"):
                if getattr(self, name):
                    raise RequestError(f"`{name}` goes with `backbone`: leave it out of a run's")


class PredictConfig(
    RunFolder, OwnClassifier, Top, StoreWeights, Views, FrameRate, Device, panel="Prediction"
):
    """What a person can choose about predictions."""

    run: Path = inherited(
        "Folder of a run that fit-head made; with a backbone, the first video.",
        metavar="RUN/VIDEO",
    )
    videos: tuple[Path, ...] = option(
        "Videos, frames, or folders of them; each video is taken as one segment.",
        argument=True,
        repeated=True,
        metavar="VIDEO",
        default=(),
    )
    weights: tuple[str, ...] = inherited(OWN_WEIGHTS, default_is=OF_STORE)
    views: tuple[int, int] | None = inherited(
        "With a backbone: average over this many clips (or frames) x crops, such as 10x3.",
        default_is="the published",
    )
    fps: float | None = inherited(RATE, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone is None and not self.videos:
            raise RequestError("no video is named: name one after the run")
        if self.backbone is None and self.views:
            raise RequestError("`views` are of a backbone's own classifier: name a `backbone` too")
