"""segments.json: what the manifest said, at the last extraction, of every segment.

Labels are not features: a corrected label is read from here, and needs no new extraction.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from egofeat.errors import RequestError, StoreError
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replace_file
from egofeat.store.seal import json_is_whole, seal_json
from egofeat.store.table import Table

NAME = "segments.json"
_MOST = 512 << 20
"""Bytes, of some five million segments."""


def write_segments(table: Table, store: Path, worker: str) -> None:
    """Put segments.json into the folder `store`, over an older one.

    Raises:
        RequestError: a name of a file became part of an id, and is no text.
    """
    fields: dict[str, Any] = {
        "dataset": table.dataset,
        "classes": table.classes,
        "tail": {target: sorted(labels) for target, labels in table.tail.items()},
        "unseen": sorted(table.unseen),
        "id": table.ids.tolist(),
        "video": table.videos.tolist(),
        "start": table.starts.tolist(),
        "stop": [None if math.isinf(stop) else stop for stop in table.stops.tolist()],
        "split": table.splits.tolist(),
        "group": table.groups.tolist(),
        "labels": {
            target: [None if label < 0 else label for label in labels.tolist()]
            for target, labels in table.labels.items()
        },
    }
    if table.published:
        fields["published"] = {name: of.tolist() for name, of in table.published.items()}
    if table.benchmark:
        fields["benchmark"] = table.benchmark
    content = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        encoded = seal_json(content)
    except UnicodeEncodeError as error:
        shown = ascii(content[max(0, error.start - 20) : error.start + 20])
        raise RequestError(
            f"the data set '{table.dataset}' has a name that is no UTF-8 text, in {shown}: "
            "rename that file"
        ) from None
    path = store / NAME
    if not path.exists() or path.read_bytes() != encoded:
        replace_file(path, encoded, worker)


def read_segments(store: Path) -> Table | None:
    """Read segments.json of the folder `store`; None when there is none.

    Raises:
        StoreError: it is damaged.
    """
    from egofeat.schema import parse  # noqa: PLC0415
    from egofeat.store.schemas import SegmentsText  # noqa: PLC0415

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
            "which writes it again and extracts nothing twice"
        ) from None
    return Table(
        dataset=fields.dataset,
        ids=np.array(fields.id, np.str_),
        videos=np.array(fields.video, np.str_),
        starts=np.array(fields.start, np.float64),
        stops=np.array([math.inf if stop is None else stop for stop in fields.stop], np.float64),
        splits=np.array(fields.split, np.str_),
        groups=np.array(fields.group, np.str_),
        labels={
            target: np.array([-1 if label is None else label for label in labels], np.int64)
            for target, labels in fields.labels.items()
        },
        published={name: np.array(of, np.str_) for name, of in fields.published.items()},
        classes=fields.classes,
        tail=fields.tail,
        unseen=fields.unseen,
        benchmark=fields.benchmark,
    )
