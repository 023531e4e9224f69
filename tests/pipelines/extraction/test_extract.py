"""Videos to a store: the numbers, what is decoded, what fails, what a second run does."""

import gc
import json
import math
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import mobilenet_v2
from torchvision.transforms.v2 import functional as image_ops

from egofeat.errors import MediaError, MissingMediaError, RequestError, WeightsError
from egofeat.extract.backbones import Backbone, spec_of
from egofeat.extract.batches.running import Batches
from egofeat.extract.decoding.stretches import divide
from egofeat.extract.video import open_video
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import find
from egofeat.pipelines.extraction import disk_room, extract, job
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

FRAMES = 4


@pytest.fixture(scope="module")
def videos(encoder, tmp_path_factory):
    """Three videos of 40 numbered frames, 1.6 s each."""
    folder = tmp_path_factory.mktemp("videos")
    options = {"x264-params": "keyint=12:log-level=none"}
    return [encoder(folder / f"{name}.mp4", frames=40, options=options) for name in "abc"]


def data_set(videos: list[Path], segments: list[Segment]) -> Dataset:
    return Dataset(
        name="tiny",
        media={path.stem: Media(path) for path in videos},
        segments=tuple(segments),
        classes={"action": ("one", "two")},
    )


@pytest.fixture
def dataset(videos):
    """Nine segments, three a video, of which two overlap."""
    spans = [(0.0, 0.8), (0.4, 1.2), (1.0, math.inf)]
    return data_set(
        videos,
        [
            Segment(f"{path.stem}{k}", path.stem, *span, split="train", labels={"action": k % 2})
            for path in videos
            for k, span in enumerate(spans)
        ],
    )


@pytest.fixture
def config(tmp_path):
    """A small and quick extraction."""
    return ExtractConfig(
        out=tmp_path / "features",
        weights="random",
        taps=("block1", "gap"),
        frames=FRAMES,
        size=64,
        device="cpu",
        batch_size=8,
        workers=1,
    )


def bytes_of(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def test_a_feature_is_torchvisions_own(videos, tmp_path):
    """Promise 1: the same frames through torchvision's eager network."""
    dataset = data_set(videos, [Segment("s", "a", 0.2, 1.4, "train")])
    config = ExtractConfig(out=tmp_path, dtype="float32", taps=("gap", "block12"), device="cpu")
    report = extract.run(config, dataset)
    model = mobilenet_v2()
    model.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    model.eval()
    store = open_store(report.store, tap="gap")
    with open_video(Media(videos[0])) as source:
        plan = Uniform(20).plan(0.2, 1.4, source.times, source.stop)
        frames = torch.from_numpy(source.frames(plan.indices.ravel().tolist()))
    batch = image_ops.resize(frames.permute(0, 3, 1, 2), [256, 256], antialias=True) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    batch = (batch - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.inference_mode():
        maps = model.features[:14](batch)
        pooled = model.features[14:](maps).mean((2, 3))
    np.testing.assert_allclose(store["s"], pooled.numpy(), atol=1e-4, rtol=0)
    np.testing.assert_allclose(open_store(report.store, "block12")["s"], maps.numpy(), atol=1e-4)
    np.testing.assert_array_equal(store.times[0], plan.times)


def test_frames_without_a_rate_stop_no_other_video(videos, config, tmp_path):
    """The manifest is to say it: a video that cannot be read, and once it can be, is."""
    (tmp_path / "films/frames").mkdir(parents=True)
    shutil.copy(videos[0], tmp_path / "films")
    for number in range(1, 9):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(tmp_path / f"films/frames/{number}.png")
    config = replace(config, manifest=tmp_path / "m.yaml")
    entry = "version: 1\ndatasets: {films: {format: videos, media: films%s}}"
    config.manifest.write_text(entry % "")
    report = extract.run(config)
    (failed,) = report.failures
    assert (report.extracted, failed.cause, failed.segments) == (1, "unreadable", 1)
    assert failed.example == (
        f"{tmp_path / 'films/frames'} holds frames, and its data set has no `fps:` in the "
        "manifest: add it"
    )
    config.manifest.write_text(entry % ", fps: 25.0")
    assert (extract.run(config).extracted, len(open_store(report.store, "gap"))) == (1, 2)


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_extraction_held_is_free_before_python_looks_for_garbage(
    dataset, config, fails, monkeypatch
):
    """Its network and the memory of its batches: `annotate` extracts again and again."""

    def held():
        return sum(isinstance(one, Batches) for one in gc.get_objects())

    if fails:
        monkeypatch.setattr(Batches, "finish", lambda self: 1 / 0)
    gc.collect()
    before = held()  # what an error that stands in another test's cases was raised through
    gc.disable()
    try:
        with suppress(ZeroDivisionError):
            extract.run(config, dataset)
            assert not fails
        assert held() <= before
    finally:
        gc.enable()


def test_a_frame_that_several_segments_want_is_decoded_once(dataset, videos, config):
    report = extract.run(config, dataset)
    with open_video(Media(videos[0])) as source:
        plans = [
            Uniform(FRAMES).plan(s.start, s.stop, source.times, source.stop).indices
            for s in dataset.segments
            if s.video == "a"
        ]
    assert report.frames == 3 * len(np.unique(np.stack(plans))) < 9 * FRAMES
    assert (report.extracted, report.skipped, report.failed) == (9, 0, 0)
    assert report.frames_per_second > 0


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 3},
        {"format": "zarr"},
        {"taps": ("gap", "block1")},
        {"out": "elsewhere", "part": (1, 1)},
    ],
)
def test_how_the_work_is_done_changes_no_bit(dataset, config, change, tmp_path):
    """Promise 1: neighbours in the batch, order of work and workers are not in the numbers."""
    first = open_store(extract.run(config, dataset).store, "block1")
    change = {"out": tmp_path / "again"} | change
    if change["out"] == "elsewhere":
        change["out"] = tmp_path / "elsewhere"
        dataset = replace(dataset, segments=dataset.segments[::-1])
    again = open_store(extract.run(replace(config, **change), dataset).store, "block1")
    assert first.digest == again.digest
    for id_ in first.ids:
        np.testing.assert_array_equal(first[id_], again[id_])


