"""Pictures of what a backbone holds and sees, through the pipeline and the command line."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import MediaError, RequestError
from egofeat.extract.backbones import BACKBONES, load
from egofeat.extract.backbones.backbone import Clip, Spec
from egofeat.extract.backbones.inside import check_layer, convolutions
from egofeat.pipelines.extraction.choices import choose_transform
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.figures.mosaics import draw_mosaic
from egofeat.pipelines.visualize.ascent import maximise
from egofeat.pipelines.visualize.kernels import bottleneck_layers, draw_kernels, kernels
from egofeat.pipelines.visualize.maps import maps, maps_of, plan_of, read_excerpt, strongest
from egofeat.pipelines.visualize.maximise import activation_maximisation
from egofeat.pipelines.visualize.options import KernelsConfig, MapsConfig, MaximisationConfig
from egofeat.pipelines.visualize.strips import Excerpt, Strip, draw_strips
from egofeat.segments import Media

pytestmark = pytest.mark.drawn
Config = TypeVar("Config", KernelsConfig, MapsConfig, MaximisationConfig)


class TwoPathways(nn.Module):
    """A bottleneck of every frame, and a convolution of every second one."""

    def __init__(self, taps: Sequence[str]) -> None:
        super().__init__()
        self.taps = taps
        self.fast = nn.Conv3d(3, 4, (3, 5, 5), stride=(1, 8, 8), padding=(1, 2, 2))
        self.slow = nn.Conv3d(3, 6, (1, 7, 7), stride=(2, 8, 8), padding=(0, 3, 3))
        self.block = nn.Sequential(
            nn.Conv3d(4, 8, 1), nn.Conv3d(8, 8, 3, padding=1), nn.Conv3d(8, 4, 1)
        )

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        fast = self.block(self.fast(clip))
        slow = self.slow(clip)
        outputs = {"slow_stem": slow, "fast_block": fast, "gap": slow.mean((2, 3, 4))}
        return {tap: outputs[tap] for tap in self.taps}


def build(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return TwoPathways(taps).eval().requires_grad_(False)


@pytest.fixture
def clip_backbone(monkeypatch: pytest.MonkeyPatch) -> str:
    """A small network of two pathways, by its name."""
    spec = Spec(
        name="two",
        taps=("slow_stem", "fast_block", "gap"),
        default_tap="gap",
        weights=(),
        parameters=0,
        size=64,
        squash_size=64,
        transform="squash",
        clip=Clip(frames=12, stride=2, fps=10.0, fewest=4),
    )
    monkeypatch.setitem(BACKBONES.own, "two", (spec, build))
    return "two"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three seconds of 96 × 64 in which a bright square walks to the right."""
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(30):
            picture = np.full((64, 96, 3), 60, np.uint8)
            picture[20:40, 2 * number : 2 * number + 20] = (250, 200, 30)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def pixels(path: str | Path) -> NDArray[np.uint8]:
    """Read a picture after checking that a page can show it and that nothing is cut off."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 200 <= picture.width <= 2000
        assert 100 <= picture.height <= 2200
        shown = np.asarray(picture.convert("RGB"))
    for edge in (shown[:2], shown[-2:], shown[:, :2], shown[:, -2:]):
        assert (edge == 255).all()
    return shown


def has(picture: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 2) -> int:
    """Number of pixels of that colour."""
    near = np.abs(picture.astype(int) - colour).max(-1) <= tolerance
    return int(near.sum())


def test_a_mosaic_shows_every_value_as_a_square_of_whole_pixels(tmp_path: Path) -> None:
    tiles = np.zeros((2, 3, 2, 2, 3), np.float32)
    tiles[..., 0, 1, :] = (1, 0, 0)
    tiles[1, 2] = np.nan
    out = draw_mosaic(tiles, tmp_path / "sub/a.png", title="tiles", rows=["one", "two"])
    shown = pixels(out)
    reds, blacks = has(shown, (255, 0, 0), 0), has(shown, (0, 0, 0), 0)
    assert reds == 5 * 16 * 16
    assert blacks == 3 * reds


def test_the_last_row_may_lack_some_tiles(tmp_path: Path) -> None:
    tiles = np.zeros((5, 2, 2, 3), np.float32)
    out = draw_mosaic(tiles, tmp_path / "a.png", title="five tiles in two rows", rows=["", ""])
    assert has(pixels(out), (0, 0, 0), 0) == pytest.approx(5 * 32 * 32, rel=0.01)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(120, 120, 3, groups=120),
        nn.Conv2d(48, 64, 1),
        nn.Conv3d(3, 64, 7),
        nn.Conv3d(2, 8, (5, 7, 7)),
        nn.Conv3d(16, 8, (3, 1, 1)),
        nn.Conv3d(64, 64, 3),
    ],
    ids=lambda layer: f"{type(layer).__name__}-{'x'.join(map(str, layer.weight.shape))}",
)
def test_any_convolution_can_be_drawn(layer: nn.Conv2d | nn.Conv3d, tmp_path: Path) -> None:
    pixels(draw_kernels(layer, tmp_path / "k.png", "a network layer"))


def test_a_kernel_looks_the_same_at_any_scale(tmp_path: Path) -> None:
    layer = nn.Conv2d(3, 8, 3)
    before = pixels(draw_kernels(layer, tmp_path / "a.png", "x"))
    with torch.no_grad():
        layer.weight.mul_(torch.rand(8, 1, 1, 1) + 0.5)
    np.testing.assert_allclose(before, pixels(draw_kernels(layer, tmp_path / "b.png", "x")), atol=1)


def test_colours_are_those_of_the_input(tmp_path: Path) -> None:
    layer = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, 0] = 1.0
    rgb = pixels(draw_kernels(layer, tmp_path / "rgb.png", "x"))
    bgr = pixels(draw_kernels(layer, tmp_path / "bgr.png", "x", bgr=True))
    assert has(rgb, (255, 127, 127)) == has(bgr, (127, 127, 255)) > 0
    assert not has(bgr, (255, 127, 127))


def asked(kind: type[Config], out: Path, backbone: str = "mobilenetv2", **words: Any) -> Config:
    """What is asked for, of a network with random weights."""
    return kind(backbone=backbone, weights="random", out=out, **words)


def test_of_each_stage_the_last_bottleneck_is_drawn(tmp_path: Path, clip_backbone: str) -> None:
    names = bottleneck_layers(load("mobilenetv2", weights="random").module)
    assert len(names) == 6
    assert names[0] == "features.2.conv.1.0"
    drawn = kernels(asked(KernelsConfig, tmp_path, clip_backbone)).lines()
    ends = ["fast", "slow", "block.1"]
    assert drawn == [str(tmp_path / f"two-kernels-{end}.png") for end in ends]
    for path in drawn:
        pixels(path)


def test_a_wrong_layer_names_the_near_ones() -> None:
    layers = convolutions(load("mobilenetv2", weights="random", taps=("block2",)).module)
    with pytest.raises(RequestError, match=r"no layer '2\.conv': .* features\.2\.conv\."):
        check_layer(layers, "2.conv", "mobilenetv2")
    with pytest.raises(RequestError, match=r"choose from features\.0\.0"):
        check_layer(layers, "feature.0", "mobilenetv2")
    with pytest.raises(
        RequestError, match=r"and \d+ more; `egofeat backbones mobilenetv2 --layers"
    ):
        check_layer(layers, "????", "mobilenetv2")


def test_the_excerpt_is_the_clip_that_begins_at_the_start(video: Path, clip_backbone: str) -> None:
    network = load(clip_backbone, weights="random")
    transform = choose_transform(network.spec, None, ExtractConfig())
    plan = plan_of(network)
    excerpt = read_excerpt(Media(video), plan, transform, 0.5)
    np.testing.assert_allclose(excerpt.times, 0.5 + 0.2 * np.arange(12), atol=1e-6)
    assert excerpt.frames_THWC.shape == (12, 64, 64, 3)
    late = read_excerpt(Media(video), plan, transform, 2.0)
    assert late.times.max() == pytest.approx(2.9)
    assert (late.frames_THWC[-1] == late.frames_THWC[-2]).all(), "the last frame is repeated"
    assert (excerpt.clipped, late.clipped) == (False, True)
    assert excerpt.rate == plan.fps / plan.stride
    often = replace(plan, stride=1, fps=90.0)
    assert read_excerpt(Media(video), often, transform, 0.5).rate == 90.0, "not that of the video"
    own = read_excerpt(Media(video), often, transform, 0.5, own_frames=True)
    assert (np.diff(own.times) > 0).all()
    assert own.rate == pytest.approx(1 / np.diff(own.times).mean(), rel=1e-3)
    with pytest.raises(MediaError, match="past the end"):
        read_excerpt(Media(video), plan, transform, 9.0)


@pytest.mark.parametrize(
    ("start", "own", "repeated"),
    [(0.85, False, False), (1.1, False, True), (1.8, True, False), (1.9, True, True)],
)
def test_a_last_frame_is_said_to_be_repeated_where_it_is(
    video: Path, clip_backbone: str, start: float, own: bool, repeated: bool
) -> None:
    """The last frame of the clip is asked for 2.2 s after its first; the film has one at 2.9 s."""
    network = load(clip_backbone, weights="random")
    transform = choose_transform(network.spec, None, ExtractConfig())
    of = read_excerpt(Media(video), plan_of(network), transform, start, own_frames=own)
    assert of.clipped == repeated
    assert (of.times[-1] == of.times[-2]) == repeated


@pytest.mark.drawn
def test_frames_are_drawn_at_their_rate_and_of_another_film_beside(
    tmp_path: Path, clip_backbone: str
) -> None:
    words = ["visualize", "maps", "--backbone", clip_backbone, "--weights", "random", "--tap"]
    words += ["slow_stem", "--device", "cpu", "--out", str(tmp_path / "out"), "--json", "--video"]
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(1, 9):
            image = Image.new("RGB", (64, 64), (30 * number, 60, 60))
            image.save(tmp_path / name / f"{number:05}.png")
        said = CliRunner().invoke(app, [*words, str(tmp_path / name)])
        assert isinstance(said.exception, RequestError)
        assert "how fast they follow each other: give `fps`" in str(said.exception)
        said = CliRunner().invoke(app, [*words, str(tmp_path / name), "--fps", "4"])
        drawn += json.loads(said.stdout)["pictures"]
    assert [Path(path).name for path in drawn] == [
        f"two-maps-{name}-slow_stem.png" for name in ("a", "b")
    ]
    said = CliRunner().invoke(app, [*words, str(tmp_path), "--fps", "4"])
    assert isinstance(said.exception, RequestError)
    assert "is a folder of videos, such as " in str(said.exception)


def test_maps_are_the_backbones_own_time_first(video: Path, clip_backbone: str) -> None:
    network = load(clip_backbone, weights="random", taps=("slow_stem", "fast_block", "gap"))
    transform = choose_transform(network.spec, None, ExtractConfig())
    made = maps_of(
        network, (), transform, read_excerpt(Media(video), plan_of(network), transform, 0.0)
    )
    assert {tap: tuple(of.shape) for tap, of in made.items()} == {
        "slow_stem": (6, 6, 8, 8),
        "fast_block": (12, 4, 8, 8),
    }


def test_maps_of_every_tap_are_drawn(video: Path, clip_backbone: str, tmp_path: Path) -> None:
    drawn = maps(asked(MapsConfig, tmp_path, clip_backbone, video=video)).lines()
    assert drawn == [
        str(tmp_path / f"two-maps-walk-{tap}.png") for tap in ("slow_stem", "fast_block")
    ]
    for path in drawn:
        assert has(pixels(path), (250, 200, 30), 40) > 1000, "the frames stand above"


def test_an_image_network_sees_frames_of_two_seconds(video: Path, tmp_path: Path) -> None:
    (path,) = maps(asked(MapsConfig, tmp_path, video=video, taps=("block2",))).lines()
    pixels(path)


def test_the_channels_that_vary_most_come_first() -> None:
    moving = torch.zeros(8, 20, 4, 4)
    moving[:, 13, :2] = torch.arange(8.0)[:, None, None]
    moving[2, 4] = 1.0
    assert strongest(moving)[:2] == [13, 4]
    assert len(strongest(moving)) == 8


def test_a_channel_has_one_colour_scale_through_the_clip(tmp_path: Path) -> None:
    excerpt = Excerpt(torch.full((4, 8, 8, 3), 60, dtype=torch.uint8), np.arange(4.0), 1.0)
    rising = torch.arange(4.0)[:, None, None, None].expand(4, 1, 4, 4)
    strip = Strip("x", rising, (0,), np.arange(4))
    shown = pixels(draw_strips([strip], excerpt, tmp_path / "a.png", "x"))
    dark, bright = has(shown, (68, 1, 84)), has(shown, (253, 231, 36))
    assert dark == bright > 0, "one tile each, the first and the last"


def test_wrong_requests_about_maps(video: Path, clip_backbone: str, tmp_path: Path) -> None:
    draw: Callable[..., object] = lambda **words: maps(  # noqa: E731
        asked(MapsConfig, tmp_path, clip_backbone, video=video, **words)
    )
    with pytest.raises(RequestError, match="tap 'gap' of two is a vector"):
        draw(taps=("gap",))
    with pytest.raises(RequestError, match="no tap or layer 'stage9'"):
        draw(taps=("stage9",))
    with pytest.raises(RequestError, match="`start` is -1"):
        draw(start=-1.0)
    absent = tmp_path / "absent.mp4"
    with pytest.raises(RequestError, match=r"there is no video .*absent\.mp4: give `video` a file"):
        maps(asked(MapsConfig, tmp_path, video=absent))


def activations(images: NDArray[np.float32], tap: str, channels: list[int]) -> NDArray[np.float32]:
    """Mean over the map of each image's own channel."""
    network = load("mobilenetv2", weights="random", taps=(tap,))
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in (network.spec.mean, network.spec.std))
    batch = (torch.from_numpy(images).permute(0, 3, 1, 2) - mean) / std
    answers = network(batch)[tap].mean((2, 3))
    return answers[torch.arange(len(channels)), channels].numpy()


