"""history.csv: a line an evaluation, added to a training's file as it goes."""

import csv
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from egofeat.errors import EgofeatError
from egofeat.store.damage import writing


@dataclass(frozen=True)
class Extent:
    """How much of a history is meant: what stands beyond is of an evaluation that was lost."""

    size: int = 0
    """Bytes from its beginning."""
    sha256: str = hashlib.sha256().hexdigest()
    """Of these."""


def records(content: bytes, per_epoch: int) -> list[dict[str, float]]:
    """Read the records of a history; a torn line at its end is none.

    Args:
        content: of the file.
        per_epoch: iterations of an epoch.
    """
    whole = content[: content.rfind(b"\n") + 1].decode()
    rows = csv.DictReader(io.StringIO(whole))
    found = [{name: float(value) for name, value in row.items()} for row in rows]
    for record in found:  # shortened in the file is this alone
        record["epoch"] = record["iteration"] / per_epoch
    return found


class History:
    """The file of one training's records.

    Args:
        path: of the file.
        per_epoch: iterations of an epoch, of which the column `epoch` counts the whole and parts.
    """

    def __init__(self, path: Path, per_epoch: int) -> None:
        self.path = path
        self._per_epoch = per_epoch
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def extent(self) -> Extent:
        """How far it has come."""
        return Extent(self._size, self._digest.hexdigest())

    def resume(self, extent: Extent) -> list[dict[str, float]]:
        """Cut what stands beyond, a torn line for one, and return the records that are left.

        Raises:
            EgofeatError: what should be left is not there.
        """
        content = self.check(extent)
        with writing(self.path):
            os.truncate(self.path, extent.size)
        self._digest.update(content)
        self._size = len(content)
        return records(content, self._per_epoch)

    def check(self, extent: Extent) -> bytes:
        """Return what is meant of the file.

        Raises:
            EgofeatError: it is not there.
        """
        content = self.path.read_bytes()[: extent.size] if self.path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != extent.sha256:
            raise EgofeatError(
                f"{self.path} does not fit its checkpoint: restore a copy of it, or "
                "remove the checkpoint next to it to begin again"
            )
        return content

    def append(self, record: dict[str, float]) -> None:
        """Add a record; on the disk when this returns.

        Raises:
            StoreError: the disk refuses.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, list(record), lineterminator="\n")
        if not self._size:
            writer.writeheader()
        counts = {"epoch": f"{record['epoch']:.10g}", "iteration": int(record["iteration"])}
        writer.writerow({**record, **counts})
        added = text.getvalue().encode()
        with writing(self.path), self.path.open("r+b" if self._size else "wb") as file:
            file.seek(self._size)  # over what a failed write may have left
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        self._digest.update(added)
        self._size += len(added)
