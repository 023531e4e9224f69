"""Flow by each method: known shifts, the law of its encoding, what a plan adds for it."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones import spec_of
from egofeat.extract.flow import beside_decoder, choose_motion, on_device, raft
from egofeat.extract.flow import motion as motion_module
from egofeat.extract.flow.encoding import decode, encode
from egofeat.extract.flow.motion import start_of
from egofeat.extract.flow.raft import RECORDS
from egofeat.extract.weights import at_hand
from egofeat.recipe import Clips, Uniform, Windows
from egofeat.recipe.motion import (
    BOUND,
    METHODS,
    TVL1,
    Difference,
    Farneback,
    Motion,
    Raft,
    Shipped,
    Weighted,
)
from egofeat.recipe.transform import Transform

SHIFTS = [(2.0, -1.0), (-3.5, 2.25), (0.4, 0.7)]


def textured(u: float, v: float, side: int = 160) -> torch.Tensor:
    """A smooth random texture whose pixels stand (u, v) further than those of (0, 0)."""
    random = np.random.default_rng(7)
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    picture = np.zeros((side, side))
    for _ in range(60):
        across, down = random.uniform(-0.5, 0.5, 2)
        phase = random.uniform(0, 2 * np.pi)
        picture += np.cos(across * (columns - u) + down * (rows - v) + phase)
    grey = (128 + 11 * picture).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.repeat(grey[..., None], 3, axis=2))


def inner(flow: torch.Tensor) -> np.ndarray:
    return flow[16:-16, 16:-16].numpy()


@pytest.mark.parametrize("method", [Farneback(), TVL1()])
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_known_shift_is_found(method, shift):
    flow = inner(start_of(method)(textured(0, 0), textured(*shift)))
    assert flow.dtype == np.float32
    assert np.abs(flow - shift).mean() < 0.3
    assert np.abs(np.median(flow, axis=(0, 1)) - shift).max() < 0.1


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("shift", SHIFTS[:2])
def test_raft_finds_it_too(size, shift):
    if at_hand(RECORDS[size]) is None:
        pytest.skip(f"no {RECORDS[size].file}: put it into the folder EGOFEAT_WEIGHTS names")
    frames = torch.stack([textured(0, 0), textured(*shift)])[None, :, None]
    estimate = raft.start(raft.load_published(size, print), torch.device("cpu"))
    flow = inner(estimate(frames)[0, 0, 0])
    assert np.abs(flow - shift).mean() < 0.3


def test_raft_runs_at_any_size_and_gives_repeated_frames_no_flow():
    frames = torch.stack([textured(n, 0, 44) for n in (0, 2, 2)])[None, :, None]
    motion = Motion(Raft("small", updates=2), "float32")
    move = on_device(motion, torch.device("cpu"))
    assert beside_decoder(motion)((0, 1, 2), frames[0]) is not None
    moved = decode(move(frames))
    assert moved.shape == (1, 2, 1, 44, 44, 2)
    assert moved[0, 1].abs().max() < 1e-5
    assert moved[0, 0].abs().max() > 0
    both = Motion(Raft("small", updates=2), "uint8", both_sides=True)
    sided = on_device(both, torch.device("cpu"))(frames)
    assert sided.shape == (1, 1, 1, 44, 44, 4)
    assert sided.dtype == torch.uint8
    np.testing.assert_allclose(decode(sided)[0, 0, ..., 2:], moved[0, 1], atol=0.09)


def test_raft_with_other_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("egofeat.extract.flow.raft.find", lambda _: file)
    file = tmp_path / "raft.pth"
    file.write_bytes(b"other")
    with pytest.raises(WeightsError, match="another file: put the right one there"):
        raft.start(Raft("large", "sha256:00"), torch.device("cpu"))


def test_raft_has_official_weights(tmp_path, monkeypatch):
    """The whole way from a file: random weights stand in for the published ones."""
    file = tmp_path / "raft.pth"
    torch.save(raft._network(Raft("small", "random:3")).state_dict(), file)
    monkeypatch.setattr("egofeat.extract.flow.raft.find", lambda *_: file)
    named = choose_motion(spec_of("i3d_flow"), "raft_small").method
    assert named.weights.startswith("sha256:")
    frames = torch.stack([textured(n, 0, 32) for n in (0, 1)])[None, :, None]
    one, other = (
        raft.start(method, torch.device("cpu"))(frames)
        for method in (named, Raft("small", "random:3"))
    )
    assert torch.equal(one, other)


@given(st.floats(-40, 40, width=32))
def test_what_is_encoded_comes_back(pixels):
    flow = torch.tensor([pixels])
    np.testing.assert_allclose(decode(encode(flow, BOUND, "float32")), flow, atol=1e-4)
    rounded = encode(flow, BOUND, "uint8")
    assert rounded.dtype == torch.uint8
    np.testing.assert_allclose(decode(rounded), flow.clip(-BOUND, BOUND), atol=20 / 255 + 1e-4)
    assert torch.equal(encode(decode(rounded), BOUND, "uint8"), rounded)


def test_the_law_of_published_flow_frames():
    flow = torch.tensor([-25.0, -20, 0, 10, 20, 25])
    assert encode(flow, 20, "uint8").tolist() == [0, 0, 128, 191, 255, 255]


@pytest.mark.parametrize(
    "method", [Farneback(), TVL1(), Raft(), Shipped(), Difference(), Weighted()]
)
def test_a_recipe_gives_the_motion_back(method):
    motion = Motion(method, "float32", both_sides=True)
    transform = Transform("squash", 64, 64, motion=motion, pool_grid=4)
    fields = transform.to_dict()
    assert fields["motion"]["method"] in METHODS
    assert Transform.from_dict(fields) == transform
    assert {"motion", "pool_grid"}.isdisjoint(Transform("squash", 64, 64).to_dict())


def test_a_pair_of_two_windows_is_computed_once(monkeypatch):
    calls = []
    still = torch.zeros(8, 8, 2)
    monkeypatch.setattr(
        "egofeat.extract.flow.motion.flow_by", lambda _: lambda *pair: calls.append(pair) or still
    )
    move = beside_decoder(Motion(Farneback()))
    frames = torch.zeros(4, 1, 8, 8, 3, dtype=torch.uint8)
    for view in [(0, 1, 2, 3), (2, 3, 4, 4)]:
        assert move(view, frames).shape == (3, 1, 8, 8, 2)
    assert len(calls) == 4  # 0-1, 1-2, 2-3; 3-4, and the frame that is repeated stands still


@given(
    st.sampled_from(
        [Uniform(5), Clips(2, 4, 2, 15.0), Windows(8, 4, 30.0, 4), Windows(4, 2, 30, 1)]
    ),
    st.sampled_from([12.0, 24.0, 25.0, 30.0, 59.94]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.floats(0, 2),
    st.floats(0.05, 3),
)
@settings(max_examples=60)
def test_frames_beside_a_view_leave_it_as_it_is(plan, fps, before, after, start, length):
    times = np.arange(150) / fps
    alone = plan.plan(start, start + length, times, 150 / fps)
    wider = plan.plan(start, start + length, times, 150 / fps, (before, after))
    kept = wider.indices[:, before : wider.indices.shape[1] - after]
    np.testing.assert_array_equal(kept, alone.indices)
    np.testing.assert_array_equal(wider.times, alone.times)
    assert (np.diff(wider.indices, axis=1) >= 0).all()
    assert times[wider.indices.max()] < start + length
    first = np.searchsorted(times, start + 1e-6, side="right") - 1
    assert wider.indices.min() >= first


def test_neighbours_of_a_single_frame_are_two_usual_frames_apart():
    for fps, away in [(24.0, 1), (30.0, 1), (29.97, 1), (50.0, 2), (60.0, 2), (120.0, 4)]:
        times = np.round(np.arange(600) / fps, 3)
        views = Uniform(3).plan(0.0, 4.0, times, 600 / fps, (1, 1)).indices
        assert np.diff(views, axis=1).tolist() == [[away, away]] * 3


@pytest.mark.parametrize(
    ("backbone", "name", "values", "words"),
    [
        ("i3d_flow", "none", None, "i3d_flow takes optical flow, and `motion` none"),
        ("i3d_flow", "rgbdiff", None, "i3d_flow takes optical flow, and `motion` rgbdiff"),
        (
            "i3d",
            "tvl1",
            None,
            "i3d takes colours, and `motion` tvl1 gives it none: choose from none",
        ),
        ("i3d", "flow", None, "there is no `motion` 'flow': choose from none, farneback, tvl1"),
        ("i3d", None, "uint8", "`motion_values` is of motion"),
        ("i3d_flow", "tvl1", "int8", "no `motion_values` 'int8': choose from uint8, float32"),
        ("i3d_flow", "frames", "float32", "`motion` frames has 8 bits"),
    ],
)
def test_motion_that_cannot_be_is_refused(backbone, name, values, words):
    with pytest.raises(RequestError, match=words):
        choose_motion(spec_of(backbone), name, values)


def test_motion_by_default():
    assert choose_motion(spec_of("mobilenetv2"), None) is None
    assert choose_motion(spec_of("i3d_flow"), None) == Motion(TVL1())
    assert choose_motion(spec_of("flow_grid"), None) == Motion(Farneback(), "float32", True)
    assert choose_motion(spec_of("flow_grid"), "frames") == Motion(Shipped(), "uint8", True)


def test_without_opencv_the_mend_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    motion_module.opencv.cache_clear()
    with pytest.raises(RequestError, match=r"run `pip install 'egofeat\[flow\]'`"):
        choose_motion(spec_of("i3d_flow"), None)
    motion_module.opencv.cache_clear()
