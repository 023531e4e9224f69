"""Labels are the head's on features as the run's store has them; what cannot be is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from egofeat.adapters.reading.box_files import detections_csv
from egofeat.boxes import Boxes, key_frame_id
from egofeat.cli import app
from egofeat.errors import ManifestError, MediaError, RequestError, WeightsError
from egofeat.extract.persons import Detector
from egofeat.extract.video import open_video
from egofeat.extract.video.index import read_index
from egofeat.heads.config import TrainerConfig
from egofeat.pipelines.annotated import annotate as pipeline
from egofeat.pipelines.annotated import overlays, people
from egofeat.pipelines.annotated.annotate import AnnotateConfig, annotate
from egofeat.pipelines.annotated.overlays import stretch_edges
from egofeat.pipelines.annotated.video import Written
from egofeat.pipelines.extraction.extract import run as extract
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.predict import predict
from egofeat.recipe import Windows
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import Failure, open_persons

PEOPLE = {
    0: [[0.0, 0.1, 0.5, 0.9], [0.4, 0.0, 1.0, 1.0], [0.6, 0.5, 0.8, 0.9]],
    1: [[0.2, 0.2, 0.3, 0.8]],
    2: [],
    3: [[0.1, 0.1, 0.9, 0.4], [0.5, 0.5, 0.9, 0.9]],
}
CLASSES = ("sit", "stand", "talk to (e.g., self, a person, a group)")
MADE = {"weights": "random", "size": 32, "batch_size": 2, "device": "cpu", "workers": 1}


def film(path, seconds=4.0, size=(160, 96), sound=False):
    columns, rows = np.meshgrid(*map(np.arange, size))
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        heard = output.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number in range(round(10 * seconds)):
            wave = 128 + 100 * np.sin((columns + 5 * number) / 9) * np.cos((rows - number) / 7)
            frame = np.repeat(wave[..., None], 3, 2).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            if heard and number % 10 == 9:
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 8000), np.float32), "fltp", "mono"
                )
                silence.sample_rate = 8000
                output.mux(heard.encode(silence))
        output.mux(stream.encode(None))
        if heard:
            output.mux(heard.encode(None))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("annotate")
    film(made / "room.mp4")
    return made


@pytest.fixture(scope="module")
def persons_run(folder):
    """A run on a store of persons with two others beside each, and that store."""
    segments, boxes = [], {}
    for second, corners in PEOPLE.items():
        id_ = key_frame_id("room", f"{second:04d}")
        segments += [Segment(id_, "room", second, second + 1, split="train" if second else "val")]
        boxes[id_] = Boxes.of(corners, actions=[[k % 3] for k in range(len(corners))])
    media = {"room": Media(folder / "room.mp4")}
    classes = {"action": CLASSES}
    dataset = Dataset("room", media, tuple(segments), classes, key_frames=True, boxes=boxes)
    config = ExtractConfig(out=folder / "persons", roi=RoiConfig(), dtype="float32", **MADE)
    store = Path(extract(config, dataset).store)
    fitted = fit_head(
        FitConfig(
            head="roi",
            options={"others": "2", "hidden": "8"},
            store=store,
            trainer=TrainerConfig(epochs=1, device="cpu"),
            out=folder / "persons-run",
        )
    )
    return fitted.path, store


@pytest.fixture(scope="module")
def clips_run(folder):
    """A run on segments of verbs and nouns."""
    segments = tuple(
        Segment(f"{k}-{split}", "room", k, k + 1, split, {"verb": k % 2, "noun": k // 2})
        for k in range(4)
        for split in ("train", "val")
    )
    classes = {"verb": ("rise", "fall"), "noun": ("sun", "moon", "star")}
    dataset = Dataset("sky", {"room": Media(folder / "room.mp4")}, segments, classes)
    store = Path(extract(ExtractConfig(out=folder / "clips", frames=2, **MADE), dataset).store)
    trainer = TrainerConfig(epochs=1, device="cpu")
    return fit_head(
        FitConfig(head="linear", store=store, trainer=trainer, out=folder / "clips-run")
    ).path


@pytest.fixture
def boxes(tmp_path):
    """The persons of the run's store as a detector's file."""
    path = tmp_path / "boxes" / "room.csv"
    path.parent.mkdir()
    of_frames = {
        key_frame_id("room", f"{second:04d}"): Boxes.of(
            corners, [1 - k / 20 for k in range(len(corners))]
        )
        for second, corners in PEOPLE.items()
    }
    path.write_bytes(detections_csv(of_frames))
    return path


@pytest.fixture
def asked(folder, tmp_path):
    def make(run, **changes):
        given = {"video": folder / "room.mp4", "out": tmp_path / "out.mp4", "device": "cpu"}
        return AnnotateConfig(**{**given, "run": run, **changes})

    return make


@pytest.fixture
def timed_tags_of(monkeypatch):
    """What would be drawn."""

    def timed_tags(config):
        drawn = []

        def keep(source, timed_tags, out, advance):
            drawn.extend(timed_tags)
            return Written(len(source.times), 0, 0, ())

        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "write_annotated", keep)
            annotate(config)
        return drawn

    return timed_tags


def test_labels_of_persons_are_the_heads_on_the_stores_features(
    persons_run, boxes, asked, timed_tags_of
):
    run, store = persons_run
    timed_tags = timed_tags_of(asked(run, boxes=boxes, threshold=0.0))
    assert [(s.start, s.stop) for s in timed_tags] == [(-0.5, 0.5), (0.5, 1.5), (2.5, 3.5)]
    head = load_run(run).head
    rows = open_persons(store, others=2)
    with torch.inference_mode():
        logits = head(torch.from_numpy(rows.take(np.arange(len(rows.ids)))).float())["action"]
    expected = {
        tuple(box): dict(zip(CLASSES, scores, strict=True))
        for box, scores in zip(rows.boxes.tolist(), logits.sigmoid().tolist(), strict=True)
    }
    tags = [tag for now in timed_tags for tag in now.tags]
    assert len(tags) == 6
    for tag in tags:
        assert [label.score for label in tag.labels] == sorted(
            (label.score for label in tag.labels), reverse=True
        )
        for label in tag.labels:
            assert label.score == pytest.approx(expected[tag.box][label.name], abs=1e-5)


def test_only_sure_labels_and_as_many_as_wanted(persons_run, boxes, asked, timed_tags_of):
    run, _ = persons_run
    every = [t for s in timed_tags_of(asked(run, boxes=boxes, threshold=0.0)) for t in s.tags]
    best = [t for s in timed_tags_of(asked(run, boxes=boxes, threshold=0.0, top=1)) for t in s.tags]
    assert [tag.labels for tag in best] == [tag.labels[:1] for tag in every]
    middle = float(np.median([label.score for tag in every for label in tag.labels]))
    sure = [t for s in timed_tags_of(asked(run, boxes=boxes, threshold=middle)) for t in s.tags]
    assert [tag.labels for tag in sure] == [
        tuple(label for label in tag.labels if label.score >= middle) for tag in every
    ]


def test_a_video_of_persons_is_written_and_told(persons_run, boxes, asked, capsys):
    run, _ = persons_run
    config = asked(run, boxes=boxes.parent, threshold=0.0)
    told = annotate(config)
    assert (told.frames, told.moments, told.persons, told.labels) == (40, 3, 6, 18)
    assert told.lines()[0].endswith("out.mp4: frames 40, key frames 3, persons 6, labels 18")
    assert "annotating: 40/40 frames" in capsys.readouterr().err
    with open_video(Media(config.video)) as given, open_video(Media(config.out)) as made:
        assert np.array_equal(given.times, made.times)
        differs = np.abs(made.frames(range(40)).astype(int) - given.frames(range(40))).mean(
            (1, 2, 3)
        )
    assert differs[15:25].max() < 4, "from 1.5 to 2.5 s nobody is there"
    assert min(differs[:15].min(), differs[25:35].min()) > 6
    assert differs[35:].max() < 4, "the last key frame holds until 3.5 s"


def test_key_frames_of_a_file_are_thinned(persons_run, boxes, asked, timed_tags_of):
    run, _ = persons_run
    timed_tags = timed_tags_of(asked(run, boxes=boxes, every=2.0))
    assert [now.start + 1.0 for now in timed_tags] == [0.0, 3.0]
    surer = timed_tags_of(asked(run, boxes=boxes, min_score=0.97))
    assert [len(now.tags) for now in surer] == [1, 1, 1]


def test_persons_are_detected_where_no_boxes_are_given(
    persons_run, asked, timed_tags_of, monkeypatch
):
    run, _ = persons_run

    class Network(torch.nn.Module):
        """Sees one person in each image."""

        def forward(self, images):
            return [
                {
                    "boxes": torch.tensor([[10.0, 10.0, 80.0, 90.0], [1.0, 1.0, 9.0, 9.0]]),
                    "labels": torch.tensor([1, 2]),
                    "scores": torch.tensor([0.9, 0.9]),
                }
                for _ in images
            ]

    def load(**chosen):
        return Detector(
            network=Network(),
            weights="random:0",
            threshold=chosen["threshold"],
            min_size=0.0,
            device=torch.device("cpu"),
        )

    monkeypatch.setattr(people.persons, "load", load)
    timed_tags = timed_tags_of(asked(run, every=1.5, threshold=0.0))
    assert [now.start + 0.75 for now in timed_tags] == [0.0, 1.5, 3.0]
    assert all(len(now.tags) == 1 for now in timed_tags)
    assert timed_tags[0].tags[0].box == pytest.approx((10 / 160, 10 / 96, 80 / 160, 90 / 96))


def test_a_detector_without_weights_names_the_other_way(persons_run, asked, monkeypatch):
    def load(**_):
        raise WeightsError("the weights are not at hand: download them")

    monkeypatch.setattr(people.persons, "load", load)
    with pytest.raises(WeightsError, match=r"not at hand: download them, or say .* with `boxes`"):
        annotate(asked(persons_run[0]))


def test_stretches_are_recognised_as_predict_recognises_them(
    clips_run, asked, timed_tags_of, tmp_path
):
    timed_tags = timed_tags_of(asked(clips_run, every=4.0, top=2))
    (now,) = timed_tags
    (tag,) = now.tags
    assert (now.start, now.stop, tag.box) == (0.0, 4.0, None)
    (seen,) = predict(clips_run, [asked(clips_run).video], device="cpu", top=2).predictions
    expected = {
        f"{target}: {guess.name}": guess.probability
        for target, guesses in seen.targets.items()
        for guess in guesses
    }
    assert {label.name: label.score for label in tag.labels} == expected
    assert next(iter(expected)).startswith("verb: ")
    told = annotate(asked(clips_run))
    assert (told.frames, told.moments, told.persons) == (40, 1, None)
    assert told.lines()[0].endswith("out.mp4: frames 40, stretches 1, labels 8")
    assert len(timed_tags_of(asked(clips_run, every=1.0))) == 4


@pytest.mark.parametrize("of_persons", [False, True])
def test_a_video_is_indexed_once_however_long_it_is(
    of_persons, clips_run, persons_run, boxes, asked, monkeypatch
):
    indexed = []

    def index(file):
        indexed.append(file.path)
        return read_index(file)

    monkeypatch.setattr("egofeat.extract.video.pyav_source.read_index", index)
    monkeypatch.setattr("egofeat.pipelines.annotated.overlays.STRETCH", 1.0)
    config = asked(persons_run[0], boxes=boxes) if of_persons else asked(clips_run, every=1.0)
    assert annotate(config).moments >= 3
    assert len(indexed) == 1


def test_what_is_left_over_is_recognised_alone_if_it_is_long_enough():
    assert stretch_edges(10.0, 3.0) == [0.0, 3.0, 6.0, 10.0]
    assert stretch_edges(10.6, 3.0) == [0.0, 3.0, 6.0, 9.0, 10.6]
    assert stretch_edges(0.5, 3.0) == [0.0, 0.5]


def test_what_is_missing_is_told(clips_run, asked, monkeypatch):
    monkeypatch.setattr(
        pipeline, "write_annotated", lambda *_: Written(39, 1, 2, ("an unknown codec",))
    )
    sound, frames, labels = annotate(asked(clips_run)).remarks
    assert sound.startswith("left out: the sound, of codec an unknown codec, which .mp4 does not")
    assert frames == "left out: 1 frame that cannot be decoded"
    assert labels.startswith("left out: 2 labels, the least confident")


def test_moments_that_cannot_be_read_have_nobody(folder):
    class Torn:
        """A source whose second half cannot be decoded."""

        def __init__(self, source):
            self.source, self.times, self.stop = source, source.times, source.stop

        def tensors(self, indices):
            if indices[0] >= 20:
                raise MediaError("damaged")
            return self.source.tensors(indices)

    def nobody(frames):
        return [Boxes.of([]) for _ in frames]

    with open_video(Media(folder / "room.mp4")) as source:
        detected = people.detect_people(nobody, Torn(source), 1.0)
        assert detected.moments == [0.0, 1.0, 2.0, 3.0]
        assert list(detected.at(detected.moments)) == [0.0, 1.0]


def test_a_video_of_which_nothing_can_be_read_is_refused(clips_run, asked, folder, monkeypatch):
    def fail(makers, segments, media):
        memory = Memory("gap")
        memory.failures = [Failure(s.id, s.video, s.start, s.stop, "damaged") for s in segments]
        return [memory]

    monkeypatch.setattr(overlays, "make_features", fail)
    with pytest.raises(RequestError, match=r"room\.mp4 could not be read: damaged"):
        annotate(asked(clips_run))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"every": 0.0}, "`every` is 0: give 0.04 or more"),
        ({"every": float("nan")}, "`every` is nan"),
        ({"threshold": 1.5}, "`threshold` is 1.5: give 0 to less than 1"),
        ({"min_score": -1.0}, "`min_score` is -1: give 0"),
        ({"top": 0}, "`top` is 0: give 1 or more"),
        ({"out": Path("out.gif")}, "neither .mp4 nor .mkv"),
        ({"run": Path("nowhere")}, "nowhere is not a run"),
        ({"video": Path("frames.tar")}, "frames.tar holds frames, which do not say how fast"),
        ({"weights": ("a", "b")}, "1 stores and 2 weights are named"),
        ({"boxes": Path("b.csv")}, "knows no persons: leave `boxes` out"),
    ],
)
def test_wrong_requests_are_refused(clips_run, asked, changes, sentence):
    with pytest.raises(RequestError, match=sentence):
        annotate(asked(changes.pop("run", clips_run), **changes))


def test_bad_videos_are_refused(clips_run, asked, tmp_path):
    with pytest.raises(MediaError, match=r"gone.mp4 does not exist"):
        annotate(asked(clips_run, video=tmp_path / "gone.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    with pytest.raises(MediaError, match="cannot be opened as video"):
        annotate(asked(clips_run, video=tmp_path / "bad.mp4"))


def test_files_without_boxes_of_the_video_are_refused(persons_run, boxes, asked, tmp_path):
    run, _ = persons_run

    def told(text, sentence, error=RequestError, **changes):
        path = tmp_path / "other.csv"
        path.write_text(text)
        with pytest.raises(error, match=sentence):
            annotate(asked(run, boxes=path, **changes))

    box = "0.1,0.1,0.9,0.9,,0.9"
    told(f"hall,0001,{box}\nbath,2,{box}\n", "no box of a video 'room': it has those of bath, hall")
    told("".join(f"{k},1,{box}\n" for k in range(7)), "0, 1, 2, 3, 4 and 2 more; call the video")
    told("", "it has none at all")
    told(f"room,0902,{box}\n", "are at 902 s and later, and the video ends at 4 s")
    told(f"room,0001,{box[:-3]}0.5\n", "give a `min_score` lower than 0.8")
    told(f"room,soon,{box}\n", "line 1: the time stamp is 'soon'", ManifestError)
    with pytest.raises(ManifestError, match=r"gone\.csv"):
        annotate(asked(run, boxes=tmp_path / "gone.csv"))


def test_runs_on_other_rows_are_refused(clips_run, asked, tmp_path):
    shutil.copytree(clips_run, tmp_path / "run")
    config = yaml.safe_load((clips_run / "config.yaml").read_text())
    config["sources"][0]["recipe"]["plan"] = Windows(8, 4, 10.0, 1).to_dict()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (tmp_path / "run" / "SHA256SUMS").unlink()
    with pytest.raises(RequestError, match="by 'windows', which cannot be made of any stretch"):
        annotate(asked(tmp_path / "run"))


def test_the_command_prints_one_object(clips_run, folder, tmp_path):
    out = tmp_path / "out.mkv"
    asked = ["annotate", clips_run, folder / "room.mp4", "-o", out, "--every", 2]
    told = CliRunner().invoke(app, [*map(str, asked), "--device", "cpu", "--json"])
    assert told.exit_code == 0
    report = json.loads(told.stdout)
    assert report["out"] == str(out)
    assert (report["frames"], report["moments"], report["persons"]) == (40, 2, None)
    assert out.exists()


PEAK = """
import sys, threading
from pathlib import Path
import psutil, torch
torch.set_num_threads(1)
from egofeat.pipelines.annotated.annotate import AnnotateConfig, annotate