@pytest.mark.parametrize("windows", [None, 8])
def test_videos_that_threads_share_give_the_same_bits(
    encoder, config, tmp_path, monkeypatch, windows
):
    """Long groups of pictures, open ones, and images; in twelve stretches or in one."""
    options = {"x264-params": "keyint=30:open-gop=1:bframes=3:log-level=none"}
    film = encoder(tmp_path / "long.mp4", frames=120, options=options)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(1, 61):
        Image.new("RGB", (32, 24), (4 * number, 0, 255 - 4 * number)).save(images / f"{number}.png")
    segments = [Segment(f"{v}{k}", v, k * 0.4, k * 0.4 + 0.3) for v in "ab" for k in range(5)]
    dataset = Dataset("tiny", {"a": Media(film), "b": Media(images, fps=25)}, tuple(segments), {})
    frames = {"frames": None, "windows": windows, "stride": 2} if windows else {}
    config = replace(config, workers=3, **frames)
    counted = []

    def counting(*of, **how):
        counted.append(len(stretches := divide(*of, **how)))
        return stretches

    monkeypatch.setattr("egofeat.extract.decoding.reading.divide", counting)
    whole = extract.run(config, dataset)
    monkeypatch.setattr("egofeat.extract.decoding.stretches.STRETCH_S", 0.1)
    monkeypatch.setattr("egofeat.extract.decoding.stretches.DETOUR", 100.0)
    divided = extract.run(replace(config, out=tmp_path / "divided"), dataset)
    assert bytes_of(Path(whole.store)) == bytes_of(Path(divided.store))
    assert (divided.failed, divided.frames) == (0, whole.frames)
    assert counted[:2] == [1, 1]
    assert min(counted[2:]) >= 5


