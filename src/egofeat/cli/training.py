"""Stage two: `fit-head`, `evaluate`, `predict`, `export-challenge`, and the `demo` of it all."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, is_said, names, show
from egofeat.errors import RequestError

RunFolder = Annotated[Path, typer.Argument(help="Folder that fit-head made.", metavar="RUN")]
Store = Annotated[
    list[Path] | None,
    typer.Option(help="Where the run's store lies, if not where it was; of several, each in turn."),
]


def _whole_numbers(text: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(number) for number in text.split(",")) if text else None
    except ValueError:
        raise RequestError(f"'{text}' is no list of whole numbers: write 300,1000") from None


@app.command("fit-head", rich_help_panel="Heads")
def fit_head_command(
    ctx: typer.Context,
    head: Annotated[
        str,
        typer.Argument(
            help="lstm, convlstm, conv1d, linear, attention_pool, transformer, stam, "
            "flow_attention; roi, of persons."
        ),
    ],
    store: Annotated[
        list[Path] | None,
        typer.Option(
            help="Feature store, or a folder that holds one; repeated, stores of one data set "
            "are joined by segment. [default: features]"
        ),
    ] = None,
    tap: Annotated[
        str | None,
        typer.Option(help="Which of the store's taps; of several, one a store, by comma."),
    ] = None,
    fuse: Annotated[
        str,
        typer.Option(
            help="Joined stores: features (one head on all), logits (a head each) or weighted."
        ),
    ] = "features",
    target: Annotated[
        str | None,
        typer.Option(help="Targets, by comma. [default: verb and noun, else all labelled]"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A published construction and its training: seed; stam-egtea, "
            "stam-egtea-ranger, stam-egtea-expanded; ava."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Of the head, as hidden=128; may be repeated.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Of roi: start from the classifier of a published detection network; with "
            "--epochs 0, stay there."
        ),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Standardise channels by the training rows.")
    ] = False,
    published_split: Annotated[
        str | None,
        typer.Option(help="Of a data set with several, as 2. [default: the manifest's]"),
    ] = None,
    train_split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    val_split: Annotated[str, typer.Option(help="Split to validate and evaluate on.")] = "val",
    val_from_train: Annotated[
        float,
        typer.Option(help="Where there is none: this part of the training groups, as 0.1."),
    ] = 0.0,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 100,
    iterations: Annotated[
        int,
        typer.Option(
            help="At most so many batches, in place of epochs; --lr-… and --warmup count them."
        ),
    ] = 0,
    eval_every: Annotated[
        int, typer.Option(help="Iterations between evaluations; 0 is an epoch's.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(help="Segments, or persons, a batch.")] = 32,
    optimizer: Annotated[str, typer.Option(help="adam, adamw, sgd or ranger.")] = "adam",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    schedule: Annotated[
        str, typer.Option(help="step, multistep, plateau, cosine or constant.")
    ] = "step",
    lr_decay: Annotated[
        float | None,
        typer.Option(
            help="Factor of a lowering. [default: of step 0.2, multistep 0.1, plateau 0.5]"
        ),
    ] = None,
    lr_decay_from: Annotated[
        int | None, typer.Option(help="step: first one of a lowered rate. [default: epoch 35]")
    ] = None,
    lr_decay_every: Annotated[
        int | None, typer.Option(help="step: between lowerings. [default: 20 epochs]")
    ] = None,
    lr_milestones: Annotated[
        str | None,
        typer.Option(help="multistep: lowered after these, as 300,1000.", callback=_whole_numbers),
    ] = None,
    lr_patience: Annotated[
        int, typer.Option(help="plateau: lowered after more evaluations without a better one.")
    ] = 5,
    warmup: Annotated[
        int, typer.Option(help="Epochs or iterations of a linear rise to the full rate.")
    ] = 0,
    clip_norm: Annotated[float, typer.Option(help="Of gradients; 0 leaves them.")] = 1.0,
    l2: Annotated[float, typer.Option(help="On the classifiers' weights.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="On all other weights.")] = 0.0,
    patience: Annotated[
        int, typer.Option(help="Stop after so many evaluations without a better one; 0 never.")
    ] = 10,
    monitor: Annotated[
        str,
        typer.Option(help="What is better: loss, top1 or mean_class_accuracy; of persons mAP."),
    ] = "loss",
    sampling: Annotated[str, typer.Option(help="shuffle or balanced.")] = "shuffle",
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Weigh the loss by inverse frequency.")
    ] = False,
    class_weight_cap: Annotated[float, typer.Option(help="Largest class weight.")] = 10.0,
    logit_adjustment: Annotated[
        float, typer.Option(help="Tau of the logit-adjusted loss; 1 for balance, 0 off.")
    ] = 0.0,
    gaze_weight: Annotated[
        float, typer.Option(help="Of gaze, which teaches attention over maps; 0 for none.")
    ] = 0.0,
    gaze_sigma: Annotated[float, typer.Option(help="Cells that a fixation is blurred by.")] = 1.0,
    amp: Annotated[str, typer.Option(help="Mixed precision: off, bf16 or fp16.")] = "off",
    device: Device = "auto",
    device_cache: Annotated[
        str, typer.Option(help="Keep features on the device: auto, on or off.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of weights and of the order of segments.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. [default: runs/DATASET-HEAD]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a head on kept features, evaluate it, and leave its run folder.

    A training that was killed goes on where it was when the same command is given again.
    """
    from egofeat.heads.config import TrainerConfig
    from egofeat.heads.training.recipes import trainer_config
    from egofeat.pipelines.training.fit import FitConfig, fit_head

    # Only what the person has said: the rest is the preset's to say, then the trainer's.
    said = {
        option: ctx.params[option]
        for option in (field.name for field in fields(TrainerConfig))
        if is_said(ctx, option)
    }
    trainer = trainer_config(preset, **said)
    config = FitConfig(
        head=head,
        store=store or Path("features"),
        tap=tap,
        fuse=fuse,
        targets=names(target),
        preset=preset,
        options=_options(option or []),
        init=init,
        normalize=normalize,
        published_split=published_split,
        train_split=train_split,
        val_split=val_split,
        val_from_train=val_from_train,
        trainer=trainer,
        out=out,
    )
    run = fit_head(config, shown=True)
    if as_json:
        evaluation = run.evaluation.to_dict()
        print(json.dumps({**evaluation, "run": str(run.path), "parameters": run.parameters}))
    else:
        console.say(f"{head}, {run.parameters:,} parameters: {run.path}")
        console.say("\n".join(run.evaluation.lines()))


