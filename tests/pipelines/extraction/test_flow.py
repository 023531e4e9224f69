"""Flow through the whole of stage one: backbones of flow, grids, differences, shipped frames."""

import io
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch.nn import functional as F

from egofeat.errors import MediaError, RequestError
from egofeat.extract.backbones import load
from egofeat.extract.flow.encoding import decode, encode
from egofeat.extract.flow.motion import flow_by, start_of
from egofeat.extract.pooling import pool_maps
from egofeat.extract.transforms import prepare
from egofeat.extract.video import FlowSource, open_video
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.job import plan_job, plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.pipelines.extraction.refresh import stale_stores
from egofeat.recipe import Uniform
from egofeat.recipe.motion import TVL1, Farneback
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

STEP = 2
"""Pixels that the made texture moves to the right from frame to frame."""


TEXTURE = np.random.default_rng(3).integers(0, 256, (16, 16)).astype(np.uint8)


def moving(number: int) -> np.ndarray:
    """A texture [64, 64, 3] that moves to the right; its lower half stands still."""
    texture = np.tile(TEXTURE, (1, 2)).repeat(4, axis=0).repeat(4, axis=1)
    blurred = Image.fromarray(texture).filter(ImageFilter.GaussianBlur(1.5))
    picture = np.roll(np.array(blurred), STEP * number, axis=1)
    picture[32:] = np.array(blurred)[32:]
    return np.repeat(picture[:, :64, None], 3, axis=2)


@pytest.fixture(scope="module")
def dataset(encoder, tmp_path_factory):
    """Two videos of 25 frames, one second each, two segments in each."""
    folder = tmp_path_factory.mktemp("moving")
    options = {"crf": "8", "x264-params": "log-level=none"}
    paths = [
        encoder(folder / f"{name}.mp4", frames=25, picture=moving, options=options) for name in "ab"
    ]
    segments = [
        Segment(f"{path.stem}{k}", path.stem, *span, split="train", labels={"action": k})
        for path in paths
        for k, span in enumerate([(0.0, 0.6), (0.2, 1.0)])
    ]
    return Dataset(
        name="moving",
        media={path.stem: Media(path) for path in paths},
        segments=tuple(segments),
        classes={"action": ("one", "two")},
    )


@pytest.fixture
def config(tmp_path):
    """The grids of four frames a segment."""
    return ExtractConfig(
        backbone="flow_grid",
        out=tmp_path / "features",
        weights="random",
        frames=4,
        size=64,
        dtype="float32",
        device="cpu",
        workers=1,
    )


@pytest.fixture
def of_clips(tmp_path):
    """The shortest clip of a flow network."""
    return ExtractConfig(
        backbone="i3d_flow",
        out=tmp_path / "features",
        weights="random",
        clip_frames=9,
        size=32,
        dtype="float32",
        device="cpu",
        workers=1,
    )


def shards_of(store: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (Path(store) / "shards").iterdir()}


def test_a_flow_network_sees_what_tvl1_gives(dataset, of_clips):
    report = extract.run(of_clips, dataset)
    job = plan_job(of_clips, dataset)
    assert (report.extracted, report.failed) == (4, 0)
    assert job.recipe.plan.frames == 9
    assert job.recipe.transform.motion.method == TVL1()
    assert job.recipe.transform.channels == "UV"
    segment = dataset.segments[1]
    with open_video(dataset.media["a"]) as source:
        plan = job.recipe.plan.plan(segment.start, segment.stop, source.times, source.stop, (0, 1))
        frames = torch.from_numpy(source.frames(plan.indices[0].tolist()))
    assert len(frames) == 10
    prepared = [prepare(job.recipe.transform, frame)[0] for frame in frames]
    between = flow_by(TVL1())
    flows = torch.stack([between(one, other) for one, other in pairwise(prepared)])
    clip = encode(flows, 20, "uint8").permute(3, 0, 1, 2)[None] / 127.5 - 1
    expected = load("i3d_flow", "random")(clip)["gap"].numpy()
    np.testing.assert_allclose(open_store(report.store)["a1"], expected, rtol=1e-3, atol=1e-4)


