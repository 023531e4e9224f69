"""Seeds of one training by several processes, one thread each; what they come to is the same.

Which seeds are stacked follows from their numbers, and each is computed by one thread: by how many
processes, and in which of them, changes no number.
"""

import json
import multiprocessing
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egofeat import console
from egofeat.device import choose_device
from egofeat.engines.local import Processes
from egofeat.errors import EgofeatError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import resolve_options
from egofeat.heads.solved import SolvedHead
from egofeat.heads.stack import can_stack
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.feed import HELD_ON_CPU, as_features, row_bytes
from egofeat.heads.training.passes import predict
from egofeat.heads.training.replicas import DivergedError
from egofeat.heads.training.stacked import family_of
from egofeat.host import free_memory
from egofeat.interruption import scratch_folder
from egofeat.pipelines.figures import style
from egofeat.pipelines.runs.config import RunConfig
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.sentence import sentence_of
from egofeat.pipelines.training.evaluation import Evaluation
from egofeat.pipelines.training.following import Followed, follow
from egofeat.pipelines.training.in_folder import Diverged, Fitted, fit_in
from egofeat.pipelines.training.members import Begun, Tell
from egofeat.pipelines.training.options import FitConfig
from egofeat.pipelines.training.training_rows import TrainingRows, describe
from egofeat.pipelines.workers import Do, Work, do_by_workers

START_S = 5.0
"""That a process takes to begin."""
_PROCESS_BYTES = 700 << 20
"""Of a process with torch, its batches, its heads and what their gradients need."""
_PROBED = 64
"""Rows whose forward pass is timed."""
_BACKWARD = 3
"""Times that a training step takes longer than a forward pass."""
_LOST = (
    "processes ended while they trained seeds, as for want of memory: see what they printed, and "
    "give the same command again with OMP_NUM_THREADS=1, for one process"
)


def a_thread_each(asked: RunConfig, rows: TrainingRows, heads: Begun) -> bool:
    """Whether several seeds are computed by one thread each: heads of vectors on a processor."""
    vectors = all(len(source.shape) == 2 for source in asked.sources)
    trained = not any(isinstance(head, SolvedHead) for head in heads.head.members)
    on_cpu = choose_device(asked.trainer.device).type == "cpu"
    return vectors and trained and on_cpu and rows.store.unit == "segments"


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Seeds:
    """Trainings by the name of the piece that they are in; the word is what came of it, as JSON."""

    pieces: Mapping[str, Sequence[FitConfig]]
    """Each with its folder."""
    form: str
    """Of figures."""

    def __call__(self) -> Do:
        return self._fit

    def _fit(self, name: str) -> str:
        configs = self.pieces[name]
        try:
            with ExitStack() as stack:
                stack.enter_context(one_thread())
                stack.enter_context(style.also(self.form))
                return json.dumps([_said(one) for one in _fit_piece(configs)])
        except EgofeatError:
            raise
        except Exception as error:
            if not (sentence := sentence_of(error)):
                traceback.print_exc()
                sentence = f"a training ended in {type(error).__name__}: its lines are above"
            raise EgofeatError(sentence) from None


def _fit_piece(configs: Sequence[FitConfig]) -> list[Fitted | Diverged]:
    first, trainers = configs[0], [one.trainer or TrainerConfig() for one in configs]
    options = resolve_options(first.head, first.preset, first.options)
    rows = TrainingRows.open(first, options, trainers[0].order_seed)
    asked = [describe(first, options, trainer, rows) for trainer in trainers]
    return fit_in([one.out for one in configs if one.out], asked, rows, first.log)


def _said(one: Fitted | Diverged) -> dict[str, Any]:
    """What the process that asked for a training has to know of it."""
    if isinstance(one, Diverged):
        return {"diverged": str(one.error)}
    found = dict(vars(one.evaluation))
    return found | {"run": None, "pictures": list(map(str, found["pictures"]))}


def _heard(said: Mapping[str, Any], path: Path, seed: int) -> Fitted | Diverged:
    if "diverged" in said:
        return Diverged(seed=seed, path=path, error=DivergedError(said["diverged"]))
    lists = {"warnings": tuple(said["warnings"]), "pictures": tuple(map(Path, said["pictures"]))}
    return Fitted(**vars(load_run(path)), evaluation=Evaluation(**{**said, **lists, "run": path}))


