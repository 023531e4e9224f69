"""Texts that are not what they must be: a value or one sentence, never anything else.

Manifests, tables, lists and boxes as strangers write them; store.json, segments.json, failures and
config.yaml as a disk may return them.
"""

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaigns import seeds
from tests.campaigns.kills import EXTRACT, ROI
from tests.campaigns.mutate import mutate
from tests.campaigns.process import Verdict, in_one_child, resident
from tests.campaigns.stage import Stage, Trial

TOGETHER = 500
LIMIT, MEMORY, GROWTH = 20.0, 3 << 30, 512 << 20
"""Seconds an input, bytes of addresses a child, bytes of memory that one input may add."""


@dataclass(frozen=True)
class Target:
    """Files that belong together, one of which is spoiled each time, and who reads them."""

    name: str
    files: Mapping[str, bytes]
    probe: Callable[[Path], None]
    count: int


def trials(stage: Stage) -> Iterator[Trial]:
    """Adapters first, then what stores and runs keep."""
    for target in (*_annotations(), *_kept(stage)):
        row = f"spoiled text, {target.name}"
        count = max(20, round(target.count * stage.scale))
        for first in range(0, count, TOGETHER):
            inputs = range(first, min(first + TOGETHER, count))
            yield Trial(row, f"{inputs[0]} to {inputs[-1]}", partial(_some, stage, target, inputs))


def _some(stage: Stage, target: Target, inputs: Sequence[int]) -> Iterator[Verdict]:
    folder = stage.place
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in target.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    judge = partial(_judge, target=target, folder=folder)
    yield from in_one_child(inputs, judge, limit=LIMIT, memory=MEMORY, output=stage.output)


def _judge(number: int, target: Target, folder: Path) -> Verdict:
    from egofeat.errors import EgofeatError

    rng = random.Random(f"{target.name} {number}")
    name = rng.choice([file for file, content in target.files.items() if content])
    path, before = folder / name, resident()
    for file in target.files:  # the one before may have ended its child
        if (folder / file).stat().st_size != len(target.files[file]):
            (folder / file).write_bytes(target.files[file])
    path.write_bytes(mutate(target.files[name], rng))
    try:
        target.probe(folder)
        kind = "read"
    except EgofeatError:
        kind = "refused"
    except BaseException as error:
        error.add_note(f"input {number}, {name}")
        raise
    finally:
        path.write_bytes(target.files[name])
    if resident() - before > GROWTH:
        grown = (resident() - before) >> 20
        return Verdict("memory", bad=True, detail=f"input {number}, {name}: {grown} MiB more")
    return Verdict(kind)


def _annotations() -> Iterator[Target]:
    for name, files in seeds.ANNOTATIONS.items():
        yield Target(name, files, _load, 10_500)
    yield Target("boxes", seeds.BOXES, _boxes, 10_500)


def _load(folder: Path) -> None:
    """Read every data set of a manifest, those after a refused one too."""
    from egofeat.errors import EgofeatError
    from egofeat.manifest import load_manifest

    manifest = load_manifest(folder / "m.yaml")
    refusal: EgofeatError | None = None
    for name in manifest.names:
        try:
            dataset = manifest.dataset(name)
            for video in dataset.gaze or ():
                assert dataset.gaze
                dataset.gaze[video]
        except EgofeatError as error:
            refusal = error
    if refusal:
        raise refusal


def _boxes(folder: Path) -> None:
    from egofeat.adapters.reading.box_files import read_detections
    from egofeat.manifest import load_manifest

    segments = load_manifest(folder / "m.yaml").dataset().segments
    read_detections(folder / "found.csv", segments, 0.5)


def _kept(stage: Stage) -> Iterator[Target]:
    fit = ("fit-head", "linear", "--store", "features/few", "--epochs", "1", "--device", "cpu")
    start = stage.start("texts", lambda: stage.do(EXTRACT, ROI, (*fit, "--batch-size", "4")))
    for name, below in (("a store", "features/few"), ("a store of persons", "features/people")):
        (store,) = (start / below).iterdir()
        kept = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
        texts = {f: p.read_bytes() for f, p in kept.items() if p.suffix in {".json", ".jsonl"}}
        others = {f: p for f, p in kept.items() if f not in texts}
        yield Target(name, texts, partial(_open, others=others), 1_500)
    (run,) = (start / "runs").iterdir()
    head = {"head.safetensors": run / "head.safetensors"}
    config = {"config.yaml": (run / "config.yaml").read_bytes()}
    yield Target("a run", config, partial(_load_run, others=head), 5_000)


def _beside(folder: Path, others: Mapping[str, Path]) -> None:
    for name, path in others.items():
        if not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy2(path, folder / name)


def _open(folder: Path, others: Mapping[str, Path]) -> None:
    from egofeat.errors import EgofeatError
    from egofeat.store import list_stores, open_store, progress_of, verify

    _beside(folder, others)
    list_stores(folder)
    verify(folder)
    with contextlib.suppress(EgofeatError):
        progress_of(folder)
    store = open_store(folder)
    for id_ in store.ids:
        store[id_]


def _load_run(folder: Path, others: Mapping[str, Path]) -> None:
    from egofeat.pipelines.runs.run import load_run

    _beside(folder, others)
    load_run(folder)