def test_flow_is_bit_identical_however_it_is_run(dataset, config, tmp_path):
    report = extract.run(config, dataset)
    ways = [[{"workers": 2}], [{"part": (1, 2)}, {"part": (2, 2)}]]
    for number, runs in enumerate(ways):
        for change in runs:
            out = tmp_path / str(number)
            again = extract.run(replace(config, out=out, batch_size=3, **change), dataset)
        assert Path(again.store).name == Path(report.store).name
        assert shards_of(again.store) == shards_of(report.store)
    assert extract.run(config, dataset).extracted == 0
    assert verify(Path(report.store)) == []


def test_each_motion_has_a_store_of_its_own(dataset, config):
    changes = [{}, {"motion": "tvl1"}, {"motion_values": "uint8"}, {"motion": "frames"}]
    names = [plan_job(replace(config, **c), dataset).recipe.store_name for c in changes]
    assert len(set(names)) == len(names)


def test_colours_and_flow_share_a_decode(dataset, config):
    configs = for_each(replace(config, motion="tvl1"), ["mobilenetv2", "flow_grid"])
    assert [one.motion for one in configs] == [None, "tvl1"]
    assert (
        for_each(replace(config, motion="rgbdiff"), ["mobilenetv2", "flow_grid"])[1].motion is None
    )
    joint = extract.run_jobs(plan_jobs(configs, dataset), config)
    colours, flow = joint.stores
    assert joint.decoded == flow.frames > colours.frames
    assert (colours.extracted, flow.extracted) == (4, 4)
    alone = replace(configs[0], out=config.out / "alone")
    assert shards_of(extract.run(alone, dataset).store) == shards_of(colours.store)


def test_the_grid_is_the_magnitude_on_both_sides(dataset, config):
    config = replace(config, size=128)
    report = extract.run(config, dataset)
    grid = open_store(report.store)["a1"]
    assert grid.shape == (4, 1, 32, 32)
    # 64 pixels are made 128.
    np.testing.assert_allclose(np.median(grid[:, 0, 4:11, 8:24]), 2 * STEP, rtol=0.1)
    assert np.median(grid[:, 0, 22:28, 8:24]) < 0.3
    job = plan_job(config, dataset)
    assert (job.recipe.weights, job.recipe.row_bytes) == ("none", 4 * 32 * 32 * 4)
    assert extract.forecast(replace(config, out=config.out / "new"), dataset).frames == 4 * 4 * 3


def test_differences_feed_a_network_of_colours(dataset, config):
    config = replace(config, backbone="mobilenetv2", frames=2)
    report = extract.run(replace(config, motion="rgbdiff", motion_values="float32"), dataset)
    segment = dataset.segments[0]
    with open_video(dataset.media["a"]) as source:
        plan = Uniform(2).plan(segment.start, segment.stop, source.times, source.stop)
        frames = [torch.from_numpy(source.frames([i, i + 1])).float() for i in plan.indices[:, 0]]
    std = torch.tensor([0.229, 0.224, 0.225])
    batch = torch.stack([(later - now) / 255 / std for now, later in frames])
    expected = load("mobilenetv2", "random")(batch.permute(0, 3, 1, 2))
    found = open_store(report.store)["a0"]
    np.testing.assert_allclose(found, expected["gap"].numpy(), rtol=1e-3, atol=1e-4)


