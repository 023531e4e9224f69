"""Which array is whose: names of arrays against ids of a data set; and what their files are."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from egofeat import console
from egofeat.adapters.files import VIDEO_SUFFIXES
from egofeat.errors import RequestError
from egofeat.pipelines.exporting.export import DESCRIPTION
from egofeat.pipelines.exporting.names import file_names
from egofeat.pipelines.importing.arrays import Arrays
from egofeat.segments import Dataset, Segments


@dataclass(frozen=True)
class Found:
    """What a source has of a data set."""

    of: str
    """`segment` or `video`: what an array is of."""
    names: Mapping[str, str]
    """Id of a segment, or key of a video, to the name of its array."""
    files: Mapping[str, Path]
    """The same to the file that it stands in."""


def find(arrays: Arrays, dataset: Dataset, each: str | None) -> Found:
    """Match arrays to the segments of a data set, or to its videos.

    Raises:
        RequestError: no array has such a name.
    """
    segments = Segments.of(dataset.segments)
    ids = segments.ids.tolist()
    videos = list(dict.fromkeys(segments.videos.tolist()))
    called = _called_videos(videos)
    there = arrays.names(list(dict.fromkeys(name for of in called.values() for name in of)))
    wanted = {"segment": _called(ids), "video": called}
    for of, of_ids in wanted.items():
        if each in (None, of) and (names := _matched(of_ids, there)):
            return Found(of, names, {id_: there[name] for id_, name in names.items()})
    unit = each or "segment and no video"
    some = f", such as {min(there)}" if there else ""
    raise RequestError(
        f"{arrays.root} has {len(there):,} arrays{some}, and no {unit} of the data set "
        f"'{dataset.name}' is called so, such as {next(iter(wanted[each or 'segment']), 'none')}: "
        "name the data set with `dataset`, or correct `files` or `key`"
    )


def _called(ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids to what their arrays may be called, the first that is there counts."""
    exported = file_names(ids)
    return {id_: [id_, exported[id_]] for id_ in ids}


def _called_videos(videos: Sequence[str]) -> dict[str, list[str]]:
    """The same of videos: also without their suffix, and by the last part that one alone has."""
    bare = {
        video: video.rpartition(".")[0] if Path(video).suffix.lower() in VIDEO_SUFFIXES else video
        for video in videos
    }
    tails = Counter(name.rpartition("/")[2] for name in bare.values())
    called = _called(videos)
    for video, name in bare.items():
        tail = name.rpartition("/")[2]
        called[video] += [name, *([tail] if tails[tail] == 1 else [])]
    return called


def _matched(called: Mapping[str, Sequence[str]], there: Collection[str]) -> dict[str, str]:
    """Ids to the arrays that are called so, whole or in their last part."""
    tails = Counter(name.rpartition("/")[2] for name in there)
    by_tail = {
        tail: name for name in there if tails[tail := name.rpartition("/")[2]] == 1 and tail != name
    }
    matched = {}
    for id_, names in called.items():
        for name in names:
            if name in there or name in by_tail:
                matched[id_] = name if name in there else by_tail[name]
                break
    return matched


def listed(root: Path, files: Collection[Path]) -> bytes:
    """The list of files, with size and sha256, as `egofeat.store.sidecar.sources` keeps it.

    Raises:
        RequestError: one cannot be read.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "bytes", "sha256"])
    base = root if root.is_dir() else root.parent
    with console.progress("reading files", len(files), "files") as progress:
        for path in sorted(files):
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = path.stat().st_size
            except OSError as error:
                raise RequestError(f"{path} cannot be read ({error}): check the file") from None
            writer.writerow([path.relative_to(base).as_posix(), size, digest])
            progress(1)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Clock:
    """Which times rows of whole videos stand for; None is not said."""

    fps: float | None = None
    window: int | None = None
    stride: int | None = None


def declared(root: Path) -> Clock:
    """What features.json of an export of egofeat says beside the files."""
    try:
        found = json.loads((root / DESCRIPTION).read_bytes()) if root.is_dir() else {}
    except (OSError, ValueError):
        return Clock()
    said = found if isinstance(found, dict) else {}
    fps, window, stride = (
        said.get(name) if type(said.get(name)) in kinds and said[name] > 0 else None
        for name, kinds in (("fps", (int, float)), ("window", (int,)), ("stride", (int,)))
    )
    return Clock(fps, window, stride)
