"""What TensorBoard shows of a training: losses, rate, figures and options."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import TYPE_CHECKING, Any

from egofeat.errors import RequestError
from egofeat.pipelines.runs.config import RunConfig
from egofeat.store.damage import writing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
"""Of a run; `tensorboard --logdir` finds it in any folder above."""
COMPARED = ("lr", "batch_size", "optimizer", "weight_decay", "l2", "schedule", "sampling", "seed")
"""Of the trainer, what is shown beside the figures of runs."""


class Board(AbstractContextManager["Board"]):
    """The events of one run, written as it is trained.

    Raises:
        RequestError: TensorBoard is not installed.
        StoreError: the disk refuses.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER
        with writing(self.folder):
            self._writer = needs_tensorboard()(str(self.folder))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, record: Mapping[str, float], member: str = "") -> None:
        """Add the record of an evaluation, at its iteration.

        Args:
            record: of the history.
            member: which of several heads it is, as `RunFolder` has it.
        """
        step = int(record["iteration"])
        for name, value in record.items():
            if name != "iteration":
                shown = f"head{member}/{name}" if member else name
                self._writer.add_scalar(shown, value, step)
        with writing(self.folder):
            self._writer.flush()

    def conclude(self, asked: RunConfig, figures: Mapping[str, float]) -> None:
        """Add the options and the figures of the trained head, for TensorBoard's table of runs."""
        from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415

        final = {f"final/{name}": value for name, value in figures.items()}
        for part in hparams(options_of(asked), final):  # type: ignore[no-untyped-call]
            self._writer._get_file_writer().add_summary(part)  # type: ignore[no-untyped-call]
        for name, value in final.items():
            self._writer.add_scalar(name, value)

    def withdraw(self) -> None:
        """Remove the events of a training that came to nothing."""
        self._writer.close()
        rmtree(self.folder, ignore_errors=True)


def options_of(asked: RunConfig) -> dict[str, Any]:
    """What tells runs apart: head, features, options of the head, those of the trainer."""
    return {
        "head": asked.head,
        "preset": asked.preset or "",
        "features": " + ".join(f"{one.recipe.store_name}:{one.tap}" for one in asked.sources),
        **{name: getattr(asked.trainer, name) for name in COMPARED},
        **{f"option {name}": "" if of is None else of for name, of in asked.options.items()},
    }


def needs_tensorboard() -> "type[SummaryWriter]":
    """What writes events.

    Raises:
        RequestError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
    except ImportError:
        raise RequestError(
            "`log` tensorboard needs TensorBoard: run `pip install egofeat[tensorboard]`"
        ) from None
    return SummaryWriter
