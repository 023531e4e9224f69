"""Clips, crops and windows, and several backbones that share one decode."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import light

from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, load, spec_of
from egofeat.extract.transforms import normalise, prepare
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.choices import choose_plan, choose_transform, for_each
from egofeat.pipelines.extraction.job import plan_job, plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Clips, Uniform, Windows
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

TINY = Path(__file__).parents[3] / "studies" / "data" / "tiny-dinov2"
CLIP = "r3d_18"
IMAGE = "mobilenetv2"
NETWORK = BACKBONES.own[CLIP]


@pytest.fixture(autouse=True)
def _clips_are_cheap(monkeypatch):
    """A stand-in for the network of clips: what is asked here is what it is given."""
    spec, build = BACKBONES[CLIP]
    monkeypatch.setitem(BACKBONES.own, CLIP, (spec, light(build)))


@pytest.fixture(scope="module")
def videos(encoder, tmp_path_factory):
    """Two videos of 40 numbered frames at 25 fps, 1.6 s each, 160 × 120 pixels."""
    folder = tmp_path_factory.mktemp("videos")
    options = {"x264-params": "keyint=12:log-level=none"}
    return [encoder(folder / f"{name}.mp4", frames=40, options=options) for name in "ab"]


@pytest.fixture
def dataset(videos):
    """Six segments, three a video, of which two overlap."""
    spans = [(0.0, 0.8), (0.4, 1.2), (1.0, math.inf)]
    return Dataset(
        name="tiny",
        media={path.stem: Media(path) for path in videos},
        segments=tuple(
            Segment(f"{path.stem}{k}", path.stem, *span, split="train", labels={"action": k % 2})
            for path in videos
            for k, span in enumerate(spans)
        ),
        classes={"action": ("one", "two")},
    )


@pytest.fixture
def config(tmp_path):
    """A small and quick extraction."""
    return ExtractConfig(
        out=tmp_path / "features",
        weights="random",
        size=32,
        device="cpu",
        dtype="float32",
        workers=1,
    )


def both(config: ExtractConfig) -> list[ExtractConfig]:
    return for_each(replace(config, frames=5, clips=2, clip_frames=4), [IMAGE, CLIP])


def frames_wanted(config: ExtractConfig, dataset: Dataset) -> dict[str, set[int]]:
    """Video to the frames that a backbone wants of it."""
    plan = choose_plan(spec_of(config.backbone), config)
    wanted: dict[str, set[int]] = {}
    for segment in dataset.segments:
        with open_video(dataset.media[segment.video]) as source:
            frames = plan.plan(segment.start, segment.stop, source.times, source.stop)
        wanted.setdefault(segment.video, set()).update(frames.indices.ravel().tolist())
    return wanted


def test_one_decode_feeds_two_backbones(dataset, config):
    """Promise 2: a frame that several backbones need is decoded once."""
    configs = both(config)
    report = extract.run_jobs(plan_jobs(configs, dataset), config)
    wanted = [frames_wanted(own, dataset) for own in configs]
    union = sum(len(wanted[0][video] | wanted[1][video]) for video in dataset.media)
    alone = [sum(map(len, frames.values())) for frames in wanted]
    assert report.decoded == union < sum(alone)
    assert [store.frames for store in report.stores] == alone
    assert [store.extracted for store in report.stores] == [6, 6]
    assert report.exit_code == 0


def test_networks_of_other_libraries_share_the_decode(dataset, config):
    """A backbone is swapped by its name: egofeat's, timm's, transformers', drawn at random."""
    for library in ("timm", "transformers"):
        pytest.importorskip(library)
    own = replace(config, size=None, frames=5)
    names = [IMAGE, "timm:test_vit", f"hf:{TINY}"]
    report = extract.run_jobs(plan_jobs(for_each(own, names), dataset), own)
    assert report.decoded == sum(map(len, frames_wanted(own, dataset).values()))
    stores = [open_store(one.store) for one in report.stores]
    assert [store.row_shape for store in stores] == [(5, 1280), (5, 64), (5, 192)]
    assert [store.recipe.transform.crop for store in stores] == [256, 160, 112]
    assert "timm_test_vit-" in str(report.stores[1].store)
    assert extract.run(replace(own, backbone=names[2]), dataset).extracted == 0


def test_sharing_a_decode_changes_no_bit(dataset, config, tmp_path):
    configs = both(config)
    together = extract.run_jobs(plan_jobs(configs, dataset), config).stores
    for own, shared in zip(configs, together, strict=True):
        alone = open_store(extract.run(replace(own, out=tmp_path / "alone"), dataset).store)
        with_other = open_store(shared.store)
        assert list(alone.ids) == list(with_other.ids)
        for id_ in alone.ids:
            np.testing.assert_array_equal(alone[id_], with_other[id_])


