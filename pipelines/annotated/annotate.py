"""`egofeat annotate`: a video with what is seen written into it."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.annotated.overlays import PersonRecogniser, StretchRecogniser
from egofeat.pipelines.annotated.seers import choose_seer
from egofeat.pipelines.annotated.video import Written, check_place, write_annotated


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


def annotate(config: AnnotateConfig) -> Annotated:
    """Write a video with boxes and labels of its persons, or with what is recognised in it.

    A run on a store of persons, or a published detection network, labels persons; a run on a store
    of segments, or another published network, labels stretches of the video.

    Raises:
        RequestError: no such run or one that cannot label a video, options that cannot be, or no
            box of the video.
        WeightsError: the weights of the backbone are not those of the run, or the detector's are
            not at hand.
        MediaError: the video cannot be read.
    """
    video, out = config.seen, config.out
    check_place(out, video)
    if video.is_dir() or video.suffix == ".tar":
        raise RequestError(f"{video} is no video file: annotate takes no frames by number")
    seer = choose_seer(config)
    kind = PersonRecogniser if seer.of_persons else StretchRecogniser
    with ExitStack() as opened:
        source = opened.enter_context(PyavSource(video))
        recogniser = kind(seer, config, source, opened)
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
        remarks.append(f"left out: {written.lost} frames that cannot be decoded")
    if written.labels_left_out:
        remarks.append(
            f"left out: {written.labels_left_out} labels, the least confident where the frame had "
            "no room for all"
        )
    if unread:
        remarks.append(
            f"without labels: {len(unread)} parts of the video that cannot be read, the first "
            f"at {next(iter(unread))}"
        )
    return remarks
