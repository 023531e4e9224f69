"""What stores there are below a folder, damaged ones too."""

import contextlib
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from egofeat.errors import StoreError
from egofeat.store.description import Description, find_stores
from egofeat.store.formats.shard import offsets_of
from egofeat.store.reading.index import index_of
from egofeat.store.sidecar.failures import all_failures
from egofeat.store.sidecar.segments import read_segments
from egofeat.store.superseding import is_superseded
from egofeat.words import counted

LIBRARIES = ("egofeat", "torch", "torchvision", "av", "pillow", "numpy", "h5py", "zarr")
"""Distributions whose versions may make a difference to a store."""


@dataclass(frozen=True, kw_only=True)
class StoreSummary:
    """One store in figures."""

    path: Path
    dataset: str = ""
    backbone: str = ""
    taps: Mapping[str, tuple[int, ...]]
    """Tap to the shape of one row."""
    segments: int = 0
    """Segments that can be read."""
    rows: int | None = None
    """Rows of these segments in a flat store; None where each segment is a row."""
    of_persons: bool = False
    """Whether segments are key frames and each row is a person."""
    stale: int = 0
    """Rows that the manifest no longer asks for."""
    failures: int = 0
    bytes: int = 0
    """On the disk, everything counted."""
    format: str = ""
    compress: str | None = None
    made_with: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]
    """Library to its version when the store was made and the one installed now."""
    imported: str = ""
    """What is declared of features that another program made; empty of features made here."""
    superseded: bool = False
    """Whether a newer store took its place: `egofeat prune --superseded` removes it."""
    remarks: tuple[str, ...] = ()
    """What in it was passed over, a sentence each."""
    problem: str = ""
    """Why the store cannot be read; empty when it can."""

    @property
    def held(self) -> str:
        """What can be read: `8 segments`, `2 segments of 40 rows`, `5 key frames, 9 persons`."""
        if self.rows is None:
            return counted(self.segments, "segments")
        if self.of_persons:
            boxes = self.made_with.get("boxes")
            which = f" (boxes: {boxes})" if boxes else ""
            return f"{counted(self.segments, 'key frames')}, {counted(self.rows, 'persons')}{which}"
        return f"{counted(self.segments, 'segments')} of {counted(self.rows, 'rows')}"


def versions() -> dict[str, str]:
    """Versions of the libraries that make features, for a store's `made_with`."""
    return {name: found for name in LIBRARIES if (found := _version(name))}


def list_stores(root: Path | str) -> list[StoreSummary]:
    """Summarise every store at `root` or up to two folders below it, by path; superseded too."""
    return [_summary(path) for path in find_stores(Path(root), superseded=True)]


def _summary(path: Path) -> StoreSummary:
    size = _bytes_of(path)
    try:
        description = Description.read(path)
    except StoreError as error:
        return StoreSummary(
            path=path,
            bytes=size,
            taps={},
            made_with={},
            changed={},
            superseded=is_superseded(path),
            problem=str(error),
        )
    segments = stale = failures = 0
    rows = None
    problem = ""
    remarks: list[str] = []
    try:
        index = index_of(path, description)
        shards = index.shards
        remarks += _differences(shards.makers)
        segments, stale = len(index.table), index.stale
        if description.recipe.flat:
            shards.refuse(~shards.by_shard["flat"], lambda shard: offsets_of(shard, flat=True))
            rows = int(index.column("length").sum())
        if any(path.glob("failures-*.jsonl")):
            asked = read_segments(path)
            wanted = set(asked.keys) if asked is not None else None
            failures = len(all_failures(path, set(shards.keys), wanted, remarks.append))
    except StoreError as error:
        problem = str(error)
    made_with = description.made_with
    return StoreSummary(
        path=path,
        dataset=description.dataset,
        backbone=description.recipe.backbone,
        taps=description.recipe.taps,
        segments=segments,
        rows=rows,
        of_persons=description.recipe.of_persons,
        stale=stale,
        failures=failures,
        bytes=size,
        format=description.format,
        compress=description.compress,
        made_with=made_with,
        changed={
            name: (then, now)
            for name, then in made_with.items()
            if name in LIBRARIES and (now := _version(name)) and now != then
        },
        imported=_declared(description) if description.recipe.imported else "",
        superseded=is_superseded(path),
        remarks=tuple(remarks),
        problem=problem,
    )


def _declared(description: Description) -> str:
    """`ego4d, /data/features, of video, resample nearest, fps 30, window 32, stride 16`."""
    plan, made = description.recipe.plan.to_dict(), description.made_with
    said = [f"{made[name]}" for name in ("imported", "files") if name in made]
    names = ("of", "resample", "fps", "window", "size", "stride")
    return ", ".join([*said, *(f"{name} {plan[name]}" for name in names if name in plan)])


def _bytes_of(store: Path) -> int:
    """Bytes of all files; what a process that is at work takes away meanwhile is none of it."""
    size = 0
    for folder, _, names in os.walk(store):
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(folder, name).stat().st_size
    return size


def _differences(made: Sequence[Mapping[str, str]]) -> list[str]:
    """Say in what respects a store's shards were made by different means, if in any."""
    names = sorted({name for one in made for name in one})
    several = {name: sorted({one.get(name, "unknown") for one in made}) for name in names}
    said = [f"{name} {' or '.join(values)}" for name, values in several.items() if values[1:]]
    return [f"its shards were made in different ways: {'; '.join(said)}"] if said else []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
