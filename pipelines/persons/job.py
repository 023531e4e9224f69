"""Plan person detection: which frames to look at, with which detector, and what is done already."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import MediaError, RequestError
from egofeat.extract import persons
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.persons import Detector
from egofeat.extract.stills import Wanted
from egofeat.extract.video.fastest import choose_decoder
from egofeat.extract.video.opening import check_decoder
from egofeat.pipelines.extraction.wanted import read_dataset
from egofeat.pipelines.persons.box_folder import BoxFolder, Detection, Looked
from egofeat.pipelines.persons.options import PersonsConfig
from egofeat.segments import Dataset


@dataclass(frozen=True, kw_only=True)
class PersonsJob:
    """A detection, planned. No video was opened but to time decoders."""

    config: PersonsConfig
    detector: Detector
    detection: Detection
    folder: BoxFolder
    worker: str
    """Name of this process among those that work in the folder."""
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
    check_decoder(config.decoder)
    if dataset is None:
        dataset = read_dataset(config.manifest, config.dataset)
    number, parts = config.part
    videos = _videos(dataset, config)[number - 1 :: parts]
    detector = load_detector(config)
    detection = Detection(
        detector=persons.NAME,
        weights=detector.weights,
        threshold=float(config.threshold),
        min_size=float(config.min_size),
        moments="key frames" if config.every is None else float(config.every),
        decoder=config.decoder,
    )
    folder_of = config.out / dataset.name
    decoder = choose_decoder(
        config.decoder,
        lambda name: (folder_of / replace(detection, decoder=name).folder_name).exists(),
        (wanted.media for wanted in videos),
        config.workers or decoding_threads(),
        console.note,
    )
    config, detection = replace(config, decoder=decoder), replace(detection, decoder=decoder)
    path = folder_of / detection.folder_name
    worker = f"{number}of{parts}"
    folder = BoxFolder(path, worker)
    looked = {wanted.video: folder.looked(wanted.video) for wanted in videos}
    left = tuple(w for w in videos if is_left(w, looked[w.video], config.retry_failed))
    names = {wanted.video for wanted in left}
    return PersonsJob(
        config=config,
        detector=detector,
        detection=detection,
        folder=folder,
        worker=worker,
        videos=tuple(videos),
        done=tuple(one for video, one in looked.items() if one and video not in names),
        left=left,
    )


def load_detector(config: PersonsConfig) -> Detector:
    """The detector that is asked for.

    Raises:
        RequestError: a device that is not there.
        WeightsError: weights that are not to be had.
    """
    return persons.load(
        config.weights,
        threshold=config.threshold,
        min_size=config.min_size,
        device=choose_device(config.device),
        note=console.note,
    )


def is_left(wanted: Wanted, looked: Looked | None, retry_failed: bool) -> bool:
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
            f"the data set '{dataset.name}' has segments and no key frames: give `every` 1 for a "
            "frame a second of its whole videos"
        )
    if config.every is not None and dataset.key_frames:
        raise RequestError(
            f"the data set '{dataset.name}' has key frames of its own: leave `every` out"
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
