"""Gaze in a store: beside the segments, and at the place and step where the network saw it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from egofeat.errors import ManifestError, RequestError, StoreError
from egofeat.extract.transforms import prepare
from egofeat.gaze import Gaze, Kind
from egofeat.recipe import Clips, Uniform
from egofeat.recipe.transform import Transform
from egofeat.store import join, open_store, verify
from egofeat.store.removal import check_removable

FPS = 24.0
SQUASH = Transform("squash", 64, 64)
TRANSFORMS = [
    SQUASH,
    Transform("short-side", 40, 32),
    Transform("stretch", (36, 47), 32),
    Transform("short-side", 32, 32, crops=3),
    Transform("short-side", 41, 32, crops=3),
    Transform("stretch", (50, 32), 32, crops=3),
]


def gaze_of(times, points, size=(320, 240), kinds=None):
    times = np.asarray(times, np.float64)
    kinds = np.full(len(times), Kind.FIXATION) if kinds is None else kinds
    return Gaze(times, np.array(points, np.float32), np.asarray(kinds, np.uint8), size)


class GazeStores:
    """Stores of one tap of zeros, whose rows are planned as extraction plans them."""

    def __init__(self, make, folder):
        self.make = make
        self.folders = (folder / str(number) for number in itertools.count())

    def write(self, gaze, plan, transform=SQUASH, frames=72, steps=None, out=None):
        """A row for each video of `frames` frames, one segment of it all; maps with `steps`."""
        times = np.arange(frames) / FPS
        views = plan.views * transform.crops
        shape = (views, steps, 3, 2, 2) if steps else (views, 3)
        rows = self.make.rows(list(gaze), taps={"tap": shape})
        count = len(gaze)
        seconds = plan.plan(0.0, math.inf, times, frames / FPS).times
        rows = dataclasses.replace(
            rows,
            videos=list(gaze),
            starts=np.zeros(count),
            stops=np.full(count, math.inf),
            times=np.tile(np.repeat(seconds, transform.crops), (count, 1)),
        )
        recipe = self.make.recipe({"tap": shape}, plan=plan, transform=transform)
        dataset = dataclasses.replace(self.make.dataset(rows), gaze=gaze)
        writer = self.make.writer(out or next(self.folders), dataset, recipe)
        writer.write_shard("a", rows)
        writer.close()
        return open_store(writer.path)


@pytest.fixture(scope="session")
def stores(make, tmp_path_factory):
    return GazeStores(make, tmp_path_factory.mktemp("gaze"))


@st.composite
def bright_pixels(draw):
    width, height = draw(st.integers(34, 120)), draw(st.integers(34, 120))
    cells = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    return (width, height), draw(st.lists(cells, min_size=1, max_size=8))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@settings(max_examples=25, deadline=None)
@given(drawn=bright_pixels())
def test_gaze_lies_where_its_pixel_is_in_the_networks_input(stores, transform, drawn):
    size, cells = drawn
    gaze = {
        f"v{number}": gaze_of([0.0], [[(x + 0.5) / size[0], (y + 0.5) / size[1]]], size)
        for number, (x, y) in enumerate(cells)
    }
    store = stores.write(gaze, Uniform(2), transform, frames=1)
    found = store.gaze_points(store.rows())
    assert found.shape == (len(cells), 2 * transform.crops, 3)
    assert found.dtype == np.float32
    for row, (x, y) in zip(found, cells, strict=True):
        frame = np.zeros((size[1], size[0], 3), np.uint8)
        frame[y, x] = 255
        inputs = prepare(transform, torch.from_numpy(frame))[..., 0].numpy().astype(float)
        for step, (u, v, weight) in enumerate(row):
            picture = inputs[step % transform.crops]
            if not picture.any():  # a pixel's light reaches further than its middle
                assert (u, v, weight) == (0, 0, 0)
                continue
            centre = np.argwhere(picture > 0) + 0.5
            light = picture[picture > 0]
            top, left = (centre * light[:, None]).sum(axis=0) / light.sum()
            lit = np.argwhere(picture > 0)
            at_edge = lit.min() == 0 or lit.max() == transform.crop - 1
            if weight:
                assert np.hypot(u * transform.crop - left, v * transform.crop - top) < (
                    3 if at_edge else 0.5
                )
            else:
                assert at_edge


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 30), frames=st.integers(1, 90))
def test_a_frame_has_the_gaze_of_its_own_time(stores, count, frames):
    gaze = {
        "v": gaze_of(np.arange(frames) / FPS, [[(i + 0.5) / frames, 0.5] for i in range(frames)])
    }
    plan = Uniform(count)
    store = stores.write(gaze, plan, frames=frames)
    (row,) = store.gaze_points(store.rows())
    wanted = plan.plan(0.0, math.inf, np.arange(frames) / FPS, frames / FPS).indices[:, 0]
    assert (row[:, 2] == 1).all()
    np.testing.assert_array_equal(np.floor(row[:, 0] * frames), wanted)


@settings(max_examples=40, deadline=None)
@given(
    clips=st.integers(1, 4),
    steps=st.sampled_from([None, 1, 2, 4, 8]),
    frames=st.integers(5, 90),
    crops=st.sampled_from([1, 3]),
)
@example(clips=1, steps=8, frames=20, crops=1)  # a step that ends before it begins, by rounding
def test_a_step_of_a_clip_has_the_gaze_of_its_frames(stores, clips, steps, frames, crops):
    gaze = {
        "v": gaze_of(np.arange(frames) / FPS, [[0.5, (i + 0.5) / frames] for i in range(frames)])
    }
    plan = Clips(clips=clips, frames=16, stride=2, fps=FPS)
    transform = Transform("stretch", (32, 32), 32, crops=crops)
    store = stores.write(gaze, plan, transform, frames, steps)
    (row,) = store.gaze_points(store.rows())
    indices = plan.plan(0.0, math.inf, np.arange(frames) / FPS, frames / FPS).indices
    seen = np.repeat(indices.reshape(clips, steps or 1, -1), crops, axis=0).reshape(len(row), -1)
    looked_at = np.floor(row[:, 1] * frames)
    assert (row[:, 2] == 1).all()
    # A step's last frame is on show until the next step's first.
    assert (looked_at >= seen[:, 0] - 1).all()
    assert (looked_at <= seen[:, -1] + 2).all()


def test_a_step_has_the_fixation_nearest_to_its_middle_and_no_other(stores):
    kinds = [Kind.UNTRACKED, Kind.FIXATION, Kind.SACCADE, Kind.UNKNOWN, Kind.TRUNCATED]
    gaze = {
        # Parts of one second; frames at 0.5 s, 1.5 s and 2.5 s.
        "a": gaze_of([0.1, 0.4, 0.7, 1.01, 2.04], [[n / 10, 0.5] for n in range(1, 6)]),
        "b": gaze_of([0.5] * 5, [[n / 10, 0.5] for n in range(5)], kinds=kinds),
        "c": gaze_of([], np.empty((0, 2))),
    }
    store = stores.write(gaze, Uniform(3))
    points = store.gaze_points(store.rows())
    assert store.has_gaze
    np.testing.assert_allclose(points[0], [[0.2, 0.5, 1], [0.4, 0.5, 1], [0.5, 0.5, 1]])
    np.testing.assert_allclose(points[1], [[0.1, 0.5, 1], [0, 0, 0], [0, 0, 0]])
    assert not points[2].any()
    np.testing.assert_array_equal(store.gaze_points(np.array([1, 0, 1])), points[[1, 0, 1]])
    np.testing.assert_array_equal(store.gaze_points(np.array([False, True, False])), points[[1]])
    with pytest.raises(IndexError):
        store.gaze_points(np.array([3]))


def test_a_video_without_gaze_weighs_nothing(stores):
    plan = Uniform(2)
    store = stores.write(
        {"a": gaze_of([0.7], [[0.5, 0.5]]), "b": gaze_of([], np.empty((0, 2)))}, plan
    )
    assert store.gaze_points(store.rows())[:, :, 2].tolist() == [[1, 0], [0, 0]]


def test_gaze_follows_the_manifest_and_makes_the_same_bytes(stores, tmp_path):
    gaze = {"a": gaze_of([0.7, 2.2], [[0.5, 0.5], [0.1, 0.2]])}
    store = stores.write(gaze, Uniform(2), out=tmp_path)
    first = (store.path / "gaze.npz").read_bytes()
    moved = {"a": gaze_of([0.7], [[0.25, 0.75]])}
    moved_store = stores.write(moved, Uniform(2), out=tmp_path)
    assert moved_store.path == store.path
    assert moved_store.gaze_points(moved_store.rows())[0, 0].tolist() == [0.25, 0.75, 1]
    stores.write(gaze, Uniform(2), out=tmp_path)
    assert (store.path / "gaze.npz").read_bytes() == first
    check_removable(store.path)
    assert verify(store.path) == []


def test_a_store_without_gaze_says_so(stores, make, tmp_path):
    store = stores.write({"a": gaze_of([0.7], [[0.5, 0.5]])}, Uniform(2), out=tmp_path)
    make.writer(
        tmp_path,
        make.dataset(make.rows(["a"])),
        store.recipe,
    ).close()
    assert not (store.path / "gaze.npz").exists()
    store = open_store(store.path)
    assert not store.has_gaze
    with pytest.raises(RequestError, match="has no gaze: name its folder as `gaze:`"):
        store.gaze_points(store.rows())


def test_flat_stores_are_refused(make, tmp_path):
    path = make.store(tmp_path, {"a": make.flat_rows({"v": 3})}, make.flat_recipe())
    store = open_store(path)
    assert not store.has_gaze
    with pytest.raises(RequestError, match="extract one without `windows`"):
        store.gaze_points(store.rows())


def test_damage_is_told(stores):
    store = stores.write({"a": gaze_of([0.7], [[0.5, 0.5]])}, Uniform(2))
    path = store.path / "gaze.npz"
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"gaze"):
        path.write_bytes(damage)
        damaged = open_store(store.path)
        with pytest.raises(StoreError, match=r"gaze.npz is damaged"):
            damaged.gaze_points(damaged.rows())
        assert "gaze.npz is damaged" in verify(store.path)[0].message


def test_a_mistake_in_gaze_stops_before_anything_is_extracted(stores, make, tmp_path):
    class Broken(dict):
        def __getitem__(self, key):
            raise ManifestError("a.txt line 35 is bad")

        def values(self):
            return (self[key] for key in self)

    dataset = dataclasses.replace(make.dataset(make.rows(["a"])), gaze=Broken(a=None))
    with pytest.raises(ManifestError, match="line 35"):
        make.writer(tmp_path, dataset)


def test_stores_that_are_joined_each_have_their_own_framing(stores, tmp_path):
    gaze = {name: gaze_of([1.5], [[x, 0.5]]) for name, x in (("a", 0.125), ("b", 0.5))}
    wide = stores.write(gaze, Uniform(1), out=tmp_path)
    cropped = stores.write(gaze, Uniform(1), Transform("short-side", 32, 32), out=tmp_path)
    parts = join([wide, cropped]).parts
    assert all(part.has_gaze for part in parts)
    rows = np.array([1, 0])
    assert parts[0].gaze_points(rows)[:, 0].tolist() == [[0.5, 0.5, 1], [0.125, 0.5, 1]]
    # A short side of 32 makes 320 × 240 pixels 42 × 32: 5 are cut off on the left.
    found = parts[1].gaze_points(rows)[:, 0]
    np.testing.assert_allclose(found, [[0.5, 0.5, 1], [0.25 / 32, 0.5, 1]], atol=1e-6)
