"""`egofeat annotate`: videos with what is seen written into them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.adapters.videos import find_videos
from egofeat.errors import MediaError, RequestError
from egofeat.extract.video import open_video
from egofeat.extract.video.flow_source import FlowSource
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.annotated.overlays import PersonRecogniser, StretchRecogniser
from egofeat.pipelines.annotated.seers import Seer, choose_seer
from egofeat.pipelines.annotated.video import FORMATS, Written, check_place, write_annotated
from egofeat.segments import Media
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """What was written."""

    out: str
    frames: int
    moments: int
    """Key frames at which persons were looked for, or stretches of video that were recognised."""
    persons: int | None
    """At all key frames; None of a run that knows no persons."""
    labels: int
    remarks: tuple[str, ...]
    """What is missing, a sentence each."""

    def lines(self) -> list[str]:
        """The same for people."""
        looked = f"stretches {self.moments}"
        if self.persons is not None:
            looked = f"key frames {self.moments}, persons {self.persons}"
        said = f"{self.out}: frames {self.frames}, {looked}, labels {self.labels}"
        return [said, *self.remarks]


@dataclass(frozen=True, kw_only=True)
class Several:
    """What was written of each video of a folder, and which could not be."""

    videos: tuple[Annotated, ...]
    failures: dict[str, str]
    """Video to the reason."""

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(bool(self.failures))

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for people."""
        said = [line for one in self.videos for line in one.lines()]
        return said + [f"{video} was not written: {why}" for video, why in self.failures.items()]


def annotate(config: AnnotateConfig) -> Annotated | Several:
    """Write videos with boxes and labels of their persons, or with what is recognised in them.

    A run on a store of persons, or a published detection network, labels persons; a run on a store
    of segments, or another published network, labels stretches of the video. A folder of videos
    gives a folder of them, in which one that cannot be read is told and the others are written.

    Raises:
        RequestError: no such run or one that cannot label a video, options that cannot be, or no
            box of the video.
        WeightsError: the weights of the backbone are not those of the run, or the detector's are
            not at hand.
        MediaError: the video cannot be read.
    """
    found = find_videos(config.seen, config.fps)
    if [*found] == [config.seen]:
        check_place(config.out, config.seen)
        return _annotate(choose_seer(config), config, found[config.seen], config.out)
    places = dict(_places(found, config))
    seer, done, failures = choose_seer(config), list[Annotated](), dict[str, str]()
    for video, media in found.items():
        try:
            done.append(_annotate(seer, config, media, places[video]))
        except (MediaError, RequestError) as error:
            failures[str(video)] = str(error)
    return Several(videos=tuple(done), failures=failures)


def _places(found: dict[Path, Media], config: AnnotateConfig) -> Iterator[tuple[Path, Path]]:
    """Where each video of a folder is written: below `out` as it lies below the folder."""
    seen, out = config.seen, config.out
    if out.suffix.lower() in FORMATS or out.is_file():
        raise RequestError(
            f"{seen} holds {counted(len(found), 'videos')}: name a folder for them with -o"
        )
    if out.resolve().is_relative_to(seen.resolve()):
        raise RequestError(f"{out} is in {seen}, whose videos are read: name a folder elsewhere")
    below = {video: video.relative_to(seen) for video in found}
    bare = {video: of if video.is_dir() else of.with_suffix("") for video, of in below.items()}
    names = Counter(str(name).lower() for name in bare.values())  # disks may know no case
    taken = dict[Path, Path]()
    for video, name in bare.items():
        # Where several are called so, all but an .mp4 keep their suffixes.
        whole = names[str(name).lower()] > 1 and below[video].suffix.lower() != ".mp4"
        place = out / f"{below[video] if whole else name}.mp4"
        if other := taken.get(place):
            raise RequestError(f"{other} and {video} would both be {place}: rename one of them")
        taken[place] = video
        check_place(place, video)
        yield video, place


def _annotate(seer: Seer, config: AnnotateConfig, media: Media, out: Path) -> Annotated:
    """Write one video."""
    kind = PersonRecogniser if seer.of_persons else StretchRecogniser
    with ExitStack() as opened:
        source = opened.enter_context(open_video(media))
        if isinstance(source, FlowSource):
            raise RequestError(f"{media.path} is flow, not pictures: name the frames in colour")
        recogniser = kind(seer, config, source, media, opened)
        with console.progress("annotating", len(source.times), "frames") as progress:
            written = write_annotated(source, recogniser.timed_tags(), out, progress)
    return Annotated(
        out=str(out),
        frames=written.frames,
        moments=recogniser.moments,
        persons=recogniser.persons,
        labels=recogniser.labels,
        remarks=tuple(_remarks(out, written, recogniser.unread)),
    )


def _remarks(out: Path, written: Written, unread: dict[str, str]) -> list[str]:
    """What is missing, a sentence each."""
    remarks = [
        f"left out: the sound, of codec {codec}, which {out.suffix} does not take"
        for codec in written.sound_left_out
    ]
    if written.lost:
        remarks.append(f"left out: {counted(written.lost, 'frames')} that cannot be decoded")
    if written.labels_left_out:
        remarks.append(
            f"left out: {counted(written.labels_left_out, 'labels')}, the least confident where "
            "the frame had no room for all"
        )
    if unread:
        remarks.append(
            f"without labels: {counted(len(unread), 'parts')} of the video that cannot be read, "
            f"the first at {next(iter(unread))}"
        )
    return remarks