def ascend(channels: list[int], steps: int, seed: int = 0) -> NDArray[np.float32]:
    network = load("mobilenetv2", weights="random", taps=("block2",))
    return maximise(network, "block2", channels, size=48, steps=steps, seed=seed)[:, 0]


def test_maximising_raises_the_chosen_channels() -> None:
    channels = [0, 7, 19]
    before, after = (activations(ascend(channels, n), "block2", channels) for n in (1, 30))
    assert (after > before + 0.1).all()


def test_an_image_depends_on_its_channel_and_the_seed_alone() -> None:
    both, one = ascend([7, 3], 5), ascend([3], 5)
    assert both.dtype == np.float32
    assert both.shape == (2, 48, 48, 3)
    assert 0 <= both.min() < both.max() <= 1
    np.testing.assert_allclose(both[1], one[0], atol=1e-3)
    np.testing.assert_array_equal(one, ascend([3], 5))
    assert np.abs(one - ascend([3], 5, seed=1)).max() > 0.05
    assert ascend(list(range(20)), 1).shape == (20, 48, 48, 3)


def test_a_picture_a_block_and_one_of_all(tmp_path: Path) -> None:
    drawn = activation_maximisation(
        asked(MaximisationConfig, tmp_path, blocks=(1, 0), steps=1)
    ).lines()
    ends = ["-block0", "-block1", ""]
    assert drawn == [
        str(tmp_path / f"mobilenetv2-activation-maximisation{end}.png") for end in ends
    ]
    for path in drawn:
        pixels(path)


