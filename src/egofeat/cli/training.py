"""Stage two: `fit-head`, `evaluate`, `predict`, `export-challenge`, and the `demo` of it all."""

import json
from pathlib import Path
from typing import Annotated

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, names, show
from egofeat.errors import RequestError

RunFolder = Annotated[Path, typer.Argument(help="Folder that fit-head made.", metavar="RUN")]
Store = Annotated[
    list[Path] | None,
    typer.Option(help="Where the run's store lies, if not where it was; of several, each in turn."),
]


@app.command("fit-head", rich_help_panel="Heads")
def fit_head_command(
    head: Annotated[str, typer.Argument(help="lstm, convlstm, conv1d or linear.")],
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
        typer.Option(help="Joined stores: features (one head on all) or logits (a head each)."),
    ] = "features",
    target: Annotated[
        str | None,
        typer.Option(help="Targets, by comma. [default: verb and noun, else all labelled]"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="seed: the published construction, to the parameter.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Of the head, as hidden=128; may be repeated.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Standardise channels by the training rows.")
    ] = False,
    train_split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    val_split: Annotated[str, typer.Option(help="Split to validate and evaluate on.")] = "val",
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Segments a batch.")] = 32,
    optimizer: Annotated[str, typer.Option(help="adam, adamw or sgd.")] = "adam",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="step, cosine or constant.")] = "step",
    lr_decay: Annotated[float, typer.Option(help="Factor of a step.")] = 0.2,
    lr_decay_from: Annotated[int, typer.Option(help="First epoch of a lowered rate.")] = 35,
    lr_decay_every: Annotated[int, typer.Option(help="Epochs between steps.")] = 20,
    clip_norm: Annotated[float, typer.Option(help="Of gradients; 0 leaves them.")] = 1.0,
    l2: Annotated[float, typer.Option(help="On the classifiers' weights.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="On all other weights.")] = 0.0,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better one; 0 never.")
    ] = 10,
    monitor: Annotated[
        str, typer.Option(help="What is better: loss, top1 or mean_class_accuracy.")
    ] = "loss",
    sampling: Annotated[str, typer.Option(help="shuffle or balanced.")] = "shuffle",
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Weigh the loss by inverse frequency.")
    ] = False,
    class_weight_cap: Annotated[float, typer.Option(help="Largest class weight.")] = 10.0,
    logit_adjustment: Annotated[
        float, typer.Option(help="Tau of the logit-adjusted loss; 1 for balance, 0 off.")
    ] = 0.0,
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
    from egofeat.pipelines.fit_head import FitConfig, fit_head

    trainer = TrainerConfig(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        lr_decay=lr_decay,
        lr_decay_from=lr_decay_from,
        lr_decay_every=lr_decay_every,
        clip_norm=clip_norm,
        l2=l2,
        weight_decay=weight_decay,
        patience=patience,
        monitor=monitor,
        sampling=sampling,
        class_weights=class_weights,
        class_weight_cap=class_weight_cap,
        logit_adjustment=logit_adjustment,
        amp=amp,
        device=device,
        device_cache=device_cache,
        seed=seed,
    )
    config = FitConfig(
        head=head,
        store=store or Path("features"),
        tap=tap,
        fuse=fuse,
        targets=names(target),
        preset=preset,
        options=_options(option or []),
        normalize=normalize,
        train_split=train_split,
        val_split=val_split,
        trainer=trainer,
        out=out,
    )
    trainings = len(store or ()) if fuse == "logits" else 1
    with console.progress(f"training {head}", epochs * max(1, trainings), "epochs") as progress:
        run = fit_head(config, on_epoch=lambda _: progress(1))
    if as_json:
        evaluation = run.evaluation.to_dict()
        print(json.dumps({**evaluation, "run": str(run.path), "parameters": run.parameters}))
    else:
        print(f"{head}, {run.parameters:,} parameters: {run.path}")
        print("\n".join(run.evaluation.lines()))


@app.command("evaluate", rich_help_panel="Heads")
def evaluate_command(
    run: RunFolder,
    split: Annotated[str | None, typer.Option(help="[default: the validation split]")] = None,
    store: Store = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a trained head on a split: metrics, predictions and confusion matrices."""
    from egofeat.pipelines.evaluate import evaluate

    evaluation = evaluate(run, split, store, device=device)
    if as_json:
        print(json.dumps({**evaluation.to_dict(), "run": str(run)}))
    else:
        print("\n".join(evaluation.lines()))


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
    from egofeat.pipelines.predict import predict

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
    device: Device = "auto",
) -> None:
    """Write the zip that the EPIC-KITCHENS-100 action recognition challenge takes."""
    from egofeat.pipelines.epic_challenge import export_challenge

    count = export_challenge(run, out, split, store, device=device)
    print(f"{count} segments of {split}: {out}")


@app.command("demo")
def demo_command(
    data: Annotated[
        Path | None,
        typer.Option(help="Your class folders: <split>/<class>/<clip> or <class>/<clip>."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of everything that is made.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Go the whole road on videos drawn here: extract, train four heads, compare them."""
    from egofeat.pipelines.demo import demo

    show(demo(out, data), as_json)


def _options(listed: list[str]) -> dict[str, str]:
    options = {}
    for text in listed:
        name, equals, value = text.partition("=")
        if not equals:
            raise RequestError(f"--option {text} has no value: write {name}=VALUE")
        options[name] = value
    return options