def crew_for(left: Sequence[Begun], examples: Sequence[Examples], cores: int) -> int:
    """How many processes trainings are worth; 1: they are trained here.

    Args:
        left: seeds that are to be trained.
        examples: what each head of a run learns from.
        cores: that may compute.
    """
    most = min(cores, len(_pieces(left, cores)))
    own = any(type(head).__module__ == "__main__" for head in left[0].head.members)
    if most < 2 or own or multiprocessing.current_process().daemon:
        return 1
    if (1 - 1 / most) * _seconds(left, examples) < START_S:
        return 1
    room = int(free_memory() // _bytes_of_process(left, examples))
    if room < most:
        counted = f"{room} processes train" if room > 1 else "one process trains"
        said = f"{counted} {len(left)} seeds: there is no free memory for {most}"
        console.note_once("processes of seeds", said)
    return max(1, min(most, room))


def _pieces(left: Sequence[Begun], crew: int) -> list[list[int]]:
    """Places of seeds that one process trains: those that may be stacked, or about as many each."""
    places = range(len(left))
    if left[0].config.amp == "off" and any(map(can_stack, left[0].head.members)):
        families: dict[int, list[int]] = {}
        for place in places:
            families.setdefault(family_of(left[place].config.seed), []).append(place)
        return [*families.values()]
    return [part.tolist() for part in np.array_split(places, min(crew, len(left)))]


def _seconds(left: Sequence[Begun], examples: Sequence[Examples]) -> float:
    """That training takes here at the least, by the time of a forward pass."""
    total = 0.0
    for head, of in zip(left[0].head.members, examples, strict=True):
        config, rows = left[0].config, of.train[:_PROBED]
        predict(head, of.features, rows)
        began = time.perf_counter()
        predict(head, of.features, rows)
        a_row = (time.perf_counter() - began) / len(rows)
        learnt = config.iterations * config.batch_size or config.epochs * len(of.train)
        if config.patience:
            every = config.eval_every * config.batch_size or len(of.train)
            learnt = min(learnt, (config.patience + 1) * every)
        total += a_row * learnt * _BACKWARD * len(left)
    return total


def _bytes_of_process(left: Sequence[Begun], examples: Sequence[Examples]) -> int:
    """Memory of one process that it shares with no other: features that it holds, for one."""
    held = 0
    for of in examples:
        wanted = row_bytes(as_features(of.features)) * (len(of.train) + len(of.validation))
        chosen = left[0].config.device_cache
        held = max(held, {"on": wanted, "off": 0}.get(chosen, min(wanted, HELD_ON_CPU)))
    return _PROCESS_BYTES + held


def fit_apart(
    configs: Sequence[FitConfig],
    left: Sequence[Begun],
    examples: Sequence[Examples],
    crew: int,
    on_epoch: Tell,
    shown_as: str | None,
) -> list[Fitted | Diverged]:
    """Have processes train seeds, whose folders this process has; see `fit_alike`.

    Args:
        configs: of the seeds.
        left: the same, begun.
        examples: what each head of a run learns from.
        crew: processes.
        on_epoch: told what they add to their histories.
        shown_as: what a bar and lines of figures call the head; None shows nothing.

    Raises:
        EgofeatError: what one of them raised, or processes die whatever they train.
    """
    pieces = {str(number): places for number, places in enumerate(_pieces(left, crew))}
    sent = {
        name: [replace(configs[one], out=left[one].folder.path) for one in places]
        for name, places in pieces.items()
    }
    abreast = sum(map(len, [*pieces.values()][:crew]))
    found: dict[int, Fitted | Diverged] = {}
    work = Work(tuple(pieces), _Seeds(sent, style.form()), "fit-head", json.dumps(_LOST))

    def tell(name: str, word: str) -> None:
        if isinstance(said := json.loads(word), str):
            raise EgofeatError(said)
        for place, one in zip(pieces[name], said, strict=True):
            run = left[place]
            found[place] = _heard(one, run.folder.path, run.config.seed)

    def start(_: int, logs: Path) -> Processes:
        return Processes(["cpu"] * crew, script=False)

    with (
        scratch_folder() as folder,
        follow([Followed(run, examples) for run in left], on_epoch, shown_as, abreast) as look,
    ):
        do_by_workers(work, folder / "board", start, tell, look)
        look()
    ends = [found[place] for place in range(len(left))]
    for one in ends if shown_as else ():
        if isinstance(one, Fitted) and one.config.result:
            for stopped in filter(None, (of.stopped for of in one.config.result.training)):
                console.note(f"seed {one.config.trainer.seed} {stopped}")
    return ends
