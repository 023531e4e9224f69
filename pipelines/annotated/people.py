"""Who stands where in one video: person boxes read from a file, or detected."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egofeat import console
from egofeat.adapters.reading.box_files import moments_of, read_detections
from egofeat.boxes import Boxes
from egofeat.device import choose_device
from egofeat.errors import MediaError, RequestError, WeightsError
from egofeat.extract import persons
from egofeat.extract.persons import Detector
from egofeat.extract.video import FrameSource
from egofeat.recipe.moments import frames_at
from egofeat.segments import Segment

_NAMED = 5
"""Videos that an error names."""
_CLOCK = 1e-6
"""Seconds by which key frames may stand too near each other."""


@dataclass(frozen=True)
class People:
    """Who stands where at the key frames of one video."""

    moments: Sequence[float]
    """Seconds of the key frames, rising."""
    at: Callable[[Sequence[float]], dict[float, Boxes]]
    """Persons at some of the key frames; those that cannot be read are absent."""


def detect_people(detector: Detector, source: FrameSource, every: float) -> People:
    """Persons whom the detector finds, on frames `every` seconds apart."""

    def at(moments: Sequence[float]) -> dict[float, Boxes]:
        found = {}
        for moment in moments:
            index = int(frames_at(np.array(moment), source.times))
            try:
                ((_, frame),) = source.tensors([index])
            except MediaError:
                continue
            (found[moment],) = detector([frame])
        return found

    count = int(np.ceil(source.stop / every))
    return People([round(number * every, 6) for number in range(count)], at)


def load_detector(min_score: float, device: str) -> Detector:
    """Load the person detector.

    Raises:
        WeightsError: its weights are not at hand.
    """
    try:
        return persons.load(
            threshold=min_score, min_size=0.0, device=choose_device(device), note=console.note
        )
    except WeightsError as error:
        said = str(error).removesuffix(", or name the file with `weights`")
        raise WeightsError(
            f"{said}, or say where the persons are with `boxes`, a CSV of detections"
        ) from None


def read_people(path: Path, video: str, stop: float, every: float, min_score: float) -> People:
    """Read the boxes of one video out of a CSV of detections, or a folder of them.

    Its key frames are those of the file that lie within the video, none nearer to the one before
    than `every` seconds.

    Args:
        path: see `read_detections`; in a folder that has `<video>.csv`, it alone is read.
        video: its name in the file.
        stop: second at which it ends, exclusive.
        every: seconds.
        min_score: of the boxes that are kept.

    Raises:
        ManifestError: there is no such file, or a line of it is no box.
        RequestError: it has no box of the video that can be used.
    """
    alone = path / f"{video}.csv"
    chosen = alone if alone.is_file() else path
    listed = dict.fromkeys(moments_of(chosen))
    own = {f"{name}_{second!r}": second for name, second in listed if name == video}
    if not own:
        raise RequestError(f"{path} has no box of a video '{video}': {_of_others(listed)}")
    inside = {id_: second for id_, second in own.items() if second < stop}
    if not inside:
        raise RequestError(
            f"the boxes of '{video}' in {path} are at {min(own.values()):g} s and later, and the "
            f"video ends at {stop:g} s: give seconds of the file itself"
        )
    frames = [Segment(f"{name}_{second!r}", name, second) for name, second in listed]
    read = read_detections(chosen, frames, min_score)
    found = {second: read.boxes[id_] for id_, second in inside.items() if id_ in read.boxes}
    if len(found) < len(own):
        console.note(
            f"{path}: of {len(own)} key frames of '{video}', {len(found)} are within the video and "
            f"have a box with a score of {min_score:g} or more"
        )
    if not found:
        raise RequestError(
            f"no box of '{video}' in {path} can be used: give a `min_score` lower than "
            f"{min_score:g}, or boxes that lie within the frame"
        )
    moments = list(_apart(sorted(found), every))
    return People(moments, lambda some: {second: found[second] for second in some})


def _of_others(listed: Mapping[tuple[str, float], None]) -> str:
    videos = sorted({name for name, _ in listed})
    if not videos:
        return "it has none at all"
    more = f" and {len(videos) - _NAMED} more" if len(videos) > _NAMED else ""
    return f"it has those of {', '.join(videos[:_NAMED])}{more}; call the video as one of them"


def _apart(moments: Sequence[float], every: float) -> Iterator[float]:
    last = -np.inf
    for moment in moments:
        if moment - last >= every - _CLOCK:
            yield moment
            last = moment