def test_a_network_of_colours_sees_frames_weighed_by_motion(dataset, config):
    config = replace(config, backbone="mobilenetv2", frames=2, motion="weighted", size=64)
    report = extract.run(replace(config, motion_values="float32"), dataset)
    segment = dataset.segments[0]
    flow = start_of(Farneback())
    weighed = []
    with open_video(dataset.media["a"]) as source:
        plan = Uniform(2).plan(segment.start, segment.stop, source.times, source.stop)
        for index in plan.indices[:, 0]:
            before, now, after = torch.from_numpy(source.frames([index - 1, index, index + 1]))
            weights = np.zeros((64, 64))
            for pair in ((before, now), (now, after)):
                magnitude = np.linalg.norm(flow(*pair).numpy(), axis=2) / np.hypot(20, 20)
                for row, column in np.ndindex(32, 32):
                    place = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
                    most = magnitude[place].max()
                    weights[place] += (np.exp(-0.006 / (most**2 + 1e-5)) + most**0.3) / 2
            assert weights.max() > 0.6
            weighed.append(now.numpy() * weights.clip(0.5, 1)[..., None])
    colours = (np.stack(weighed) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    batch = torch.from_numpy(colours.astype(np.float32)).permute(0, 3, 1, 2)
    found = open_store(report.store)["a0"]
    expected = load("mobilenetv2", "random")(batch)["gap"]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    rounded = open_store(extract.run(config, dataset).store)["a0"]
    assert 0 < np.linalg.norm(rounded - found) < 0.1 * np.linalg.norm(found)


def test_maps_are_pooled_before_they_are_stored(dataset, config):
    config = replace(
        config,
        backbone="mobilenetv2",
        frames=2,
        size=128,
        taps=("block12", "gap"),
    )
    whole = extract.run(config, dataset)
    pooled = extract.run(replace(config, pool_grid=4), dataset)
    assert whole.store != pooled.store
    maps = open_store(whole.store, "block12")["a0"]
    expected = F.adaptive_avg_pool2d(torch.tensor(maps), 4).numpy()
    np.testing.assert_allclose(open_store(pooled.store, "block12")["a0"], expected, atol=1e-6)
    np.testing.assert_array_equal(
        open_store(pooled.store, "gap")["a0"], open_store(whole.store, "gap")["a0"]
    )
    fresh = replace(config, pool_grid=4, out=config.out / "fresh", taps=("block12",))
    assert extract.forecast(fresh, dataset).bytes_to_write == 4 * 2 * 96 * 4 * 4 * 4
    clips = replace(config, backbone="r3d_18", frames=None, clip_frames=4, size=64, taps=("map",))
    shape = plan_job(replace(clips, pool_grid=2), dataset).recipe.taps["map"]
    assert shape == (1, 1, 512, 2, 2)
    with pytest.raises(RequestError, match="`pool_grid` needs maps, and gap has none"):
        plan_job(replace(config, pool_grid=4, taps=("gap",)), dataset)
    with pytest.raises(RequestError, match=r"`pool_grid` 9 is finer than the maps .* 8 at most"):
        plan_job(replace(config, pool_grid=9), dataset)


def test_clip_maps_are_pooled_step_by_step():
    maps = torch.arange(2 * 3 * 5 * 8 * 8, dtype=torch.float32).view(2, 3, 5, 8, 8)
    pooled = pool_maps(maps, 2, over_time=False)
    np.testing.assert_allclose(pooled[1, 2], F.adaptive_avg_pool2d(maps[1, 2], 2))
    assert torch.equal(pool_maps(maps[:, 0, :, 0, 0], 2, over_time=False), maps[:, 0, :, 0, 0])


def picture_of(value: int, suffix: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("L", (64, 48), value).save(file, suffix)
    return file.getvalue()


@pytest.fixture(params=["folders", "names", "tar"])
def shipped(request, tmp_path):
    """Flow frames 1 to 20: u is 10 pixels, v grows by a level each frame."""
    path = tmp_path / ("P01_01.tar" if request.param == "tar" else "P01_01")
    pattern = "{}/frame_{:010d}.png" if request.param != "names" else "P01_flow_{}_{:010d}.png"
    images = {pattern.format(a, n): (191, 120 + n)[a == "v"] for a in "uv" for n in range(1, 21)}
    if request.param == "tar":
        with tarfile.open(path, "w") as archive:
            for name, value in images.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(picture_of(value))
                archive.addfile(member, io.BytesIO(picture_of(value)))
        return path
    for name, value in images.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(picture_of(value))
    return path


def test_shipped_flow_is_read_where_it_lies(shipped):
    with open_video(Media(shipped, fps=30.0)) as source:
        assert isinstance(source, FlowSource)
        assert len(source.times) == 20
        frames = torch.from_numpy(source.frames([0, 19]))
    assert frames.shape == (2, 48, 64, 3)
    np.testing.assert_allclose(decode(frames[:, 0, 0, :2])[:, 0], 10, atol=0.08)
    assert frames[:, 0, 0, 1].tolist() == [121, 140]


def test_shipped_flow_feeds_networks_of_flow(shipped, config, dataset):
    media = {"p": Media(shipped, fps=30.0)}
    flow = Dataset("flow", media, (Segment("s", "p", split="train"),), classes={})
    report = extract.run(replace(config, motion="frames"), flow)
    assert (report.extracted, report.frames) == (1, 8)  # each with the one before
    found = open_store(report.store)["s"]
    np.testing.assert_allclose(found, 10, atol=0.3)
    colours = replace(config, backbone="mobilenetv2", frames=2)
    refused = extract.run(colours, flow)
    assert refused.failed == 1
    (failure,) = progress_of(Path(refused.store)).failures
    assert failure.reason == "p: it holds flow and no colours: give `motion` frames"
    wrong = extract.run(replace(config, motion="frames"), dataset)
    assert wrong.failed == 4
    assert "holds colours and no flow" in progress_of(Path(wrong.store)).failures[0].reason


def test_flow_that_is_not_whole_is_refused(tmp_path):
    for axis, numbers in (("u", (1, 2)), ("v", (1, 3))):
        (tmp_path / axis).mkdir()
        for number in numbers:
            (tmp_path / axis / f"{number:010d}.png").write_bytes(picture_of(128))
    with pytest.raises(MediaError, match="2 frames of u and 2 of v, with different numbers"):
        open_video(Media(tmp_path, fps=30.0))
    (tmp_path / "v" / "0000000003.png").rename(tmp_path / "v" / "0000000002.png")
    Image.new("L", (8, 8)).save(tmp_path / "v" / "0000000002.png")
    with (
        open_video(Media(tmp_path, fps=30.0)) as source,
        pytest.raises(MediaError, match="u and v of frame 1 differ in size"),
    ):
        source.frames([0, 1])


@pytest.mark.real_data
def test_epic_kitchens_flow_frames(real_data):
    """A head that turns: most of the picture moves alike, and smoothly in time."""
    folder = real_data / "data/frames/epic_P01_01_flow"
    with open_video(Media(folder, fps=30.0)) as source:
        assert isinstance(source, FlowSource)
        assert len(source.times) == 100
        flows = decode(torch.from_numpy(source.frames(range(0, 100, 5)))[..., :2]).numpy()
    assert flows.shape == (20, 256, 456, 2)
    assert np.abs(flows).max() <= 20
    assert 0.1 < np.median(np.hypot(flows[..., 0], flows[..., 1])) < 15
    assert np.median(np.abs(np.diff(flows, axis=2))) < 0.2


def test_a_store_of_flow_is_not_stale(dataset, config, tmp_path):
    manifest = tmp_path / "data_manifest.yaml"
    folder = dataset.media["a"].path.parent
    manifest.write_text(
        f"version: 1\ndatasets:\n  moving:\n    format: csv\n    media: {folder}\n"
        f"    annotations: {tmp_path}/rows.csv\n"
    )
    (tmp_path / "rows.csv").write_text("video,start,stop,action\na.mp4,0.0,0.6,one\n")
    chosen = replace(
        config, manifest=manifest, motion="farneback", motion_values="uint8", pool_grid=4
    )
    extract.run(chosen)
    again = ReextractConfig(manifest=manifest, out=config.out, device="cpu")
    assert stale_stores("moving", again) == []


def test_a_clip_of_shipped_flow(tmp_path, of_clips):
    """Nine frames are nine flows: nothing is computed, so no frame beside them is needed."""
    for axis, value in (("u", 255), ("v", 0)):
        (tmp_path / axis).mkdir()
        for number in range(1, 13):
            (tmp_path / axis / f"frame_{number:010d}.png").write_bytes(picture_of(value))
    media = {"p": Media(tmp_path, fps=25.0)}
    flow = Dataset("flow", media, (Segment("s", "p", split="train"),), classes={})
    report = extract.run(replace(of_clips, motion="frames"), flow)
    assert (report.extracted, report.frames, report.views) == (1, 9, 1)
    clip = torch.stack([torch.ones(9, 32, 32), -torch.ones(9, 32, 32)])[None]
    expected = load("i3d_flow", "random")(clip)["gap"].numpy()
    np.testing.assert_allclose(open_store(report.store)["s"], expected, rtol=1e-3, atol=1e-4)