def test_wrong_requests_about_maximising(tmp_path: Path, clip_backbone: str) -> None:
    def draw(backbone: str = "mobilenetv2", **words: object) -> None:
        activation_maximisation(asked(MaximisationConfig, tmp_path, backbone, **words))

    with pytest.raises(RequestError, match="two has no numbered blocks: give `taps`"):
        draw(clip_backbone, blocks=(1,))
    with pytest.raises(RequestError, match="`clip_frames` 2: two needs at least 4"):
        draw(clip_backbone, clip_frames=2)
    with pytest.raises(RequestError, match="the tap 'gap' of two is no maps"):
        draw(clip_backbone, taps=("gap",))
    with pytest.raises(RequestError, match="i3d_flow sees flow"):
        draw("i3d_flow")
    with pytest.raises(RequestError, match="no tap 'block17'"):
        draw(blocks=(17,))
    with pytest.raises(RequestError, match="block1 of mobilenetv2 has channels 0 to 23"):
        draw(blocks=(1,), channels=(24,))
    with pytest.raises(RequestError, match="`steps` is 0"):
        draw(steps=0)
    for name, most in (("steps", 100_000), ("size", 2048), ("slowness", 1000)):
        with pytest.raises(RequestError, match=f"`{name}` is {most + 1}"):
            draw(**{name: most + 1})