def test_a_video_that_goes_while_threads_share_it_costs_its_own_segments(
    encoder, config, tmp_path, monkeypatch
):
    """All of them: what was read of it may be of another file. The other video is made."""
    options = {"x264-params": "keyint=30:log-level=none"}
    films = [encoder(tmp_path / f"{name}.mp4", frames=60, options=options) for name in "ab"]
    segments = [Segment(f"{v}{k}", v, k * 0.4, k * 0.4 + 0.3) for v in "ab" for k in range(5)]

    def gone(source):
        if source.path == films[0]:
            raise MissingMediaError(f"{source.path} does not exist")
        return again(source)

    again = PyavSource.again
    monkeypatch.setattr(PyavSource, "again", gone)
    monkeypatch.setattr("egofeat.extract.decoding.stretches.STRETCH_S", 0.1)
    monkeypatch.setattr("egofeat.extract.decoding.stretches.DETOUR", 100.0)
    report = extract.run(config, data_set(films, segments))
    assert (report.extracted, report.failed) == (5, 5)
    failures = progress_of(Path(report.store)).failures
    assert {(one.id, one.cause) for one in failures} == {(f"a{k}", "missing") for k in range(5)}


def test_stores_of_other_segments_share_a_decode(dataset, config, monkeypatch):
    """A shard of one and a shard of the other have one number and are not alike."""
    monkeypatch.setattr("egofeat.extract.shards.MAX_ROWS", 3)
    few = replace(dataset, segments=dataset.segments[1:])
    jobs = [
        job.plan_job(replace(config, taps=("gap",)), dataset),
        job.plan_job(replace(config, taps=("block1",), frames=2), few),
    ]
    jobs[1] = replace(jobs[1], dataset=dataset)
    report = extract.run_jobs(jobs, config)
    assert [(one.extracted, one.failed) for one in report.stores] == [(9, 0), (8, 0)]


def test_parts_on_several_machines_make_one_store(dataset, config, tmp_path, monkeypatch):
    monkeypatch.setattr("egofeat.extract.shards.MAX_ROWS", 3)  # a shard a video
    whole = Path(extract.run(config, dataset).store)
    split = replace(config, out=tmp_path / "parts")
    reports = [extract.run(replace(split, part=(k, 2)), dataset) for k in (1, 2)]
    assert [r.segments for r in reports] == [6, 3]
    parts = Path(reports[0].store)
    assert bytes_of(whole / "shards") == bytes_of(parts / "shards")
    assert verify(parts) == []


def test_another_batch_size_changes_only_rounding(dataset, config, tmp_path):
    config = replace(config, dtype="float32", taps=("gap",))
    first = open_store(extract.run(config, dataset).store)
    other = replace(config, batch_size=5, out=tmp_path / "b5")
    again = open_store(extract.run(other, dataset).store)
    difference = np.abs(first.take(first.rows()) - again.take(again.rows()))
    assert difference.max() <= 1e-5


def test_a_second_run_does_only_what_is_missing(dataset, config):
    few = replace(dataset, segments=dataset.segments[:4])
    first = extract.run(config, few)
    second = extract.run(config, dataset)
    third = extract.run(config, dataset)
    assert first.store == second.store
    assert (first.extracted, second.extracted, third.extracted) == (4, 5, 0)
    assert (second.skipped, third.skipped, third.frames_per_second) == (4, 9, 0.0)
    assert sorted(open_store(first.store, "gap").ids) == sorted(s.id for s in dataset.segments)


def test_a_moved_segment_is_extracted_again(dataset, config):
    extract.run(config, dataset)
    moved = replace(dataset.segments[0], start=0.2)
    changed = replace(dataset, segments=(moved, *dataset.segments[1:]))
    report = extract.run(config, changed)
    assert (report.extracted, report.skipped) == (1, 8)
    store = open_store(report.store, "gap")
    assert store.starts[store.table.numbers[moved.id]] == 0.2


def test_what_makes_the_numbers_makes_another_store(dataset, config):
    few = replace(dataset, segments=dataset.segments[:1])
    changes = [
        {},
        {"weights": "random:1"},
        {"transform": "weights"},
        {"size": 96},
        {"frames": 5},
        {"taps": ("gap",)},
        {"dtype": "float32"},
        {"precision": "bf16"},
        {"precision": "fp16"},
    ]
    stores = {extract.run(replace(config, **change), few).store for change in changes}
    assert len(stores) == len(changes)


@pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed")
def test_another_engine_is_another_store_of_the_same_features(dataset, config):
    config = replace(config, dtype="float32")
    first, second = (
        open_store(extract.run(replace(config, engine=engine), dataset).store, "gap")
        for engine in ("torch", "openvino")
    )
    assert first.path != second.path
    assert "engine" not in first.recipe.to_dict()
    assert second.recipe.engine == "openvino"
    described = json.loads((second.path / "store.json").read_text())
    assert described["recipe"]["engine"] == "openvino"
    assert described["made_with"]["engine"].startswith("openvino 20")
    assert second.ids.tolist() == first.ids.tolist()
    for one in first.ids:
        assert np.abs(second[one] - first[one]).max() <= 1e-5 * np.abs(first[one]).max()


def test_a_stop_past_the_end_is_recorded_as_clipped(videos, config):
    dataset = data_set(videos, [Segment("long", "a", 1.0, 9.0), Segment("to the end", "a")])
    store = open_store(extract.run(config, dataset).store, "gap")
    assert dict(zip(store.ids, store.clipped.tolist(), strict=True)) == {
        "long": True,
        "to the end": False,
    }


def test_a_dry_run_says_what_is_to_do_and_writes_nothing(dataset, config):
    before = extract.forecast(config, dataset)
    assert not config.out.exists()
    assert (before.to_extract, before.videos, before.present) == (9, 3, 0)
    assert before.frames == 9 * FRAMES
    extract.run(config, replace(dataset, segments=dataset.segments[:3]))
    after = extract.forecast(config, dataset)
    assert (after.to_extract, after.videos, after.present) == (6, 2, 3)
    assert after.bytes_to_write == 2 * after.bytes_present == before.bytes_to_write * 2 / 3
    store = open_store(after.store, "gap")
    assert after.bytes_present == sum(
        open_store(after.store, tap).nbytes for tap in store.recipe.taps
    )


class Unlucky:
    """A source whose frame 15 cannot be decoded; the others can."""

    entries = np.zeros(1, np.int64)

    def __init__(self, source) -> None:
        self.source, self.times, self.stop = source, source.times, source.stop
        self.lasting, self.counting = source.lasting, source.counting

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.source.close()

    def tensors(self, indices):
        for index, frame in self.source.tensors(indices):
            if index == 15:
                raise MediaError("a.mp4: frame 15 is damaged")
            yield index, frame


def test_a_damaged_frame_fails_the_segments_that_want_it_alone(dataset, config, monkeypatch):
    monkeypatch.setattr(
        "egofeat.extract.decoding.reading.open_video",
        lambda media, decoder: Unlucky(open_video(media, decoder)),
    )
    wanting = [Segment(f"x{k}", "a", k * 0.2, k * 0.2 + 0.16) for k in range(8)]
    report = extract.run(config, replace(dataset, segments=tuple(wanting)))
    held = progress_of(Path(report.store))
    done, failures = held.done, held.failures
    assert [f.id for f in failures] == ["x3"]
    assert "frame 15 is damaged" in failures[0].reason
    assert len(done) == report.extracted == 7


