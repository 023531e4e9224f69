"""Commands and options that nobody tries together: done, or one sentence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.campaigns.kills import EXTRACT, ROI, WINDOWS
from tests.campaigns.pairs import all_pairs
from tests.campaigns.process import Ending, Verdict
from tests.campaigns.scene import NETWORK, READ
from tests.campaigns.stage import Stage, Trial

Factors = Mapping[str, Sequence[Any]]

STORES: Mapping[str, Sequence[str]] = {
    "s/gap": (*EXTRACT, "--out", "s/gap"),
    "s/gzip": (*EXTRACT, "--compress", "gzip", "--out", "s/gzip"),
    "s/zarr": (*EXTRACT, "--format", "zarr", "--dtype", "float32", "--out", "s/zarr"),
    "s/map": (*EXTRACT[:-1], "map", "--out", "s/map"),
    "s/taps": (*EXTRACT[:-1], "gap,block2", "--out", "s/taps"),
    "s/windows": (*WINDOWS, "--out", "s/windows"),
    "s/persons": (*ROI, "--out", "s/persons"),
}
FITTED = (
    *("fit-head", "linear", "--store", "s/gap", "--epochs", "1", "--batch-size", "4"),
    *("--device", "cpu", "--out", "runs/fitted"),
)

_EXTRACTING: Factors = {
    "dataset": [("few",), ("mp4",), ("frames",), ("tar",)],
    "tap": [(), ("--tap", "gap"), ("--tap", "gap,map"), ("--tap", "map", "--pool-grid", "1")],
    "format": [(), ("--format", "zarr"), ("--compress", "gzip"), ("--compress", "lzf")],
    "dtype": [(), ("--dtype", "float32")],
    "views": [(), ("--frames", "1"), ("--windows", "8"), ("--windows", "3", "--stride", "2")],
    "transform": [(), ("--transform", "weights"), ("--transform", "weights", "--crops", "3")],
    "motion": [(), ("--motion", "none")],
    "work": [(), ("--part", "2/3"), ("--batch-size", "3"), ("--workers", "2")],
    "split": [(), ("--split", "train")],
    "say": [(), ("--json",), ("--dry-run",), ("--dry-run", "--json"), ("--retry-failed",)],
}
_ODD_EXTRACTING: Sequence[Sequence[str]] = [
    *(("--dataset", "people"), ("--dataset", "none"), ("--dataset", ""), ("--tap", "nothing")),
    *(("--tap", ""), ("--compress", "zstd"), ("--format", "x"), ("--dtype", "int8")),
    *(("--frames", "0"), ("--frames", "-1"), ("--clips", "2"), ("--clip-frames", "8")),
    *(("--windows", "0"), ("--windows", "8", "--frames", "2"), ("--windows", "100000")),
    *(("--stride", "3"), ("--fps", "nan"), ("--windows", "8", "--fps", "0.001")),
    *(("--crops", "3"), ("--crops", "2"), ("--transform", "x"), ("--size", "0")),
    *(("--pool-time",), ("--pool-grid", "9"), ("--motion", "rgbdiff"), ("--motion", "x")),
    *(("--part", "9/2"), ("--part", "0/0"), ("--batch-size", "0"), ("--workers", "-1")),
    *(("--split", "nowhere"), ("--split", ""), ("--decoder", "x"), ("--device", "cuda:9")),
    *(("--precision", "fp8"), ("--weights", "nowhere.pth"), ("--weights", "few.csv")),
    *(("--backbone", "x"), ("--out", "few.csv"), ("--manifest", "few.csv"), ("--manifest", ".")),
]
_TRAINING: Factors = {
    "length": [("--epochs", "2"), ("--iterations", "4", "--eval-every", "3"), ("--epochs", "1")],
    "batch": [("--batch-size", "4"), ("--batch-size", "3")],
    "split": [(), ("--train-split", "val", "--val-split", "train")],
    "normalize": [(), ("--normalize",)],
    "optimizer": [(), ("--optimizer", "sgd"), ("--optimizer", "ranger"), ("--optimizer", "adamw")],
    "schedule": [
        *((), ("--schedule", "cosine"), ("--schedule", "plateau"), ("--warmup", "1")),
        ("--schedule", "multistep", "--lr-milestones", "1"),
    ],
    "balance": [(), ("--sampling", "balanced"), ("--class-weights",), ("--logit-adjustment", "1")],
    "amp": [(), ("--amp", "bf16")],
    "cache": [(), ("--device-cache", "off"), ("--device-cache", "on")],
    "more": [(), ("--clip-norm", "0"), ("--monitor", "top1"), ("--patience", "1"), ("--seed", "7")],
}
_FITTING: Sequence[Factors] = (
    {
        "head": [("linear",), ("lstm",), ("conv1d",), ("transformer",)],
        "store": [
            *(("--store", "s/gap"), ("--store", "s/gzip"), ("--store", "s/zarr")),
            *(("--store", "s/taps", "--tap", "gap"), ("--store", "s/map")),
            ("--store", "s/gap", "--store", "s/zarr"),
            ("--store", "s/gap", "--store", "s/zarr", "--fuse", "logits"),
        ],
        **_TRAINING,
    },
    {
        "head": [("convlstm",), ("stam",), ("attention_pool",), ("flow_attention",)],
        "store": [("--store", "s/map"), ("--store", "s/map", "--store", "s/gap")],
        **_TRAINING,
    },
    {
        "head": [("roi", "--store", "s/persons", "--val-from-train", "0.5")],
        **{name: values for name, values in _TRAINING.items() if name != "split"},
    },
)
_ODD_FITTING: Sequence[Sequence[str]] = [
    *(("--epochs", "0"), ("--epochs", "-1"), ("--batch-size", "1"), ("--batch-size", "0")),
    *(("--target", "noun"), ("--target", ""), ("--val-from-train", "0.5"), ("--fuse", "x")),
    *(("--optimizer", "x"), ("--lr", "1e9"), ("--lr", "nan"), ("--option", "hidden=8")),
    *(("--option", "dropout=2"), ("--option", "x"), ("--option", "x=1"), ("--preset", "seed")),
    *(("--preset", "stam-egtea"), ("--preset", "ava"), ("--preset", "x"), ("--tap", "block2")),
    *(("--train-split", "nowhere"), ("--val-split", "train"), ("--gaze-weight", "1")),
    *(("--store", "s/windows"), ("--store", "s/persons"), ("--store", "s"), ("--store", "no")),
    *(("--store", "videos"), ("--init", "few.csv"), ("--out", "few.csv"), ("--out", "s/gap")),
    *(("--schedule", "multistep"), ("--lr-milestones", "x"), ("--warmup", "-1"), ("--amp", "x")),
]
_READING: Factors = {
    "store": ["s", *STORES, "s/gap/few", "nowhere", "videos"],
    "command": [
        ("ls", "STORE"),
        ("ls", "STORE", "--json"),
        ("verify", "STORE"),
        ("verify", "STORE", "--json"),
        ("prune", "STORE"),
        ("prune", "STORE", "--json"),
        *(("export", "STORE", "--to", to, "--out", "out") for to in ("npy", "ego4d", "opentad")),
        ("export", "STORE", "--to", "actionformer", "--out", "out", "--split", "val"),
        ("evaluate", "runs/fitted", "--store", "STORE", "--device", "cpu", "--json"),
        ("evaluate", "runs/fitted", "--split", "", "--device", "cpu"),
        ("evaluate", "STORE", "--device", "cpu"),
        ("export-challenge", "runs/fitted", "--store", "STORE", "--split", "val"),
        ("predict", "runs/fitted", "videos/a.mp4", "videos/broken.mp4", "--json"),
        ("predict", "runs/fitted", "STORE"),
        (
            "reextract",
            "--from",
            "STORE",
            "--backbone",
            "mobilenetv2",
            "--tap",
            "block2",
            "--weights",
            "random",
            "--dry-run",
            *READ,
            "--device",
            "cpu",
        ),
        ("roi", "--store", "STORE", "--dataset", "people", "--manifest", "manifest.yaml"),
    ],
}


def trials(stage: Stage) -> Iterator[Trial]:
    """Extractions, trainings, and everything that reads what they left."""
    start = stage.start("combinations", lambda: stage.do(*STORES.values(), FITTED))
    base = ("extract", *NETWORK, *READ, "--dataset")
    sound = [(*base, *_words(choice)) for choice in all_pairs(_EXTRACTING, "extract")]
    odd = [(*base, "mp4", *words) for words in _ODD_EXTRACTING]
    yield from _all(stage, "extract", [*sound, *odd], start)

    last = ("--device", "cpu", "--out", "runs/new", "--json")
    sound = [
        ("fit-head", *_words(choice), *last)
        for factors in _FITTING
        for choice in all_pairs(factors, "fit")
    ]
    few = ("fit-head", "linear", "--store", "s/gap", "--epochs", "1", "--batch-size", "4")
    yield from _all(
        stage, "fit-head", [*sound, *((*few, *last, *odd) for odd in _ODD_FITTING)], start
    )

    read = [
        tuple(choice["store"] if word == "STORE" else word for word in choice["command"])
        for choice in all_pairs(_READING, "read")
    ]
    yield from _all(stage, "what is there", list(dict.fromkeys(read)), start)


def _words(choice: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for words in choice.values() for word in words]


def _all(
    stage: Stage, what: str, commands: Sequence[Sequence[str]], start: Path
) -> Iterator[Trial]:
    for arguments in stage.thin(commands, what):
        yield _trial(stage, what, arguments, start)


def _trial(stage: Stage, what: str, arguments: Sequence[str], start: Path) -> Trial:
    def one() -> list[Verdict]:
        stage.begin(start)
        ending = stage.run(arguments)
        verdicts = [judge(ending, arguments)]
        if arguments[0] == "fit-head" and ending.code == 0:
            after = ("evaluate", "runs/new", "--device", "cpu", "--json")
            ending = stage.run(after)
            verdicts.append(judge(ending, (*arguments, "; egofeat", *after)))
        return verdicts

    return Trial(f"combined, {what}", " ".join(arguments), one)


def judge(ending: Ending, arguments: Sequence[str]) -> Verdict:
    """Say whether a command was done or refused as it should be."""
    said = f"egofeat {' '.join(arguments)}"
    if ending.escaped:
        return Verdict("escape", bad=True, detail=f"{said}: {ending.escaped}")
    if "Warning" in ending.text:
        line = next(line for line in ending.text.splitlines() if "Warning" in line)
        return Verdict("warning", bad=True, detail=f"{said}: {line[:200]}")
    if ending.code == 0:
        return Verdict("done") if _is_json(ending, arguments) else Verdict("no JSON", True, said)
    if ending.refused:
        return Verdict("one sentence")
    if ending.code == 2 and "Usage:" in ending.text:
        return Verdict("no such option or value")
    if ending.code == 1:
        return Verdict("told that part of it failed")
    return Verdict("neither", bad=True, detail=f"{said}: {ending.code} {ending.last_line}")


def _is_json(ending: Ending, arguments: Sequence[str]) -> bool:
    if "--json" not in arguments:
        return True
    lines = [line for line in ending.text.splitlines() if line[:1] in "{["]
    try:
        json.loads(lines[-1], parse_constant=float)
    except (ValueError, IndexError):
        return False
    return "NaN" not in lines[-1]
