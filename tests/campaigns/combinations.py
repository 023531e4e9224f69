"""Commands and options that nobody tries together: done, or one sentence."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.campaigns.kills import EXTRACT, ROI, WINDOWS
from tests.campaigns.pairs import all_pairs
from tests.campaigns.process import Ending, Verdict
from tests.campaigns.scene import NETWORK, READ
from tests.campaigns.stage import Stage, Trial

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

EXTRACTING: Mapping[str, Sequence[Sequence[str]]] = {
    "dataset": [("few",), ("mp4",), ("frames",), ("tar",), ("people",), ("none",)],
    "tap": [(), ("--tap", "gap"), ("--tap", "gap,map"), ("--tap", "nothing")],
    "format": [(), ("--format", "zarr"), ("--format", "hdf5")],
    "compress": [(), ("--compress", "gzip"), ("--compress", "zstd"), ("--compress", "lzf")],
    "dtype": [(), ("--dtype", "float32"), ("--dtype", "int8")],
    "views": [(), ("--frames", "1"), ("--frames", "0"), ("--clips", "2"), ("--windows", "8")],
    "stride": [(), ("--stride", "3"), ("--fps", "7.5")],
    "transform": [(), ("--transform", "weights"), ("--transform", "weights", "--crops", "3")],
    "pool": [(), ("--pool-grid", "1"), ("--pool-time",)],
    "motion": [(), ("--motion", "rgbdiff"), ("--motion", "none")],
    "work": [(), ("--part", "2/3"), ("--part", "9/2"), ("--batch-size", "3"), ("--workers", "2")],
    "split": [(), ("--split", "train"), ("--split", "nowhere")],
    "say": [(), ("--json",), ("--dry-run",), ("--dry-run", "--json"), ("--retry-failed",)],
}
FITTING: Mapping[str, Sequence[Sequence[str]]] = {
    "head": [
        (head,)
        for head in (
            *("linear", "lstm", "convlstm", "conv1d", "stam", "attention_pool", "transformer"),
            *("flow_attention", "roi"),
        )
    ],
    "store": [*(("--store", store) for store in STORES), ("--store", "s/gap", "--store", "s/zarr")],
    "preset": [(), ("--preset", "seed"), ("--preset", "stam-egtea"), ("--preset", "ava")],
    "length": [("--epochs", "2"), ("--epochs", "0"), ("--iterations", "4", "--eval-every", "3")],
    "batch": [("--batch-size", "4"), ("--batch-size", "1"), ("--batch-size", "3")],
    "tap": [(), (), ("--tap", "block2")],
    "fuse": [(), ("--fuse", "logits"), ("--fuse", "weighted")],
    "target": [(), ("--target", "verb"), ("--target", "noun"), ("--target", "action")],
    "split": [(), ("--val-from-train", "0.5"), ("--train-split", "val", "--val-split", "train")],
    "normalize": [(), ("--normalize",)],
    "optimizer": [(), ("--optimizer", "sgd"), ("--optimizer", "ranger"), ("--optimizer", "x")],
    "schedule": [(), ("--schedule", "cosine"), ("--schedule", "plateau"), ("--warmup", "1")],
    "balance": [(), ("--sampling", "balanced"), ("--class-weights",), ("--logit-adjustment", "1")],
    "amp": [(), ("--amp", "bf16")],
    "cache": [(), ("--device-cache", "off"), ("--device-cache", "on")],
    "clip": [(), ("--clip-norm", "0"), ("--lr", "1e9"), ("--monitor", "top1")],
    "option": [(), ("--option", "hidden=8"), ("--option", "dropout=2"), ("--option", "x")],
}
READING: Mapping[str, Sequence[Any]] = {
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
    for choice in stage.thin(all_pairs(EXTRACTING, "extract"), "extract"):
        words = [*NETWORK, *READ, "--dataset", *(w for part in choice.values() for w in part)]
        yield _trial(stage, "extract", ("extract", *words), start)
    for choice in stage.thin(all_pairs(FITTING, "fit"), "fit"):
        words = [word for part in choice.values() for word in part]
        arguments = ("fit-head", *words, "--device", "cpu", "--out", "runs/new", "--json")
        yield _trial(stage, "fit-head", arguments, start)
    for choice in stage.thin(all_pairs(READING, "read"), "read"):
        arguments = [choice["store"] if w == "STORE" else w for w in choice["command"]]
        yield _trial(stage, "what is there", arguments, start)


def _trial(stage: Stage, what: str, arguments: Sequence[str], start: Any) -> Trial:
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
    if ending.refused or (ending.code == 2 and "Usage:" in ending.text):
        return Verdict("one sentence")
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