def test_damage_is_left_alone_until_it_is_asked_for(videos, config, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    whole = videos[1].read_bytes()
    damaged.write_bytes(bytes(len(whole)))
    then = damaged.stat()
    dataset = data_set([*videos, damaged], [Segment("good", "a"), Segment("bad", "damaged")])
    first = extract.run(config, dataset)
    assert (first.extracted, first.failed) == (1, 1)
    assert any("`retry_failed`" in line for line in first.lines())
    damaged.write_bytes(whole)
    os.utime(damaged, ns=(then.st_atime_ns, then.st_mtime_ns))  # for all that is told, the same
    second = extract.run(config, dataset)
    assert (second.extracted, second.skipped, second.failed) == (0, 1, 1)
    assert extract.forecast(config, dataset).to_extract == 0
    third = extract.run(replace(config, retry_failed=True), dataset)
    assert (third.extracted, third.skipped, third.failed) == (1, 1, 0)
    assert not list(Path(third.store).glob("failures-*"))


def test_a_missing_video_is_noticed_when_it_arrives(videos, config, tmp_path):
    absent = tmp_path / "absent.mp4"
    wanted = [Segment("good", "a"), *(Segment(f"bad{k}", "absent", k / 9) for k in range(9))]
    dataset = data_set([*videos, absent], wanted)
    before = extract.forecast(config, dataset)
    assert (before.to_extract, before.videos) == (1, 1)
    assert (before.missing_segments, before.missing_videos) == (9, 1)
    assert before.bytes_missing == 9 * before.bytes_to_write
    assert any("9 segments of 1 video are missing and not" in line for line in before.lines())
    for _ in range(2):
        report = extract.run(config, dataset)
        (failures,) = Path(report.store).glob("failures-*")
        assert len(failures.read_text().splitlines()) == 1
        assert [f.cause for f in progress_of(Path(report.store)).failures] == ["missing"] * 9
        assert report.failed == 9
        assert "9 segments of 1 video are missing: absent" in report.lines()
    (said,) = json.loads(json.dumps(asdict(report)))["failures"]
    assert said["videos"] == {"absent": 9}
    (only,) = report.failures
    assert (only.cause, only.segments, only.videos) == ("missing", 9, {"absent": 9})
    assert not any("`retry_failed`" in line for line in report.lines())
    absent.symlink_to(videos[1])
    arrived = extract.run(config, dataset)
    assert (arrived.extracted, arrived.skipped, arrived.failed) == (9, 1, 0)
    assert not failures.exists()


def test_a_value_that_float16_cannot_hold_fails_its_segment(dataset, config, tmp_path):
    state = {k: v.clone() for k, v in mobile_state().items()}
    state["features.1.conv.2.weight"] *= 1e6  # the gain of block0's last batch norm
    torch.save(state, tmp_path / "hot.pth")
    hot = replace(config, weights=str(tmp_path / "hot.pth"), taps=("block0",))
    report = extract.run(hot, dataset)
    assert report.failed == 9
    (failed,) = report.failures
    assert (failed.cause, failed.segments) == ("overflow", 9)
    reaches = re.escape("more than float16 holds (65504): use `dtype` float32")
    assert re.fullmatch(rf"tap block0 of mobilenetv2 reaches \d.*, {reaches}", failed.example)
    *_, told, reason, end = report.lines()
    assert told == "9 segments of 3 videos are beyond what float16 holds: a, b, c"
    assert reason.startswith("  9: tap block0 of mobilenetv2 reaches ")
    assert end.endswith("failures-*.jsonl; use `dtype` float32")
    again = extract.run(hot, dataset)  # another run would meet them again
    assert (again.frames, again.failures) == (0, report.failures)
    assert extract.run(replace(hot, dtype="float32"), dataset).failed == 0
    state["features.1.conv.2.weight"][0] = math.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"features\.1\.conv\.2\.weight holds values"):
        extract.run(replace(hot, weights=str(tmp_path / "nan.pth")), dataset)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"2.weight": math.inf}, r"broken\.pth: parameters of mobilenetv2"),
        ({"2.running_var": -1.0}, r"broken\.pth: parameters of mobilenetv2"),
        ({"1.weight": 1.0, "2.weight": 3e38}, "values of mobilenetv2 at tap block0"),
    ],
)
def test_weights_that_give_no_finite_numbers_are_to_blame_and_no_video(
    dataset, config, tmp_path, change, words
):
    state = {k: v.clone() for k, v in mobile_state().items()}
    for key, value in change.items():
        state[f"features.1.conv.{key}"][:] = value
    torch.save(state, tmp_path / "broken.pth")
    broken = replace(config, weights=str(tmp_path / "broken.pth"), taps=("block0",))
    with pytest.raises(WeightsError, match=f"^.*{words} are not finite numbers: its weights are"):
        extract.run(broken, dataset)
    assert not list(config.out.rglob("failures-*"))


def test_a_view_of_which_a_network_makes_no_finite_number_costs_its_segments(
    dataset, config, monkeypatch
):
    run, calls = Backbone.__call__, iter(range(100))

    def overflow(backbone, batch):
        outputs = run(backbone, batch)
        if next(calls) == 0:
            with torch.inference_mode():
                outputs["gap"][0] = math.nan
        return outputs

    monkeypatch.setattr(Backbone, "__call__", overflow)
    report = extract.run(config, dataset)
    assert 0 < report.failed < report.extracted
    assert "not a finite number" in progress_of(Path(report.store)).failures[0].reason


