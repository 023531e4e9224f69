"""`visualize flow`: the wheel, and a picture of computed and of shipped flow."""

import numpy as np
import pytest
from PIL import Image

from egofeat.errors import MediaError, RequestError
from egofeat.pipelines.visualize.flow import draw_wheel, flow, wheel_colours
from egofeat.pipelines.visualize.options import FlowConfig

pytestmark = pytest.mark.drawn


def test_colours_tell_the_direction():
    ways = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]], np.float32)
    right, down, left, up, still = wheel_colours(ways[np.newaxis, np.newaxis])[0, 0]
    np.testing.assert_allclose(right, [1, 0, 0], atol=0.01)
    np.testing.assert_allclose(still, 1, atol=0.01)
    assert min(down[0], down[1]) > 0.8 > down[2]
    assert left[0] < 0.2 < min(left[1:])
    assert up[2] > max(up[0], up[1])
    weaker = wheel_colours(0.1 * ways[np.newaxis, np.newaxis])[0, 0]
    np.testing.assert_allclose(weaker[0], [1, 0.9, 0.9], atol=0.01)


def test_the_wheel_is_round():
    wheel = draw_wheel(65)
    assert np.isnan(wheel[0, 0]).all()
    np.testing.assert_allclose(wheel[32, 32], 1, atol=0.01)
    np.testing.assert_allclose(wheel[32, 64], [1, 0, 0], atol=0.01)


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    texture = np.random.default_rng(0).integers(0, 255, (12, 24, 3), np.uint8)
    large = np.asarray(Image.fromarray(texture).resize((96, 48), Image.Resampling.BICUBIC))
    for number in range(1, 11):
        picture = np.roll(large, number, axis=1)
        Image.fromarray(picture).save(folder / f"frame_{number:04d}.png")
    return folder


def test_flow_is_drawn(frames, tmp_path):
    drawn = flow(
        FlowConfig(video=frames, out=tmp_path / "out", method="farneback", fps=10.0, device="cpu")
    )
    (path,) = drawn.pictures
    assert path.endswith("flow-farneback-frames.png")
    with Image.open(path) as picture:
        assert picture.width > 600
    asked = FlowConfig(video=frames, start=0.5, out=tmp_path / "out", method="farneback", fps=10.0)
    assert flow(asked).pictures[0].endswith("flow-farneback-frames-0.5s.png"), "beside the first"
    with pytest.raises(RequestError, match="is a folder of videos, such as "):
        flow(FlowConfig(video=frames.parent, out=tmp_path / "out"))
    with pytest.raises(MediaError, match="holds colours, and no flow"):
        flow(FlowConfig(video=frames, out=tmp_path, method="frames"))
    with pytest.raises(RequestError, match="`start` is -1"):
        flow(FlowConfig(video=frames, out=tmp_path, start=-1))
    with pytest.raises(RequestError, match="choose from farneback, tvl1"):
        flow(FlowConfig(video=frames, out=tmp_path, method="rgbdiff"))


@pytest.mark.real_data
def test_shipped_flow_is_drawn(real_data, tmp_path):
    folder = real_data / "data/frames/epic_P01_01_flow"
    (path,) = flow(FlowConfig(video=folder, out=tmp_path, method="frames")).pictures
    with Image.open(path) as picture:
        assert picture.height > 500
    with pytest.raises(MediaError, match="holds flow: give `method` frames"):
        flow(FlowConfig(video=folder, out=tmp_path, method="farneback"))
