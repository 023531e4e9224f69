"""A detection of persons, planned: which frames are looked at, by what, and what was before."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import MediaError, RequestError
from egofeat.extract import persons
from egofeat.extract.persons import Detector
from egofeat.extract.stills import Wanted
from egofeat.extract.video import decoder_version
from egofeat.pipelines.extraction.job import read_dataset
from egofeat.pipelines.extraction.options import check_part
from egofeat.pipelines.persons.box_folder import BoxFolder, Detection, Looked
from egofeat.segments import Dataset

_MILLISECOND = 0.001
"""Time stamps are no finer."""


@dataclass(frozen=True, kw_only=True)
class PersonsConfig:
    """Everything that a person can choose about the detection of persons."""

    dataset: str | None = None
    manifest: Path = Path("data_manifest.yaml")
    out: Path = Path("boxes")
    splits: tuple[str, ...] = ()
    """Empty means all; of a video with a segment in one of them, all key frames are looked at."""
    every: float | None = None
    """Seconds from one frame to the next, over whole videos, where there are no key frames."""
    threshold: float = 0.8
    min_size: float = 0.0
    weights: str = "default"
    device: str = "auto"
    decoder: str = "pyav"
    batch_size: int | None = None
    workers: int | None = None
    part: tuple[int, int] = (1, 1)
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class PersonsJob:
    """A detection, planned. No video was opened."""

    config: PersonsConfig
    detector: Detector
    detection: Detection
    folder: BoxFolder
    videos: tuple[Wanted, ...]
    """Of this part, by name."""
    done: tuple[Looked, ...]
    """What has been looked at of those that are not to be looked at."""
    left: tuple[Wanted, ...]


def plan_persons(config: PersonsConfig, dataset: Dataset | None = None) -> PersonsJob:
    """Resolve the manifest, the weights and what is there already.

    Args:
        config: what the person chose.
        dataset: used in place of the manifest's.

    Raises:
        RequestError: any choice that cannot be.
    """
    _check(config)
    if dataset is None:
        dataset = read_dataset(config.manifest, config.dataset)
    number, parts = config.part
    videos = _videos(dataset, config)[number - 1 :: parts]
    detector = persons.load(
        config.weights,
        threshold=config.threshold,
        min_size=config.min_size,
        device=choose_device(config.device),
        note=console.note,
    )
    detection = Detection(
        detector=persons.NAME,
        weights=detector.weights,
        threshold=float(config.threshold),
        min_size=float(config.min_size),
        moments="key frames" if config.every is None else float(config.every),
        decoder=config.decoder,
    )
    path = config.out / dataset.name / detection.folder_name
    folder = BoxFolder(path, worker=f"{number}of{parts}")
    looked = {wanted.video: folder.looked(wanted.video) for wanted in videos}
    left = tuple(w for w in videos if _is_left(w, looked[w.video], config.retry_failed))
    names = {wanted.video for wanted in left}
    return PersonsJob(
        config=config,
        detector=detector,
        detection=detection,
        folder=folder,
        videos=tuple(videos),
        done=tuple(one for video, one in looked.items() if one and video not in names),
        left=left,
    )


def _is_left(wanted: Wanted, looked: Looked | None, retry_failed: bool) -> bool:
    """Whether a video is to be looked at: what it was looked at for is not what is wanted now."""
    if looked is None or (looked.failures and retry_failed):
        return True
    if any(failure.cause != MediaError.cause for failure in looked.failures):
        return True  # it may have arrived, and the disk may be well again
    if looked.unopened:
        return False
    media = wanted.media
    if looked.fps != media.fps or (media.fps and looked.first_frame != media.first_frame):
        return True
    if not isinstance(wanted.moments, Mapping):
        return False
    return not wanted.moments.items() <= looked.moments.items()


def _videos(dataset: Dataset, config: PersonsConfig) -> list[Wanted]:
    """Videos, by name, and what is wanted of each.

    Raises:
        RequestError: there is no such split, or no moment of a video to look at, or two kinds.
    """
    chosen = {segment.video for segment in dataset.of_splits(config.splits)}
    if config.every is None and not dataset.key_frames:
        raise RequestError(
            f"the data set '{dataset.name}' has segments and no key frames: give --every 1 for a "
            "frame a second of its whole videos"
        )
    if config.every is not None and dataset.key_frames:
        raise RequestError(
            f"the data set '{dataset.name}' has key frames of its own: leave --every out"
        )
    of_video: dict[str, dict[str, float]] = {}
    for segment in sorted(dataset.segments, key=lambda segment: (segment.start, segment.id)):
        of_video.setdefault(segment.video, {})[segment.id] = segment.start
    return [
        Wanted(
            video,
            dataset.media[video],
            of_video[video] if config.every is None else float(config.every),
        )
        for video in sorted(chosen)
    ]


def _check(config: PersonsConfig) -> None:
    decoder_version(config.decoder)  # refuses one that is unknown or not installed
    check_part(config.part)
    if not 0 <= config.threshold < 1:
        raise RequestError(f"--threshold {config.threshold:g} is no score: give 0 to less than 1")
    if not 0 <= config.min_size < math.inf:
        raise RequestError(f"--min-size {config.min_size:g} cannot be: give 0 pixels or more")
    if config.every is not None and not _MILLISECOND <= config.every < math.inf:
        raise RequestError(
            f"--every {config.every:g} cannot be: give seconds, 0.001 or more, such as 1"
        )
    for name in ("batch_size", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise RequestError(f"--{name.replace('_', '-')} is {value}: give 1 or more")