def mobile_state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mobilenet_v2().state_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"splits": ("trian",)}, "no split 'trian': choose from train"),
        ({"decoder": "cv2"}, "no decoder 'cv2': choose from pyav"),
        ({"dtype": "int8"}, "`dtype` is int8: choose float16 or float32"),
        ({"frames": 0}, "`frames` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"part": (4, 3)}, "`part` 4/3 is not a part: give 1/3 to 3/3"),
        ({"device": "cuda:99"}, "the device 'cuda:99' is not available"),
        ({"format": "tar"}, "tar"),
        ({"compress": "rar"}, "rar"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(dataset, config, change, words):
    with pytest.raises(RequestError, match=words) as refusal:
        extract.run(replace(config, **change), dataset)
    assert "\n" not in str(refusal.value)
    assert not config.out.exists()


def test_a_full_disk_is_foreseen(dataset, config, monkeypatch):
    monkeypatch.setattr(disk_room, "free_bytes", lambda folder: 10)
    with pytest.raises(RequestError, match=r"take .* and .* has 10 B free: make room"):
        extract.run(config, dataset)


def test_a_defect_in_a_decoder_thread_is_not_swallowed(dataset, config, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("egofeat.extract.decoding.reading.open_video", broken)
    with pytest.raises(ZeroDivisionError):
        extract.run(replace(config, workers=2), dataset)


def test_a_disk_error_is_not_swallowed(dataset, config, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("egofeat.store.StoreWriter.write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        extract.run(config, dataset)


@pytest.mark.real_data
def test_bad_videos_among_good_ones(real_data, config, videos):
    """Promise 4: every good one extracted, every bad one recorded with its reason."""
    odd = real_data / "data/odd/made"
    bad = ["garbage.mp4", "truncated_nomoov.mp4", "zero_length.mp4", "audio_only.mp4", "gone.mp4"]
    paths = [*videos, *(odd / name for name in bad)]
    dataset = data_set(paths, [Segment(path.stem, path.stem) for path in paths])
    report = extract.run(config, dataset)
    assert (report.extracted, report.failed) == (3, 5)
    lines = next(Path(report.store).glob("failures-*.jsonl")).read_text().splitlines()
    reasons = {record["id"]: record["reason"] for record in map(json.loads, lines)}
    assert set(reasons) == {Path(name).stem for name in bad}
    for name in bad:
        assert name in reasons[Path(name).stem]


@pytest.mark.real_data
def test_a_feature_of_a_real_clip_is_torchvisions_own(real_data, tmp_path):
    clip = real_data / "data/clips/decord/flipping_a_pancake.mkv"
    dataset = data_set([clip], [Segment("s", clip.stem)])
    report = extract.run(ExtractConfig(out=tmp_path, dtype="float32", device="cpu"), dataset)
    model = mobilenet_v2()
    model.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    with open_video(Media(clip)) as source:
        plan = Uniform(20).plan(0, math.inf, source.times, source.stop)
        frames = torch.from_numpy(source.frames(plan.indices.ravel().tolist())).permute(0, 3, 1, 2)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    batch = image_ops.resize(frames, [256, 256], antialias=True) / 255
    batch = (batch - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.inference_mode():
        expected = model.eval().features(batch).mean((2, 3)).numpy()
    np.testing.assert_allclose(open_store(report.store)["s"], expected, atol=1e-4, rtol=0)


@pytest.mark.gpu
def test_a_gpu_gives_the_numbers_of_the_cpu(gpu, dataset, config, tmp_path):
    config = replace(config, dtype="float32", weights="default", taps=("gap",))
    stores = [
        extract.run(replace(config, device=device, out=tmp_path / device), dataset).store
        for device in ("cpu", str(gpu))
    ]
    cpu, cuda = (open_store(store).take(np.arange(9)) for store in stores)
    assert np.abs(cpu - cuda).max() <= 1e-4
