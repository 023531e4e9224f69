"""The EPIC-KITCHENS action recognition challenge's file, from a run's predictions.

One deflated `test.json` in a zip; for every segment the score of every verb and noun
class under string keys (challenge format 0.2). Actions are left for the server to make.
"""

import errno
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.pipelines.runs import Places
from egofeat.pipelines.runs.rows import open_run_store
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.runs.targets import Coverage, coverage
from egofeat.pipelines.training.evaluate import predict_split, split_rows
from egofeat.store.files import replacing, sync

CLASSES = {"verb": 97, "noun": 300}
SUPERVISION = {"sls_pt": 2, "sls_tl": 3, "sls_td": 4}
"""Levels of supervision, as the challenge scales them: pretraining, training labels, data."""


def export_challenge(
    run: Path,
    out: Path,
    split: str = "test",
    store: Places | None = None,
    *,
    incomplete: bool = False,
    device: str = "auto",
) -> Coverage:
    """Write the challenge's zip for a split and return how many segments it holds.

    Args:
        run: folder of a head with the 97 verbs and 300 nouns as targets.
        out: the zip.
        split: whose segments; they need no labels.
        store: where the store lies, if no longer where it was; of a run on several stores,
            each of them in the order of its config.
        incomplete: whether segments may be missing for want of features.
        device: where to run.

    Raises:
        RequestError: the head has other targets, or the store lacks the split, or a part of it.
        StoreError: the store is absent, or holds features of another recipe.
    """
    loaded = load_run(run)
    classes = {target: len(names) for target, names in loaded.config.classes.items()}
    if any(classes.get(target) != count for target, count in CLASSES.items()):
        has = ", ".join(f"{count} {target} classes" for target, count in classes.items())
        raise RequestError(
            f"the challenge needs a head with 97 verb and 300 noun classes and run {run} has {has}:"
            " fit one with `targets` verb,noun on EPIC-KITCHENS-100"
        )
    opened = open_run_store(loaded, store)
    split_rows(opened, split)
    covered = coverage(opened, split)
    if covered.missing and not incomplete:
        raise RequestError(
            f"{covered}, and the challenge scores every segment: extract them, or give "
            "`incomplete` to write those that there are"
        )
    loaded.head.to(choose_device(device))
    predicted = predict_split(loaded, opened, split)
    write_challenge(out, opened.ids[predicted.rows].tolist(), predicted.logits)
    return covered


def write_challenge(out: Path, ids: list[str], logits: Mapping[str, Tensor]) -> None:
    """Write `test.json`, deflated, alone in a zip.

    Args:
        out: the zip; replaced when it is whole.
        ids: narration ids `[N]`.
        logits: `verb` `[N,97]` and `noun` `[N,300]`.

    Raises:
        StoreError: the disk refuses.
    """
    with replacing(out) as temporary:
        with (
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("test.json", "w", force_zip64=True) as file,
        ):
            for text in _pieces(ids, logits):
                file.write(text.encode())
        sync(temporary)
        _read_back(temporary)


def _read_back(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            whole = archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error):
        whole = False
    if not whole:
        raise OSError(errno.EIO, "it reads back other bytes than were written")


def _pieces(ids: list[str], logits: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the JSON text a segment at a time: the whole test set is some 100 MB of it."""
    head = json.dumps({"version": "0.2", "challenge": "action_recognition", **SUPERVISION})
    yield head[:-1] + ', "results": {'
    for number, segment in enumerate(ids):
        entry = {
            target: {str(k): float(f"{score:.6g}") for k, score in enumerate(scores)}
            for target in CLASSES
            for scores in [logits[target][number].double().tolist()]
        }
        yield (", " if number else "") + f"{json.dumps(segment)}: {json.dumps(entry)}"
    yield "}}"
