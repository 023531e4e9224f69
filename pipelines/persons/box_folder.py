"""The folder of one detector's boxes of a data set: a CSV a video, and what was looked at.

    <out>/<dataset>/<detector>-<digest8>/
        detector.json           what the boxes depend on, and what they were made with
        <video>.csv             its persons, in the form of AVA's detections
        looked/<video>.json     its key frames that were looked at, and what could not be read
        failures.jsonl          the latter, of all videos; absent without any

A video is done when it has been looked at: that is written last.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from egofeat.adapters.reading.box_files import detections_csv
from egofeat.boxes import Boxes
from egofeat.errors import StoreError
from egofeat.store import Failure
from egofeat.store.damage import writing
from egofeat.store.files import create_file, remove_leftovers, replace_file, sync, temporary_path
from egofeat.store.sidecar.failures import read_failures, write_failures

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Everything that decides the boxes of a frame and which frames have them, nothing else."""

    detector: str
    weights: str
    """`sha256:<hex>` or `random:<seed>`."""
    threshold: float
    min_size: float
    moments: str | float
    """`key frames`, or seconds from one frame to the next."""
    decoder: str

    @property
    def folder_name(self) -> str:
        """`<detector>-<first 8 digits of the digest>`."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"{self.detector}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was looked at of one video."""

    video: str
    fps: float | None
    first_frame: int | Literal["lowest"] | None
    """Of its media, which say what frames of a folder or tar are on show when."""
    key_frames: Mapping[str, float]
    """Id to the second that was looked at, in the order of time."""
    empty: int
    """How many of those are without a person."""
    boxes: int
    failures: tuple[Failure, ...]
    """Key frames without a readable frame; of a video that is not readable, one with its name."""

    @property
    def moments(self) -> dict[str, float]:
        """Id to second of every key frame that was tried, read or not."""
        return {failure.id: failure.start for failure in self.failures} | dict(self.key_frames)

    @property
    def unopened(self) -> bool:
        """Whether the video as a whole could not be read."""
        return any(failure.id == self.video for failure in self.failures)


_LOOKED = TypeAdapter(Looked)


class BoxFolder:
    """Boxes of one detector, published a video at a time.

    Args:
        path: of the folder; made when there is something to publish.
        worker: name of the process among those that publish in it at the same time.
    """

    def __init__(self, path: Path, worker: str = "1of1") -> None:
        self.path = path
        self._looked = path / "looked"
        self._worker = worker

    def begin(self, detection: Detection, made_with: Mapping[str, str]) -> None:
        """Make the folder, or clear it of what a killed run left half written."""
        self._looked.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self._looked):
            remove_leftovers(folder, self._worker)
        said = {"schema": SCHEMA, **asdict(detection), "made_with": dict(made_with)}
        content = json.dumps(said, indent=2) + "\n"
        create_file(self.path / "detector.json", content.encode(), self._worker)

    def looked(self, video: str) -> Looked | None:
        """What was looked at of a video; None if nothing has been.

        Raises:
            StoreError: what says so is damaged.
        """
        path = self._record(video)
        return _read(path) if path.exists() else None

    def publish(self, looked: Looked, boxes: Mapping[str, Boxes] | None) -> None:
        """Put what was found in a video in place of what was there.

        Args:
            looked: what was looked at.
            boxes: id of each key frame to its persons; None leaves those that are there.
        """
        if boxes is not None:
            name = f"{_file_name(looked.video)}.csv"
            # Elsewhere than beside the others: whoever reads `*.csv` would take it for one.
            temporary = temporary_path(self._looked / name, self._worker)
            with writing(self.path / name):
                temporary.write_bytes(detections_csv(boxes))
                sync(temporary)
                temporary.replace(self.path / name)
                sync(self.path)
        said = asdict(looked) | {"failures": [_plain(failure) for failure in looked.failures]}
        content = json.dumps(said, ensure_ascii=False) + "\n"
        replace_file(self._record(looked.video), content.encode(), self._worker)

    def write_failures(self) -> None:
        """Gather what could not be read of all videos, whoever looked at them.

        Raises:
            StoreError: what says so of a video is damaged.
        """
        path = self.path / "failures.jsonl"
        while (gathered := self._gathered()) != (read_failures(path) if path.exists() else []):
            write_failures(path, gathered, self._worker)

    def _gathered(self) -> list[Failure]:
        records = sorted(path for path in self._looked.glob("*.json") if path.name[0] != ".")
        found = {failure.key: failure for path in records for failure in _read(path).failures}
        return sorted(
            found.values(), key=lambda failure: (failure.video, failure.start, failure.key)
        )

    def _record(self, video: str) -> Path:
        return self._looked / f"{_file_name(video)}.json"


def _file_name(video: str) -> str:
    """A video's key as the name of a file; no two have one name."""
    return video.replace("%", "%25").replace("/", "%2F")


def _plain(failure: Failure) -> dict[str, Any]:
    fields = asdict(failure)
    return fields | {"stop": None if math.isinf(failure.stop) else failure.stop}


def _read(path: Path) -> Looked:
    try:
        fields = json.loads(path.read_bytes())
        for failure in fields["failures"]:
            failure["stop"] = math.inf if failure["stop"] is None else failure["stop"]
        return _LOOKED.validate_python(fields)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{path} is damaged: remove it and give the same command again") from None
