"""`egofeat annotate`: a video with what a run's head sees written into it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.annotated.overlays import Recogniser, Seen, clip_tags, person_tags
from egofeat.pipelines.annotated.people import detect_people, load_detector, read_people
from egofeat.pipelines.annotated.video import TimedTags, Written, check_place, write_annotated
from egofeat.pipelines.extraction.in_memory import PersonFeatures, Watched
from egofeat.pipelines.training.predict import makers_of, weights_of_sources
from egofeat.pipelines.training.run import Run, load_run


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

    A run on a store of persons labels persons, a run on a store of segments labels stretches of
    the video.

    Raises:
        RequestError: no such run or one that cannot label a video, options that cannot be, or no
            box of the video.
        WeightsError: the weights of the backbone are not those of the run, or the detector's are
            not at hand.
        MediaError: the video cannot be read.
    """
    _check(config)
    run = load_run(config.run)
    of_persons = run.config.of_persons
    if not of_persons:
        _check_stretches(run)
    if config.boxes and not of_persons:
        raise RequestError(
            f"run {config.run} was trained on segments and knows no persons: leave `boxes` out"
        )
    device, usual = choose_device(config.device), 0.3 if of_persons else 0.0
    recogniser = Recogniser(
        head=run.head.to(device),
        classes=run.config.classes,
        every=config.every or (1.0 if of_persons else 3.0),
        threshold=usual if config.threshold is None else config.threshold,
        top=config.top,
        device=device,
    )
    seen = Seen()
    with ExitStack() as opened:
        source = opened.enter_context(PyavSource(config.video))
        make = _person_tags if of_persons else _clip_tags
        timed_tags = make(config, recogniser, run, source, seen, opened)
        with console.progress("annotating", len(source.times), "frames") as progress:
            written = write_annotated(source, timed_tags, config.out, progress)
    return _report(config, written, seen)


def _person_tags(
    config: AnnotateConfig,
    recogniser: Recogniser,
    run: Run,
    video: PyavSource,
    seen: Seen,
    opened: ExitStack,
) -> Iterator[TimedTags]:
    every, min_score = recogniser.every, config.min_score
    if config.boxes:
        people = read_people(config.boxes, config.video.stem, video.stop, every, min_score)
    else:
        detector = load_detector(min_score, config.device)
        # Of its own: the frames that are written are read at the same time.
        people = detect_people(detector, opened.enter_context(video.again()), every)
    (source,) = run.config.sources  # persons are never joined
    (weights,) = weights_of_sources(run, config.weights or None)
    return person_tags(
        recogniser,
        opened.enter_context(Watched(video)),
        people,
        PersonFeatures(source.recipe, source.tap, weights, config.device),
        others=source.shape[0] - 1,
        seen=seen,
    )


def _clip_tags(
    config: AnnotateConfig,
    recogniser: Recogniser,
    run: Run,
    video: PyavSource,
    seen: Seen,
    opened: ExitStack,
) -> Iterator[TimedTags]:
    makers = makers_of(run, config.weights or None, config.device)
    watched = opened.enter_context(Watched(video))
    return clip_tags(recogniser, watched, video.stop, makers, seen)


def _check_stretches(run: Run) -> None:
    for source in run.config.sources:
        plan = source.recipe.plan
        if not plan.counted:
            raise RequestError(
                f"run {run.path} was trained on features by '{plan.sampling}', which cannot be "
                "made of any stretch of a video: name a run on a store of persons, or of segments"
            )


def _check(config: AnnotateConfig) -> None:
    check_place(config.out, config.video)
    if config.video.is_dir() or config.video.suffix == ".tar":
        raise RequestError(f"{config.video} is no video file: annotate takes no frames by number")


def _report(config: AnnotateConfig, written: Written, seen: Seen) -> Annotated:
    remarks = [
        f"left out: the sound, of codec {codec}, which {config.out.suffix} does not take"
        for codec in written.sound_left_out
    ]
    if written.lost:
        remarks.append(f"left out: {written.lost} frames that cannot be decoded")
    if written.labels_left_out:
        remarks.append(
            f"left out: {written.labels_left_out} labels, the least confident where the frame had "
            "no room for all"
        )
    if seen.unread:
        remarks.append(
            f"without labels: {len(seen.unread)} parts of the video that cannot be read, the first "
            f"at {next(iter(seen.unread))}"
        )
    return Annotated(
        out=str(config.out),
        frames=written.frames,
        moments=seen.moments,
        persons=seen.persons,
        labels=seen.labels,
        remarks=tuple(remarks),
    )
