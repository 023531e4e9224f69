"""What an export must hold, and ActionFormer's annotation JSON of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from egofeat.errors import RequestError
from egofeat.segments import Dataset, Segment
from egofeat.store import FeatureStore
from egofeat.store.annotations import Annotations

Wanted = Mapping[str, tuple[str, ...]]
"""Id of each segment of the store that is asked for, to its splits."""


def wanted_of_store(store: FeatureStore, splits: Sequence[str]) -> Wanted:
    """What the store's own data set asks for, extracted or not, of some splits or (empty) all.

    Raises:
        RequestError: there is no such split.
    """
    annotations = Annotations.read(store.path)
    if annotations is None:  # nobody says what is missing
        pairs = [(id_, "") for id_ in store.ids]
    else:
        pairs = list(zip(annotations.ids, annotations.splits, strict=True))
    _check_splits(store.dataset, dict.fromkeys(split for _, split in pairs), splits)
    return {id_: (split,) for id_, split in pairs if not splits or split in splits}


def wanted_of_manifest(dataset: Dataset, splits: Sequence[str]) -> Wanted:
    """Every video that has a segment of the splits, or of any, with the splits of its segments.

    Raises:
        RequestError: there is no such split.
    """
    _check_splits(dataset.name, dict.fromkeys(dataset.splits), splits)
    found: dict[str, dict[str, None]] = {}
    for segment in dataset.segments:
        if not splits or segment.split in splits:
            found.setdefault(segment.video, {})[segment.split] = None
    return {video: tuple(of_video) for video, of_video in found.items()}


def annotation_files(
    store: FeatureStore, wanted: Wanted, names: Mapping[str, str], dataset: Dataset | None
) -> dict[str, Any]:
    """File name to ActionFormer's annotations, a file a target where there are several.

    Args:
        store: flat; says how long each video is.
        wanted: the videos.
        names: id to the name of its feature file, which ActionFormer finds by the key.
        dataset: whose labelled segments are the annotations; None leaves them empty.

    Raises:
        RequestError: a video has segments of several splits.
    """
    fps = store.recipe.plan["fps"]
    videos = {
        video: {
            "subset": _only_split(video, splits),
            "duration": _duration(store, video),
            "fps": fps,
        }
        for video, splits in wanted.items()
    }
    segments: dict[str, list[Segment]] = {}
    for segment in dataset.segments if dataset else ():
        if segment.split in wanted.get(segment.video, ()):
            segments.setdefault(segment.video, []).append(segment)
    classes = dict(dataset.classes) if dataset else {}
    several = len(classes) > 1
    return {
        f"annotations-{target}.json" if several else "annotations.json": {
            "version": f"egofeat {store.dataset} {target}".strip(),
            "database": {
                names[video]: about
                | {
                    "annotations": [
                        _annotation(segment, segment.labels[target], of_target, about)
                        for segment in segments.get(video, ())
                        if target in segment.labels
                    ]
                }
                for video, about in videos.items()
            },
        }
        for target, of_target in (classes or {"": ()}).items()
    }


def _annotation(
    segment: Segment, label: int, classes: Sequence[str], video: Mapping[str, Any]
) -> dict[str, Any]:
    """One action; an open end is the video's, and null where the video's length is not known."""
    open_ended = segment.stop == float("inf")
    stop = video["duration"] if open_ended else segment.stop
    seconds = [segment.start, stop]
    return {
        "label": classes[label],
        "segment": seconds,
        "segment(frames)": [None if t is None else round(t * video["fps"], 3) for t in seconds],
        "label_id": label,
    }


def _duration(store: FeatureStore, video: str) -> float | None:
    """End of the last window in seconds; None where the video has no features."""
    return float(store.spans(video)[:, 2].max()) if video in store else None


def _only_split(video: str, splits: Sequence[str]) -> str:
    if len(splits) > 1:
        raise RequestError(
            f"video {video} has segments of {' and '.join(splits)}, and ActionFormer's annotations "
            "have one subset a video: name one with --split"
        )
    return splits[0]


def _check_splits(dataset: str, there: Mapping[str, None], splits: Sequence[str]) -> None:
    for split in splits:
        if split not in there:
            raise RequestError(
                f"the data set '{dataset}' has no split '{split}': "
                f"choose from {', '.join(filter(None, there)) or 'none, leave --split out'}"
            )
