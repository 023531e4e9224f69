"""segments.json: what the manifest said, at the last extraction, of every segment.

Labels are not features: a corrected label is read from here, and needs no new extraction.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from egofeat.errors import RequestError, StoreError
from egofeat.segments import Dataset
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replace_file
from egofeat.store.rows import Key
from egofeat.store.seal import json_is_whole, seal_json

NAME = "segments.json"
_MOST = 512 << 20
"""Bytes, of some five million segments."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The segments of a data set as columns of one length."""

    dataset: str
    classes: Mapping[str, tuple[str, ...]]
    tail: Mapping[str, frozenset[int]]
    unseen: frozenset[str]
    ids: Sequence[str]
    videos: Sequence[str]
    starts: Sequence[float]
    stops: Sequence[float]
    """Seconds, exclusive; infinity means the end of the video (null in the file)."""
    splits: Sequence[str]
    groups: Sequence[str]
    labels: Mapping[str, Sequence[int | None]]
    published: Mapping[str, Sequence[str]]
    """Name of each published split, where there are several, to the split by it."""
    benchmark: tuple[str, ...] = ()
    """Targets that the published benchmark judges, where there are others beside them."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Columns of a data set, in its order."""
        segments = dataset.segments
        return cls(
            dataset=dataset.name,
            classes={target: tuple(names) for target, names in dataset.classes.items()},
            tail={target: frozenset(labels) for target, labels in dataset.tail.items()},
            unseen=frozenset(dataset.unseen),
            ids=[segment.id for segment in segments],
            videos=[segment.video for segment in segments],
            starts=[float(segment.start) for segment in segments],
            stops=[float(segment.stop) for segment in segments],
            splits=[segment.split for segment in segments],
            groups=[segment.group for segment in segments],
            labels={
                target: [segment.labels.get(target) for segment in segments]
                for target in dataset.classes
            },
            published=dataset.published,
            benchmark=dataset.benchmark,
        )

    def positions(self) -> dict[Key, int]:
        """Key of each segment to its place in the columns."""
        return {
            key: place
            for place, key in enumerate(zip(self.ids, self.starts, self.stops, strict=True))
        }

    def write(self, store: Path, worker: str) -> None:
        """Put segments.json into the folder `store`, over an older one.

        Raises:
            RequestError: a name of a file became part of an id, and is no text.
        """
        fields: dict[str, Any] = {
            "dataset": self.dataset,
            "classes": self.classes,
            "tail": {target: sorted(labels) for target, labels in self.tail.items()},
            "unseen": sorted(self.unseen),
            "id": self.ids,
            "video": self.videos,
            "start": self.starts,
            "stop": [None if math.isinf(stop) else stop for stop in self.stops],
            "split": self.splits,
            "group": self.groups,
            "labels": self.labels,
            **({"published": self.published} if self.published else {}),
            **({"benchmark": self.benchmark} if self.benchmark else {}),
        }
        content = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        try:
            encoded = seal_json(content)
        except UnicodeEncodeError as error:
            shown = ascii(content[max(0, error.start - 20) : error.start + 20])
            raise RequestError(
                f"the data set '{self.dataset}' has a name that is no UTF-8 text, in {shown}: "
                "rename that file"
            ) from None
        path = store / NAME
        if not path.exists() or path.read_bytes() != encoded:
            replace_file(path, encoded, worker)

    @classmethod
    def read(cls, store: Path) -> Self | None:
        """Read segments.json of the folder `store`; None when there is none.

        Raises:
            StoreError: it is damaged.
        """
        from egofeat.store.schemas import SegmentsText, parse  # noqa: PLC0415

        path = store / NAME
        try:
            content = read_bounded(path, _MOST)
            fields = parse(SegmentsText, content)
            fields.check()
            if fields.sha256 is not None and not json_is_whole(content):
                raise ValueError("it was altered after it was written")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(
                f"{path} is damaged ({error}): delete it and run `egofeat extract` again, "
                "which writes it anew and extracts nothing twice"
            ) from None
        return cls(
            dataset=fields.dataset,
            classes=fields.classes,
            tail=fields.tail,
            unseen=fields.unseen,
            ids=fields.id,
            videos=fields.video,
            starts=fields.start,
            stops=[math.inf if stop is None else stop for stop in fields.stop],
            splits=fields.split,
            groups=fields.group,
            labels=fields.labels,
            published=fields.published,
            benchmark=fields.benchmark,
        )