def test_what_one_backbone_has_already_is_not_done_again(dataset, config):
    image, clip = both(config)
    extract.run(image, replace(dataset, segments=dataset.segments[:2]))
    report = extract.run_jobs(plan_jobs([image, clip], dataset), config)
    assert [(s.extracted, s.skipped) for s in report.stores] == [(4, 2), (6, 0)]
    again = extract.run_jobs(plan_jobs([image, clip], dataset), config)
    assert again.decoded == 0
    assert [(s.extracted, s.skipped) for s in again.stores] == [(0, 6), (0, 6)]


def test_a_clip_is_what_the_network_gives_for_its_frames(dataset, config, monkeypatch):
    monkeypatch.setitem(BACKBONES.own, CLIP, NETWORK)  # the real one, no stand-in
    own = replace(config, backbone=CLIP, clips=3, clip_frames=4, taps=("gap", "map"))
    report = extract.run(own, dataset)
    job = plan_job(own, dataset)
    store = open_store(report.store, "gap")
    assert store.row_shape == (3, 512)
    segment = dataset.segments[1]
    with open_video(dataset.media[segment.video]) as source:
        frames = job.recipe.plan.plan(segment.start, segment.stop, source.times, source.stop)
        clip = torch.stack(
            [
                prepare(job.recipe.transform, f)[0]
                for f in torch.from_numpy(source.frames(frames.indices[2]))
            ]
        )
    batch = normalise(job.recipe.transform, clip[None])
    assert batch.shape == (1, 3, 4, 32, 32)
    features = load(CLIP, "random", ("gap", "map"))(batch)
    np.testing.assert_allclose(store[segment.id][2], features["gap"][0], rtol=1e-4, atol=1e-5)
    maps = open_store(report.store, "map")
    assert maps.row_shape == (3, *features["map"].shape[1:])
    np.testing.assert_allclose(maps[segment.id][2], features["map"][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(store.times[store.table.numbers[segment.id]], frames.times)


def test_three_crops_are_three_views_of_each_clip(dataset, config):
    own = replace(config, backbone=CLIP, clips=2, clip_frames=4)
    three = open_store(extract.run(replace(own, crops=3), dataset).store)
    one = open_store(extract.run(own, dataset).store)
    assert three.row_shape == (6, 512)
    for id_ in one.ids:
        np.testing.assert_allclose(three[id_][[1, 4]], one[id_], rtol=1e-4, atol=1e-5)
        assert not np.allclose(three[id_][0], three[id_][1], rtol=1e-2)
    np.testing.assert_array_equal(three.times, np.repeat(one.times, 3, axis=1))


def test_crops_reach_both_ends_of_the_longer_side():
    own = ExtractConfig(backbone=CLIP, crops=3, size=32)
    transform = choose_transform(spec_of(CLIP), None, own)
    wide = torch.zeros(32, 100, 3, dtype=torch.uint8)
    wide[:, :30, 0] = wide[:, 70:, 2] = 255
    left, centre, right = prepare(transform, wide)
    assert left[16, 0, 0] == right[16, -1, 2] == 255
    assert left[..., 2].max() == right[..., 0].max() == 0
    assert centre.shape == (32, 32, 3)


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_dense_windows_run_over_whole_videos(dataset, config, form):
    own = replace(config, windows=8, stride=4, fps=25.0, format=form)
    jobs = plan_jobs(for_each(own, [CLIP, IMAGE]), dataset)
    report = extract.run_jobs(jobs, config)
    for done, job in zip(report.stores, jobs, strict=True):
        assert done.segments == 2
        assert not verify(Path(done.store))
        store = open_store(done.store)
        assert store.flat
        assert store.lengths.tolist() == [9, 9]  # 40 frames: starts 0, 4, …, 32
        assert store.row_shape == job.recipe.taps["gap"]
        spans = store.spans("a")
        np.testing.assert_allclose(spans[:, 0], np.arange(9) * 4 / 25)
        np.testing.assert_allclose(spans[:, 2], (np.arange(9) * 4 + 8) / 25)
    with open_video(dataset.media["a"]) as source:
        plan = jobs[0].recipe.plan.plan(0.0, math.inf, source.times, source.stop)
        clip = torch.stack(
            [
                prepare(jobs[0].recipe.transform, f)[0]
                for f in torch.from_numpy(source.frames(plan.indices[8]))
            ]
        )
    expected = jobs[0].backbone(normalise(jobs[0].recipe.transform, clip[None]))
    store = open_store(report.stores[0].store)
    np.testing.assert_allclose(store["a"][8], expected["gap"][0], rtol=1e-4, atol=1e-5)


def test_a_forecast_of_windows_counts_them(dataset, config):
    own = replace(config, backbone=CLIP, windows=8, stride=4, fps=25.0)
    before = extract.forecast(own, dataset)
    assert before.to_extract == 2
    assert before.bytes_to_write == 2 * 9 * 512 * 4
    assert before.frames == 80
    assert extract.run(own, dataset).frames == before.frames
    assert extract.forecast(own, dataset).to_extract == 0


def test_a_frame_that_cannot_be_read_costs_only_who_wanted_it(dataset, config, monkeypatch):
    """The clip network wants frame 39, and the image network does not."""
    real = open_video

    def broken(media, decoder="pyav"):
        source = real(media, decoder)
        scan = source.tensors

        def stops(indices):
            from egofeat.errors import MediaError

            yield from scan([i for i in indices if i < 39])
            if any(i >= 39 for i in indices):
                raise MediaError("frame 39 is damaged")

        source.tensors = stops
        return source

    monkeypatch.setattr("egofeat.extract.decoding.reading.open_video", broken)
    image, clip = both(config)
    jobs = plan_jobs([image, clip], dataset)
    report = extract.run_jobs(jobs, config)
    assert [(s.extracted, s.failed) for s in report.stores] == [(6, 0), (4, 2)]
    failures = progress_of(jobs[1].store).failures
    assert {failure.id for failure in failures} == {"a2", "b2"}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (IMAGE, {"clips": 2}, "`clips` does not suit mobilenetv2, which takes single images"),
        (CLIP, {"frames": 20}, "`frames` does not suit r3d_18, which takes clips"),
        (CLIP, {"stride": 4}, "`stride` needs windows"),
        (CLIP, {"windows": 8, "clips": 2}, "`windows` and `clips` exclude each other"),
        (CLIP, {"windows": 8, "crops": 3}, "`windows` takes one crop"),
        (IMAGE, {"fps": 30.0}, "`fps` does not suit the frames"),
        (IMAGE, {"crops": 3, "transform": "squash"}, "`crops` 3 cuts frames that squash keeps"),
        (CLIP, {"windows": 8, "clip_frames": 16}, "`clip_frames` 16 is more than `windows` 8"),
        (IMAGE, {"crops": 2}, "`crops` is 2: choose 1 or 3"),
        ("s3d", {"clip_frames": 4}, "s3d takes clips of 14 frames or more, not 4"),
        ("s3d", {"windows": 8}, "s3d takes clips of 14 frames or more, not 8"),
        ("slowfast_8x8_r50", {"clip_frames": 30}, "a multiple of 4, not 30"),
        ("i3d_flow", {"motion": "none"}, "takes optical flow"),
        (CLIP, {"transform": "crop"}, "no transform 'crop': choose squash or weights"),
        (CLIP, {"clips": 0}, "`clips` is 0: give 1 or more"),
        (CLIP, {"fps": 0.0}, "`fps` is 0: give more than 0, up to 1000"),
        ("r3d", {}, "no backbone 'r3d': did you mean .*r3d_18"),
    ],
)
def test_options_that_do_not_go_together_are_refused(config, dataset, name, change, words):
    with pytest.raises(RequestError, match=words):
        plan_job(replace(config, backbone=name, **change), dataset)


