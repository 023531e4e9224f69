"""segments.json: what the manifest said, at the last extraction, of every segment.

Labels are not features: a corrected label is read from here, and needs no new extraction.
"""

import errno
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError, StoreError
from egofeat.segments import Dataset, Segments
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replacing, sync
from egofeat.store.seal import json_is_whole, json_seal
from egofeat.store.table import Table

NAME = "segments.json"
_MOST = 512 << 20
"""Bytes, of some five million segments."""
_AT_ONCE = 1 << 16
"""Rows that are encoded together."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write_segments(dataset: Dataset, store: Path, worker: str) -> None:
    """Put segments.json into the folder `store`, over an older one that says something else.

    Raises:
        RequestError: a name of a file became part of an id, and is no text.
    """
    path = store / NAME
    try:
        if not _says(path, _pieces(dataset)):
            _write(path, _pieces(dataset), worker)
    except UnicodeEncodeError as error:
        shown = ascii(error.object[max(0, error.start - 20) : error.start + 20])
        raise RequestError(
            f"the data set '{dataset.name}' has a name that is no UTF-8 text, in {shown}: "
            "rename that file"
        ) from None


def _pieces(dataset: Dataset) -> Iterator[bytes]:
    """The file's content, which is made twice rather than held: of a million segments 60 MB."""
    digest = hashlib.sha256()
    for piece in _members(dataset):
        digest.update(piece)
        yield piece
    yield json_seal(digest.hexdigest())


def _members(dataset: Dataset) -> Iterator[bytes]:
    """The text, a piece at a time, but for its end."""
    segments = Segments.of(dataset.segments)
    fields: dict[str, Any] = {
        "dataset": dataset.name,
        "classes": dataset.classes,
        "tail": {target: sorted(labels) for target, labels in dataset.tail.items()},
        "unseen": sorted(dataset.unseen),
        "id": segments.ids,
        "video": segments.videos,
        "start": segments.starts,
        "stop": segments.stops,
        "split": segments.splits,
        "group": segments.groups,
        "labels": {target: segments.labels_of(target) for target in dataset.classes},
    }
    if dataset.published:
        fields["published"] = dataset.published
    if dataset.benchmark:
        fields["benchmark"] = dataset.benchmark
    yield from _object({name: _texts(value) for name, value in fields.items()})


def _object(members: Mapping[str, Iterable[bytes]]) -> Iterator[bytes]:
    """Pieces of an object whose members are given as pieces, but for its end."""
    for place, (name, pieces) in enumerate(sorted(members.items())):
        yield b"%s%s:" % (b"," if place else b"{", _ENCODER.encode(name).encode())
        yield from pieces


def _texts(value: Any) -> Iterator[bytes]:
    """JSON of a member, in pieces."""
    if isinstance(value, np.ndarray):
        yield b"["
        for first in range(0, len(value), _AT_ONCE):
            yield b"," * bool(first) + _listed(value[first : first + _AT_ONCE])[1:-1]
        yield b"]"
    elif isinstance(value, dict) and any(isinstance(of, np.ndarray) for of in value.values()):
        yield from _object({name: _texts(of) for name, of in value.items()})
        yield b"}"
    else:
        yield _ENCODER.encode(value).encode()


def _listed(column: NDArray[Any]) -> bytes:
    """JSON of some rows: the end of a video and what has no label are null."""
    from pydantic_core import PydanticSerializationError, to_json  # noqa: PLC0415

    rows: list[Any] = column.tolist()
    if column.dtype != np.object_:
        for row in np.flatnonzero(np.isinf(column) if column.dtype == np.float64 else column < 0):
            rows[row] = None
    try:
        text = to_json(rows)  # a third of json's time
    except PydanticSerializationError:  # json says where what is no text stands
        return _ENCODER.encode(rows).encode()
    if column.dtype == np.float64 and (b"e" in text or b"0.0000" in text):
        return _ENCODER.encode(rows).encode()  # exponents as json writes them
    return text


def _says(path: Path, pieces: Iterable[bytes]) -> bool:
    """Whether a file holds these pieces and nothing else."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)


def _write(path: Path, pieces: Iterable[bytes], worker: str) -> None:
    digest = hashlib.sha256()
    with replacing(path, worker) as temporary:
        with temporary.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        sync(temporary)
        with temporary.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != digest.digest():
                raise OSError(errno.EIO, "it reads back other bytes than were written")


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
