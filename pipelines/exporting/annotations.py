"""What an export must hold, and its annotations as ActionFormer and OpenTAD read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from egofeat.errors import RequestError
from egofeat.pipelines.exporting.formats import AnnotationStyle
from egofeat.recipe import Windows
from egofeat.segments import Dataset, Segment
from egofeat.store import FeatureStore, WindowStore

Wanted = Mapping[str, tuple[str, ...]]
"""Id of each segment of the store that is asked for, to its splits."""


def wanted_of_store(store: FeatureStore, splits: Sequence[str]) -> Wanted:
    """What the store's own data set asks for, extracted or not, of some splits or (empty) all.

    Raises:
        RequestError: there is no such split.
    """
    asked = store.asked
    if asked is None:  # nobody says what is missing
        asked = store.table
    pairs = list(zip(asked.ids.tolist(), asked.splits.tolist(), strict=True))
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


@dataclass(frozen=True)
class AnnotationFiles:
    """What stands beside the features for a project that detects actions in time."""

    texts: Mapping[str, str]
    """File name to its content."""
    outside: int
    """Annotated actions that begin after the last window of their video, and are left out."""


def annotation_files(
    store: FeatureStore,
    wanted: Wanted,
    names: Mapping[str, str],
    dataset: Dataset | None,
    style: AnnotationStyle,
) -> AnnotationFiles:
    """Annotation JSON, a file a target where there are several, and what else a project reads.

    Videos without features are left out, since readers would look for their files; actions end
    where their video does.

    Args:
        store: flat; says how long each video is.
        wanted: the videos.
        names: id to the name of its feature file, which is found by the key.
        dataset: whose labelled segments are the annotations; None leaves them empty.
        style: what the project asks for beside the common form.

    Raises:
        RequestError: a video has segments of several splits, or a class has a name of two lines
            where classes are listed a line each.
    """
    videos = _videos(store, wanted, style)
    segments: dict[str, list[Segment]] = {}
    outside = 0
    for segment in dataset.segments if dataset else ():
        if segment.video in videos and segment.split in wanted[segment.video]:
            if segment.start < videos[segment.video]["duration"]:
                segments.setdefault(segment.video, []).append(segment)
            else:
                outside += bool(segment.labels)
    classes = dict(dataset.classes) if dataset else {}
    texts = {}
    for target, of_target in (classes or {"": ()}).items():
        mark = f"-{target}" if len(classes) > 1 else ""
        database = {
            names[video]: about
            | {
                "annotations": [
                    _annotation(segment, segment.labels[target], of_target, about)
                    for segment in segments.get(video, ())
                    if target in segment.labels
                ]
            }
            for video, about in videos.items()
        }
        content = {"version": f"egofeat {store.dataset} {target}".strip(), "database": database}
        texts[f"annotations{mark}.json"] = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if style.lists_classes:
            texts[f"category_idx{mark}.txt"] = _a_line_each(of_target)
    return AnnotationFiles(texts, outside)


def _videos(
    store: FeatureStore, wanted: Wanted, style: AnnotationStyle
) -> dict[str, dict[str, Any]]:
    """What is said of each wanted video that has features: subset, duration, rate, last frame."""
    windows = store.of_kind(WindowStore)
    plan = store.recipe.plan
    assert isinstance(plan, Windows)  # the store is flat
    videos: dict[str, dict[str, Any]] = {}
    for video, splits in wanted.items():
        if video in store:
            split = _only_split(video, splits)
            seconds = float(windows.spans(video)[:, 2].max())
            videos[video] = {
                "subset": style.subsets.get(split, split),
                "duration": seconds,
                "fps": plan.fps,
                "frame": round(seconds * plan.fps),
            }
    return videos


def _a_line_each(classes: Sequence[str]) -> str:
    for name in classes:
        if len(name.splitlines()) > 1:
            raise RequestError(
                f"class {name!r} has a name of several lines, and OpenTAD lists a class a line: "
                "give it another name"
            )
    return "".join(f"{name}\n" for name in classes)


def _annotation(
    segment: Segment, label: int, classes: Sequence[str], video: Mapping[str, Any]
) -> dict[str, Any]:
    """One action; what reaches beyond the video, or is open, ends with it."""
    seconds = [segment.start, min(segment.stop, video["duration"])]
    return {
        "label": classes[label],
        "segment": seconds,
        "segment(frames)": [round(t * video["fps"], 3) for t in seconds],
        "label_id": label,
    }


def _only_split(video: str, splits: Sequence[str]) -> str:
    if len(splits) > 1:
        raise RequestError(
            f"video {video} has segments of {' and '.join(splits)}, and annotations have one "
            "subset a video: name one with `split`"
        )
    return splits[0]


def _check_splits(dataset: str, there: Mapping[str, None], splits: Sequence[str]) -> None:
    for split in splits:
        if split not in there:
            raise RequestError(
                f"the data set '{dataset}' has no split '{split}': "
                f"choose from {', '.join(filter(None, there)) or 'none, leave `split` out'}"
            )