def test_each_backbone_takes_the_options_of_its_kind(config):
    image, clip = for_each(
        replace(config, frames=7, clips=3), [IMAGE, CLIP], ["random:1", "random:2"], [("gap",)]
    )
    assert (image.frames, image.clips, image.weights, image.taps) == (7, None, "random:1", ("gap",))
    assert (clip.frames, clip.clips, clip.weights, clip.taps) == (None, 3, "random:2", ("gap",))
    with pytest.raises(RequestError, match="`weights` is given 2 times for 3 backbones"):
        for_each(config, [IMAGE, CLIP, "s3d"], ["random", "random"])
    with pytest.raises(RequestError, match="`backbone` names one twice"):
        for_each(config, [IMAGE, IMAGE])


def test_plans_by_default(config):
    assert choose_plan(spec_of(IMAGE), config) == Uniform(20)
    assert choose_plan(spec_of("slowfast_8x8_r50"), config) == Clips(1, 32, 2, 30.0)
    dense = replace(config, windows=32, stride=16)
    assert choose_plan(spec_of("slowfast_8x8_r50"), dense) == Windows(32, 16, 30.0, 32)
    assert choose_plan(spec_of("slow_8x8_r50"), dense) == Windows(32, 16, 30.0, 8)
    assert choose_plan(spec_of(IMAGE), dense) == Windows(32, 16, 30.0, 1)