@app.command("evaluate", rich_help_panel="Heads")
def evaluate_command(
    run: RunFolder,
    split: Annotated[str | None, typer.Option(help="[default: the validation split]")] = None,
    store: Store = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="Average the softmax of the store's clips x crops, as 10x3; it may have more of "
            "them than the run's own. [default: the head sees them together]"
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a trained head on a split: metrics, predictions and confusion matrices."""
    from egofeat.pipelines.bench.backbones import parse_views
    from egofeat.pipelines.training.evaluate import evaluate

    by = parse_views(views) if views else None
    evaluation = evaluate(run, split, store, views=by, device=device)
    if as_json:
        print(json.dumps({**evaluation.to_dict(), "run": str(run)}))
    else:
        console.say("\n".join(evaluation.lines()))


@app.command("predict", rich_help_panel="Heads")
def predict_command(
    run: RunFolder,
    videos: Annotated[
        list[Path], typer.Argument(help="Files, each one segment.", metavar="VIDEO…")
    ],
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Backbone weights, where the store's were your own file; one a store."),
    ] = None,
    top: Annotated[int, typer.Option(help="Classes to name.")] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Name what a trained head sees in videos of no data set."""
    from egofeat.pipelines.training.predict import predict

    if top < 1:
        raise RequestError(f"--top is {top}: give 1 or more")
    seen = predict(run, videos, weights=weights, device=device, top=top)
    show(seen, as_json)
    if seen.failures:
        raise typer.Exit(1)


@app.command("export-challenge", rich_help_panel="Heads")
def export_challenge_command(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="The zip to write.")] = Path("submission.zip"),
    split: Annotated[str, typer.Option(help="Whose segments; they need no labels.")] = "test",
    store: Store = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Leave out segments without features.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Write the zip that the EPIC-KITCHENS-100 action recognition challenge takes."""
    from egofeat.pipelines.exporting.epic_challenge import export_challenge

    covered = export_challenge(run, out, split, store, incomplete=incomplete, device=device)
    console.say(f"{covered}: {out}")


@app.command("demo")
def demo_command(
    data: Annotated[
        Path | None,
        typer.Option(help="Your class folders: `<split>/<class>/<clip>` or `<class>/<clip>`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of everything that is made.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Go the whole road on videos drawn here: extract, train four heads, compare them."""
    from egofeat.pipelines.demo.demo import demo

    show(demo(out, data), as_json)


def _options(listed: list[str]) -> dict[str, str]:
    options = {}
    for text in listed:
        name, equals, value = text.partition("=")
        if not equals:
            raise RequestError(f"--option {text} has no value: write {name}=VALUE")
        options[name] = value
    return options
