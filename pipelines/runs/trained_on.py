"""Which segments a run was trained on, kept in its folder and held against what it is judged on.

Splits are the manifest's to change, and features outlive them: what was trained on once may be of
the test split tomorrow.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PlainSerializer

from egofeat.errors import RequestError
from egofeat.names import check_name
from egofeat.pipelines.runs.files import compare, write_file
from egofeat.pipelines.runs.run import Run, RunFolder
from egofeat.store import Rows
from egofeat.store.bounded import read_bounded

NAME = "trained-on.json"
_MOST = 256 << 20
"""Bytes, of some five million segments."""


class TrainedOn(BaseModel, frozen=True):
    """What trained a run, and which rows its own figures are of."""

    train: Annotated[frozenset[str], PlainSerializer(sorted)]
    """Of the segments, or key frames, that trained."""
    judged: str
    """Digest of the rows of its validation split, see `digest_of`."""

    @classmethod
    def of(
        cls, store: Rows, rows: NDArray[np.int64], val_split: str, targets: Sequence[str]
    ) -> Self:
        """What a training on some rows of a store is to remember."""
        judged = digest_of(store, val_split, targets)
        return cls(train=ids_of(store, rows), judged=judged)

    def write(self, folder: Path) -> None:
        """Put trained-on.json into a run's folder."""
        write_file(folder / NAME, (self.model_dump_json() + "\n").encode())

    @classmethod
    def recall(cls, run: Run, store: Rows) -> Self | None:
        """What a run was trained on; None where that is not known any more.

        A run without the file was made before there was one: it was trained on what the store
        says, as long as ids, splits and labels are still the same.

        Raises:
            RequestError: the file is damaged.
            EgofeatError: it was altered after it was written.
        """
        targets, splits = run.config.targets, run.config.splits
        mend = "give the command of its egofeat fit-head again, which writes it again"
        try:
            content = read_bounded(run.path / NAME, _MOST)
            compare(run.path / NAME, content, mend)
            return cls.model_validate_json(content)
        except FileNotFoundError:
            if run.config.labels_digest != labels_digest(store, targets):
                return None
            return cls.of(store, store.rows(splits.train), splits.val, targets)
        except ValueError:
            raise RequestError(
                f"{run.path / NAME} is damaged; it lists what the run was trained on: {mend}"
            ) from None


@dataclass(frozen=True)
class Judged:
    """How a run stands to the rows of a split that it is judged on."""

    seen: int | None
    """Segments of them, or key frames, that it was trained on; None where that is not known."""
    suffix: str
    """What the names of files about them end in: nothing of the rows that the run's own figures
    are of, else the split."""


def judge(run: Run, store: Rows, split: str) -> Judged:
    """See whether rows of a split may be judged by a run, and what files about them are called.

    Args:
        run: the run.
        store: what it is judged on.
        split: of the store.

    Raises:
        RequestError: some of them trained it, and the split is not the one that it trained on; or
            the split's name cannot be part of a file's.
    """
    trained = TrainedOn.recall(run, store)
    here = ids_of(store, store.rows(split))
    seen = None if trained is None else len(here & trained.train)
    if seen and split != run.config.splits.train:
        raise RequestError(
            f"run {run.path} was trained on {seen:,} of {len(here):,} {store.counted} of split "
            f"'{split}' in store {store.path}, whose splits have changed since: evaluate it on "
            "another with `split`, or fit the head again"
        )
    own = split == run.config.splits.val
    if own and RunFolder(run.path).metrics.exists():
        own = trained is not None and trained.judged == digest_of(store, split, run.config.targets)
    return Judged(seen, "" if own else f"-{check_name(split, 'split')}")


def ids_of(store: Rows, rows: NDArray[np.int64]) -> frozenset[str]:
    """Ids of rows; of persons, of their key frames."""
    return frozenset(store.ids[rows].tolist())


def labels_digest(store: Rows, targets: Collection[str]) -> str:
    """Hexadecimal sha256 of the ids, splits and labels of all rows of a store."""
    digest = hashlib.sha256("\n".join([*store.ids.tolist(), *store.splits.tolist()]).encode())
    for target in targets:
        digest.update(store.labels[target].tobytes())
    return digest.hexdigest()


def digest_of(store: Rows, split: str, targets: Collection[str]) -> str:
    """Hexadecimal sha256 of the ids and labels of a split's rows, in the order of the ids.

    Of persons, of the key frames that the data set has: their boxes may be others.
    """
    ids, rows = store.judged(split)
    digest = hashlib.sha256(json.dumps(ids).encode())
    for target in targets:
        digest.update(store.labels[target][rows].tobytes())
    return digest.hexdigest()