def test_options_of_clips_are_told_where_images_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"blocks": (1,), "channels": (0,), "steps": 1}
    activation_maximisation(asked(MaximisationConfig, tmp_path, **few))
    assert "of clips" not in capsys.readouterr().err
    activation_maximisation(asked(MaximisationConfig, tmp_path, **few, slowness=5, clip_frames=9))
    assert (
        "mobilenetv2 sees single images: `clip_frames` and `slowness` are of clips, and change "
        "nothing" in capsys.readouterr().err
    )


def test_the_command_line(video: Path, tmp_path: Path, clip_backbone: str) -> None:
    run = CliRunner().invoke
    common = ["--weights", "random", "--out", str(tmp_path), "--json"]
    layer = ["--layer", "fast"]
    said = run(app, ["visualize", "kernels", "--backbone", clip_backbone, *layer, *common])
    names = [Path(path).name for path in json.loads(said.stdout)["pictures"]]
    assert names == ["two-kernels-fast.png", "two-kernels-slow.png"]
    tap = ["--tap", "slow_stem", "--video", str(video), "--start", "0.5"]
    said = run(app, ["visualize", "maps", "--backbone", clip_backbone, *tap, *common])
    (path,) = json.loads(said.stdout)["pictures"]
    assert path == str(tmp_path / "two-maps-walk-0.5s-slow_stem.png")
    few = ["--block", "0", "--channels", "1,2", "--steps", "1"]
    said = run(app, ["visualize", "activation-maximisation", *few, *common])
    assert len(json.loads(said.stdout)["pictures"]) == 2
    wrong = run(app, ["visualize", "activation-maximisation", "--channels", "1,b", *common])
    assert (
        str(wrong.exception) == "--channels 1,b is no list of numbers: give them by comma, as 5,10"
    )


@pytest.mark.parametrize("backbone", ["flow_grid", "i3d_flow"])
def test_maps_of_a_network_of_flow_are_refused(video, tmp_path, backbone):
    with pytest.raises(RequestError, match=f"{backbone} sees flow.*egofeat visualize flow"):
        maps(asked(MapsConfig, tmp_path, backbone, video=video))


def test_kernels_of_what_has_none_are_refused(tmp_path):
    with pytest.raises(RequestError, match="flow_grid has no kernels to draw"):
        kernels(KernelsConfig(backbone="flow_grid", out=tmp_path))