run, warm, *videos = map(Path, sys.argv[1:])

def annotated(video):
    annotate(AnnotateConfig(video=video, run=run, out=video.with_suffix(".made.mp4"), device="cpu"))

annotated(warm)
peak, done, process = 0, threading.Event(), psutil.Process()

def watch():
    global peak
    while not done.wait(0.02):
        peak = max(peak, process.memory_info().rss)

watcher = threading.Thread(target=watch)
watcher.start()
for video in videos:
    annotated(video)
    print(peak / 1e6)
done.set()
watcher.join()
"""


def test_memory_does_not_grow_with_the_length_of_the_video(clips_run, tmp_path):
    """The frames of the longer that are more would take 55 MB, its sound 4 MB.

    What is loaded once, which is most, is loaded before memory is looked at.
    """
    lengths = (35, 155)
    videos = [film(tmp_path / f"{seconds}.mp4", seconds, sound=True) for seconds in lengths]
    warm = film(tmp_path / "warm.mp4", 4, sound=True)
    command = [sys.executable, "-c", PEAK, *map(str, (clips_run, warm, *videos))]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    for seconds, video in zip(lengths, videos, strict=True):
        with open_video(Media(video.with_suffix(".made.mp4"))) as made:
            assert len(made.times) == 10 * seconds
    short, long = map(float, said.stdout.split())
    print(f"peak {short:.0f} MB of 35 s, {long:.0f} MB of 155 s")
    assert long - short < 25
