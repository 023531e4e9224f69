"""The folder that a trained head lives in, `runs/<name>/`.

config.yaml (see `RunConfig`), head.safetensors, history.csv, metrics.json, predictions.npz,
pictures and SHA256SUMS; checkpoint.safetensors while the training is not finished. A head a store
(`fuse: logits`, `weighted`) leaves history-1.csv, history-2.csv and so on, in the order of the
stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from egofeat.errors import RequestError
from egofeat.heads.fusion import AveragedHeads, Concatenated
from egofeat.heads.head import Head
from egofeat.heads.solved import grow_banks
from egofeat.heads.training.feed import Features
from egofeat.pipelines.runs.config import (
    Covered,
    Result,
    RunConfig,
    Training,
    read_config,
    write_config,
)
from egofeat.pipelines.runs.files import compare, write_file
from egofeat.pipelines.runs.targets import Coverage
from egofeat.store import Rows
from egofeat.store.bounded import read_bounded

_MOST_HEAD = 16 << 30
"""Bytes."""


@dataclass(frozen=True)
class RunFolder:
    """Where each thing of a run stands."""

    path: Path

    @property
    def config(self) -> Path:
        """What made the run."""
        return self.path / "config.yaml"

    @property
    def head(self) -> Path:
        """Weights of the best epoch, and the standardisation if there is one."""
        return self.path / "head.safetensors"

    def history(self, member: str = "") -> Path:
        """One line an epoch; of one of several heads, `-1`, `-2`, …."""
        return self.path / f"history{member}.csv"

    def losses(self, member: str = "") -> Path:
        """Picture of the history."""
        return self.path / f"loss{member}.png"

    def checkpoint(self, member: str = "") -> Path:
        """State after the last epoch done; gone when the run is finished."""
        return self.path / f"checkpoint{member}.safetensors"

    @property
    def metrics(self) -> Path:
        """Figures on the validation split, written last: a run that has them is finished."""
        return self.path / "metrics.json"


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """A trained head, and everything that it takes to train it again."""

    path: Path
    config: RunConfig
    head: Head | AveragedHeads
    """In evaluation mode; on the CPU when it was loaded."""

    @property
    def parameters(self) -> int:
        """Trainable."""
        return sum(p.numel() for p in self.head.parameters() if p.requires_grad)

    @property
    def warnings(self) -> list[str]:
        """What a person should know of how its training went."""
        result = self.config.result
        return [one.diverged for one in result.training if one.diverged] if result else []

    def branches(self, rows: Rows) -> list[tuple[Head, Features]]:
        """Pair each head with the features that it reads of the rows."""
        return branches(self.head, rows)

    def __fspath__(self) -> str:
        """The folder: a run may stand where a path of one is asked for."""
        return str(self.path)

    def __repr__(self) -> str:
        targets = ", ".join(f"{len(of)} {target}" for target, of in self.config.classes.items())
        trained_on = " and ".join(map(str, self.config.sources))
        return (
            f"Run({str(self.path)!r}: {self.config.head} of {self.parameters:,} parameters, "
            f"{targets} classes, trained on {self.config.dataset}, {trained_on})"
        )


def load_run(path: Path | str) -> Run:
    """Load a run's head, on the CPU and in evaluation mode, and what made it.

    Raises:
        RequestError: the folder is no run, or its training is not finished.
        EgofeatError: the config or the head was altered after it was written.
    """
    path = Path(path)
    config = read_config(path)
    try:
        content = read_bounded(RunFolder(path).head, _MOST_HEAD)
        state = load(content)
        empty = config.empty_head()
        with torch.device("meta"):
            grow_banks(empty, {name: t.shape for name, t in state.items()})
        wanted = empty.state_dict()
        if {name: t.shape for name, t in state.items()} != {n: t.shape for n, t in wanted.items()}:
            raise ValueError("other shapes")
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError):
        mend = "run egofeat fit-head again to finish it"
        if RunFolder(path).metrics.exists():  # and to fit it again would be to load it
            mend = "restore a copy of head.safetensors, or remove the run and fit the head again"
        raise RequestError(f"run {path} has no head that fits its config: {mend}") from None
    compare(RunFolder(path).head, content, "restore a copy of it, or fit the head again")
    head = config.make_head()
    head.load_state_dict(state)
    return Run(path=path, config=config, head=head.eval())


def write_run(
    path: Path,
    asked: RunConfig,
    head: Head | AveragedHeads,
    training: Sequence[Training],
    coverage: Mapping[str, Coverage],
) -> Run:
    """Write a trained head, without pickle, and how it was trained.

    Raises:
        StoreError: the disk refuses.
    """
    result = Result(
        parameters=sum(p.numel() for p in head.parameters() if p.requires_grad),
        training=tuple(training),
        coverage={s: Covered(there=c.there, of_split=c.of_split) for s, c in coverage.items()},
    )
    config = asked.model_copy(update={"result": result})
    save_head(path, head)
    write_config(path, config)
    return Run(path=path, config=config, head=head)


def save_head(path: Path, head: Head | AveragedHeads) -> None:
    """Write the head's weights into a run's folder, without pickle."""
    # Copies: a file knows no weight of two names.
    state = {
        name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in head.state_dict().items()
    }
    write_file(RunFolder(path).head, save(state))


def branches(head: Head | AveragedHeads, rows: Rows) -> list[tuple[Head, Features]]:
    """Pair each head of a run with the features that it reads of the rows."""
    parts: Sequence[Features] = rows.parts
    if len(head.members) < len(parts):
        parts = [Concatenated(parts)]
    return list(zip(head.members, parts, strict=True))
