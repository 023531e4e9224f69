"""`--decoder auto`: the decoders that are there are timed on the first videos."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video.opening import AUTO, decoder_version, open_video
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.extract.video.source import FrameSource
from egofeat.segments import Media

TIMED = ("pyav", "torchcodec", "nvdec")
"""Those that give exact frames or refuse the file; the first is taken unless another is `WORTH`."""
WORTH = 1.1
"""Times as many frames a second as the first that another gives at least."""
SECONDS = 2.0
"""That all decoders together are timed."""
VIDEOS = 3
"""That are looked at."""


def choose_decoder(
    asked: str,
    begun: Callable[[str], bool],
    media: Iterable[Media],
    threads: int,
    note: Callable[[str], None],
) -> str:
    """The decoder that is asked for; of `auto` that of what is begun already, or the fastest.

    Args:
        asked: its name, or `auto`.
        begun: whether there is anything made with a decoder.
        media: videos, in the order in which they are read.
        threads: that decode, each a video.
        note: told, in one line, what was measured.
    """
    if asked != AUTO:
        return asked
    usable = [name for name in TIMED if _is_usable(name)]
    for name in usable:
        if begun(name):
            return name
    return fastest(usable, media, threads, note) if len(usable) > 1 else usable[0]


def fastest(
    decoders: Sequence[str], media: Iterable[Media], threads: int, note: Callable[[str], None]
) -> str:
    """The decoder that gives most frames a second; see `choose_decoder`."""
    first, paces = decoders[0], dict.fromkeys(decoders, 0.0)
    for one in islice(_films(media), VIDEOS):
        for name in list(paces):
            try:
                paces[name] += _pace(one, name, threads, SECONDS / VIDEOS / len(decoders))
            except (MediaError, RequestError):  # it would be no better later
                del paces[name]
    best = max(paces, key=lambda name: paces[name], default=first)
    if first in paces and paces[best] < WORTH * paces[first]:
        best = first
    if any(paces.values()):
        told = ", ".join(f"{name} {pace / VIDEOS:.0f}" for name, pace in paces.items())
        note(f"`decoder` auto takes {best}: {told} frames/s")
    return best


def _is_usable(name: str) -> bool:
    try:
        decoder_version(name)
    except RequestError:
        return False
    return True


def _films(media: Iterable[Media]) -> Iterable[Media]:
    """Video files that can be read; of images no decoder matters."""
    for one in media:
        with suppress(MediaError), open_video(one) as source:
            if isinstance(source, PyavSource):
                yield one


def _pace(media: Media, decoder: str, threads: int, seconds: float) -> float:
    """Frames a second from the start of a video by several threads; opening it is not counted."""
    with open_video(media, decoder) as source, ThreadPoolExecutor(threads) as pool:
        sources = [source, *pool.map(lambda _: source.again(), range(threads - 1))]
        began = time.perf_counter()
        counts = [pool.submit(_count, one, began + seconds) for one in sources]
        frames = sum(count.result() for count in counts)
        if decoder == "nvdec":
            _wait_for_card()
        taken = time.perf_counter() - began
        for one in sources[1:]:
            one.close()
    return frames / taken


def _wait_for_card() -> None:
    """What it was given to paint counts when it is done."""
    import torch  # noqa: PLC0415  # takes seconds, and elsewhere none is needed

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _count(source: FrameSource, until: float) -> int:
    frames = 0
    for _ in source.tensors(range(len(source.times))):
        frames += 1
        if time.perf_counter() > until:
            break
    return frames
