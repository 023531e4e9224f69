"""Single frames of videos, whole and as they are, in batches of one size.

A batch is of one video and its frames are in the order of time: which frames share one never
depends on other videos, on what was done before or on how many threads read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from egofeat.boxes import key_frame_id
from egofeat.errors import MediaError
from egofeat.extract.decoding.threads import in_threads
from egofeat.extract.video import FlowSource, FrameSource, open_video
from egofeat.recipe.moments import frames_at
from egofeat.segments import Media

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Moments = Mapping[str, float]
"""Id of a key frame to its seconds."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one video."""

    video: str
    media: Media
    moments: Moments | float
    """Moments; or seconds from one to the next, over the whole video."""

    @property
    def units(self) -> int:
        """Of what is told to be done: its key frames; a whole video is one."""
        return len(self.moments) if isinstance(self.moments, Mapping) else 1


@dataclass(frozen=True)
class Stills:
    """A batch of frames of one size."""

    video: str
    ids: tuple[tuple[str, ...], ...]
    """[n] key frames at whose moments each frame is on show."""
    frames_HWC: "tuple[Tensor, ...]"
    """[n] RGB."""


@dataclass(frozen=True)
class Unread:
    """Moments of a video without a frame that can be read, for one reason."""

    video: str
    moments: Moments | None
    """None: the whole video, and what was read of it before is void."""
    reason: str
    cause: str = MediaError.cause


@dataclass(frozen=True)
class Finished:
    """A video is over."""

    video: str


Event = Stills | Unread | Finished


def every(seconds: float, video: str, start: float, stop: float) -> Moments:
    """Moments of `[start, stop)` that are multiples of so many seconds, to the millisecond.

    Their time stamps have no more digits than they need: `0`, `1`, `1.5`, `0.033`.
    """
    numbers = np.arange(np.ceil(stop / seconds)) * seconds
    stamps = [f"{number:.3f}".rstrip("0").rstrip(".") for number in numbers]
    return {
        key_frame_id(video, stamp): float(stamp) for stamp in stamps if start <= float(stamp) < stop
    }


def read(wanted: Wanted, decoder: str, batch_size: int) -> Iterator[Event]:
    """Read one video: its batches, what cannot be read, and last that it is finished."""
    try:
        with open_video(wanted.media, decoder) as source:
            if isinstance(source, FlowSource):
                raise MediaError(f"{source.path} holds flow and no colours: name its RGB frames")
            yield from _stills(wanted, source, batch_size)
    except MediaError as error:
        yield Unread(wanted.video, None, str(error), error.cause)
    yield Finished(wanted.video)


def read_all(
    videos: Iterable[Wanted],
    *,
    decoder: str,
    batch_size: int,
    threads: int,
    turns: bool,
    device: "torch.device",
) -> AbstractContextManager[Iterator[Event]]:
    """Read many videos in threads, see `read`; events of one video stay in order.

    Leaving it stops the threads.

    No more than `batch_size · (threads + 6)` frames are in memory, the card's if it decodes, times
    the number of different sizes that the frames of one video have.

    Args:
        videos: taken in order.
        decoder: one of `DECODERS`.
        batch_size: frames a batch.
        threads: that read, each one video.
        turns: whether threads rest while the consumer works.
        device: of the consumer; where it is a card, it is the one that decodes.
    """
    from egofeat.extract.decoding.card import decoding_on  # noqa: PLC0415  # imports torch

    def work(wanted: Wanted, further: Callable[[Sequence[Wanted]], object]) -> Iterator[Event]:
        further(())  # a video is read by one thread, so each thread begins one
        with decoding_on(device):
            yield from read(wanted, decoder, batch_size)

    return in_threads(
        videos,
        work,
        threads=threads,
        waiting=2 * batch_size,
        weigh=lambda event: len(event.frames_HWC) if isinstance(event, Stills) else 1,
        turns=turns,
    )


def _stills(wanted: Wanted, source: FrameSource, batch_size: int) -> Iterator[Stills | Unread]:
    moments = wanted.moments
    if not isinstance(moments, Mapping):
        moments = every(moments, wanted.video, float(source.times[0]), source.stop)
    shown: dict[int, list[str]] = {}
    for id_, seconds in moments.items():
        try:
            shown.setdefault(_frame_at(seconds, source), []).append(id_)
        except MediaError as error:
            yield Unread(wanted.video, {id_: seconds}, f"{source.path}: {error}")
    groups: dict[tuple[int, ...], dict[int, Tensor]] = {}
    for index, frame in _scan(source, sorted(shown)):
        if isinstance(frame, str):
            lost = {id_: moments[id_] for id_ in shown[index]}
            yield Unread(wanted.video, lost, frame)
            continue
        group = groups.setdefault(frame.shape, {})
        group[index] = frame
        if len(group) == batch_size:
            yield _batch(wanted.video, groups.pop(frame.shape), shown)
    for group in groups.values():
        yield _batch(wanted.video, group, shown)


def _frame_at(seconds: float, source: FrameSource) -> int:
    if seconds >= source.stop:
        raise MediaError(
            f"the key frame is at {seconds:.3f} s, past the end at {source.stop:.3f} s"
        )
    return int(frames_at(np.array(seconds), source.times, source.lasting))


def _scan(source: FrameSource, indices: Sequence[int]) -> Iterator[tuple[int, "Tensor | str"]]:
    """Frames by index; in place of one that is damaged, the reason."""
    left = list(indices)
    while left:
        try:
            for index, frame in source.tensors(left[:]):
                left.pop(0)
                yield index, frame
        except MediaError as error:
            if error.cause != MediaError.cause:
                raise
            yield left.pop(0), str(error)


def _batch(video: str, group: "Mapping[int, Tensor]", shown: Mapping[int, Sequence[str]]) -> Stills:
    return Stills(video, tuple(tuple(shown[index]) for index in group), tuple(group.values()))
