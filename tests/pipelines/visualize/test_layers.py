"""Any layer by its published name, below the frames that it saw."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, load
from egofeat.extract.backbones.backbone import Clip, Spec
from egofeat.extract.backbones.building import freeze, unfolded
from egofeat.extract.backbones.inside import convolutions, outputs_of
from egofeat.extract.backbones.slowfast.network import Design, Pathway, TappedPathways
from egofeat.extract.backbones.slowfast.networks import FAMILY, build_by
from egofeat.pipelines.figures.mosaics import coloured
from egofeat.pipelines.visualize.ascent import maximise
from egofeat.pipelines.visualize.kernels import draw_kernels
from egofeat.pipelines.visualize.maps import choose_channels, maps
from egofeat.pipelines.visualize.maximise import activation_maximisation
from egofeat.pipelines.visualize.options import MapsConfig, MaximisationConfig
from egofeat.pipelines.visualize.strips import Strip, columns_of, steps_at

BLUE = (20, 40, 240)


class Eyes(nn.Module):
    """Sees blue: in every frame, and in every fourth."""

    def __init__(self, taps: Sequence[str]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.fast, self.slow = (nn.Sequential(nn.Conv3d(3, 2, 1), nn.ReLU(True)) for _ in "fs")
        for eye in (self.fast, self.slow):
            nn.init.constant_(eye[0].weight, 0.0)
            eye[0].weight.data[:, 2] = 1.0

    def frames_seen(self, tap: str, frames: int) -> tuple[int, ...]:
        return tuple(range(0, frames, 4 if tap.startswith("slow") else 1))

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        outputs = {"slow_map": self.slow(clip[:, :, ::4]), "fast_map": self.fast(clip)}
        outputs["gap"] = outputs["slow_map"].mean((2, 3, 4)) + outputs["fast_map"].mean((2, 3, 4))
        return {tap: outputs[tap] for tap in self.taps}


def build(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
    return freeze(Eyes(taps))


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> str:
    spec = Spec(
        name="eyes",
        taps=("slow_map", "fast_map", "gap"),
        parameters=0,
        size=64,
        squash_size=64,
        transform="squash",
        clip=Clip(frames=16, stride=1, fps=10.0, fewest=4),
    )
    monkeypatch.setitem(BACKBONES.own, "eyes", (spec, build))
    return "eyes"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of 64 × 64 at 10 a second in which a blue square walks to the right."""
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(20):
            picture = np.full((64, 64, 3), 60, np.uint8)
            picture[24:40, 2 * number : 2 * number + 16] = BLUE
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def draw(video: Path, backbone: str, **words: object) -> list[Path]:
    asked = MapsConfig(backbone=backbone, video=video, weights="random", **words)
    return [Path(path) for path in maps(asked).pictures]


def middle(mask: np.ndarray) -> tuple[float, float]:
    """(down, across) of what is true, in pixels."""
    down, across = np.nonzero(mask)
    return float(down.mean()), float(across.mean())


def near(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(-1) <= tolerance


def lit(picture: np.ndarray) -> np.ndarray:
    """Where maps are near their largest value: yellow to green, which nothing else is."""
    return picture[..., 1].astype(int) - picture[..., 2] > 90


def parts(mask: np.ndarray) -> list[slice]:
    """Stretches of columns that are not empty."""
    filled = np.flatnonzero(mask.any(axis=0))
    runs = np.split(filled, np.flatnonzero(np.diff(filled) > 8) + 1)
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs]


@pytest.mark.drawn
def test_what_moves_lights_up_below_the_frame_in_which_it_is(
    eyes: str, video: Path, tmp_path: Path
) -> None:
    taps = ("slow.0", "fast.0")
    (out,) = draw(
        video,
        eyes,
        taps=taps,
        channels=(1,),
        columns=8,
        consecutive=True,
        together=True,
        out=tmp_path,
    )
    with Image.open(out) as opened:
        shown = np.asarray(opened.convert("RGB"))
    blue, bright = near(shown, BLUE, 40), lit(shown)
    half = int(np.flatnonzero(blue.any(1)).mean())  # between the strips of the two pathways
    of_slow, of_fast = (parts(blue[rows]) for rows in (slice(half), slice(half, None)))
    assert (len(of_slow), len(of_fast)) == (2, 8)
    for rows, places in ((slice(half), of_slow), (slice(half, None), of_fast)):
        for place, below in zip(places, parts(bright[rows]), strict=True):
            seen, answered = middle(blue[rows, place]), middle(bright[rows, below])
            assert place.start + seen[1] == pytest.approx(below.start + answered[1], abs=3)
            assert answered[0] > seen[0]
    for slow, fast in zip(of_slow, (of_fast[0], of_fast[4]), strict=True):
        assert slow.start == pytest.approx(fast.start, abs=3), "one axis of time"


@pytest.mark.drawn
def test_the_video_shows_every_frame_with_what_is_made_of_it(
    eyes: str, video: Path, tmp_path: Path
) -> None:
    picture, film = draw(video, eyes, taps=("fast.0",), channels=(0,), mp4=True, out=tmp_path)
    assert film == picture.with_suffix(".mp4")
    with av.open(str(film)) as opened:
        assert opened.streams.video[0].average_rate == 10
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    assert len(frames) == 16
    for number, frame in enumerate(frames):
        left, right = frame[24:152, 4:132], frame[24:152, 136:264]
        seen, answered = middle(near(left, BLUE, 60)), middle(lit(right))
        assert seen == pytest.approx((64, 2 * (2 * number + 8)), abs=4)
        assert answered == pytest.approx(seen, abs=4)


SMALL = Design(
    slow=Pathway(width=8, stem=1, kernels=((1,), (1,), (3,), (3,))),
    fast=Pathway(width=4, stem=5, kernels=((3,), (3,), (3,), (3,))),
    alpha=4,
    frames=8,
    stride=2,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, nn.ModuleDict]:
    """A small SlowFast whose batch norms have measured something: its file, and it as published."""
    builder = build_by("small", SMALL)
    spec = replace(FAMILY["slowfast_8x8_r50"][0], name="small", size=32, weights=())
    monkeypatch.setitem(BACKBONES.own, "small", (spec, builder))
    network, draw = builder.unfolded(None, 0, logits=False), torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.data.normal_(generator=draw)
            module.running_var.uniform_(0.5, 2, generator=draw)
    file = tmp_path / "small.safetensors"
    save_file(network.state_dict(), file)
    return file, network


LAYERS = (
    "s1.pathway0_stem.conv",
    "s1_fuse.conv_f2s",
    "s2.pathway0_res0.branch2.b",
    "s2.pathway1_res0.branch2.b_bn",
    "s4.pathway1_res0.branch1",
    "s5.pathway0_res0",
)


def test_layers_give_what_a_hook_on_the_published_network_sees(
    small: tuple[Path, nn.ModuleDict],
) -> None:
    file, published = small
    clip, seen = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(2)), {}
    for name in LAYERS:
        published.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.update({name: output.clone()})
        )
    with torch.no_grad():
        TappedPathways(published.eval(), SMALL, ["slowfast"])(clip)
    with unfolded():
        network = load("small", file, ["slowfast"])
    made = outputs_of(network, LAYERS, clip)
    for name in LAYERS:
        torch.testing.assert_close(made[name], seen[name].transpose(1, 2), atol=1e-5, rtol=1e-5)
    folded = outputs_of(load("small", file, ["slowfast"]), LAYERS[:1], clip)
    assert (folded[LAYERS[0]] - made[LAYERS[0]]).abs().max() > 0.1, "folding matters"


def test_frames_of_a_layer_are_those_of_its_pathway(small: tuple[Path, nn.ModuleDict]) -> None:
    network = load("small", small[0], ["slowfast"])
    assert network.frames_seen("s3.pathway0_res0.branch2.a", 32) == network.frames_seen(
        "slow_map", 32
    )
    assert network.frames_seen("slow_stem", 8) == (0, 7)
    assert network.frames_seen("s2_fuse.conv_f2s", 8) == (0, 4)
    assert network.frames_seen("s3.pathway1_res0.branch2.a", 8) == tuple(range(8))


@pytest.mark.parametrize("folded", [True, False])
def test_convolutions_have_the_names_of_the_published_checkpoint(folded: bool) -> None:
    published = [n for n, m in mobilenet_v2().named_modules() if isinstance(m, nn.Conv2d)]
    if folded:
        assert list(convolutions(load("mobilenetv2", "random").module)) == published
    else:
        said = CliRunner().invoke(app, ["backbones", "mobilenetv2", "--layers"])
        assert said.stdout.split() == published


def strip(*frames: int) -> Strip:
    return Strip("x", torch.zeros(len(frames), 1, 2, 2), (0,), np.array(frames))


def test_strips_share_their_moments() -> None:
    fast, slow = strip(*range(32)), strip(0, 4, 8, 13, 17, 22, 26, 31)
    lateral = strip(*range(0, 32, 4))
    spread = columns_of([fast, slow], 8, consecutive=False)
    assert spread.tolist() == slow.frames.tolist()
    assert steps_at(fast, spread, consecutive=False) == slow.frames.tolist()
    assert -1 not in steps_at(lateral, spread, consecutive=False)
    first = columns_of([slow, fast], 6, consecutive=True)
    assert first.tolist() == [0, 1, 2, 3, 4, 5]
    assert steps_at(slow, first, consecutive=True) == [0, -1, -1, -1, 1, -1]
    halved = strip(*range(1, 32, 2))
    assert steps_at(strip(*range(2, 32, 4)), halved.frames[:4], consecutive=True) == [0, -1, 1, -1]


def test_random_channels_are_those_of_the_seed(video: Path) -> None:
    def chosen(seed: int) -> dict[str, list[int]]:
        asked = MapsConfig(video=video, taps=("a", "b"), random_channels=5, seed=seed)
        return choose_channels(asked, {"a": (90, 4, 4), "b": (8, 60, 4, 4)})

    assert chosen(0) == chosen(0) != chosen(1)
    assert all(len(set(of_tap)) == 5 for of_tap in chosen(3).values())
    assert max(chosen(0)["b"]) < 60


def test_wrong_requests_are_told_in_a_sentence(eyes: str, video: Path, tmp_path: Path) -> None:
    wrong = {
        "eyes has no tap or layer 'fast.7': choose from .*fast.0.*--layers` lists": {
            "taps": ["fast.7"]
        },
        "`channels` 2: fast.0 of eyes has channels 0 to 1": {"taps": ["fast.0"], "channels": [2]},
        "`channels` or `random_channels`, not both": {"channels": [0], "random_channels": 1},
        "room for 40 channels, and 42 are asked for": {
            "taps": ["slow.0", "fast.0"],
            "random_channels": 21,
            "together": True,
        },
    }
    for sentence, words in wrong.items():
        given = {name: tuple(of) if isinstance(of, list) else of for name, of in words.items()}
        with pytest.raises(RequestError, match=sentence):
            draw(video, eyes, out=tmp_path, **given)
    with pytest.raises(RequestError, match="name the backbone whose layers"):
        CliRunner().invoke(app, ["backbones", "--layers"], catch_exceptions=False)


@pytest.mark.parametrize("tap", ["slow_stem", "s3.pathway1_res0.branch2.b"])
def test_a_clip_is_made_that_raises_a_channel(small: tuple[Path, nn.ModuleDict], tap: str) -> None:
    layer = "." in tap
    with unfolded() if layer else nullcontext():
        network = load("small", small[0], ["slowfast" if layer else tap])
    ascend = partial(maximise, network, tap, size=32, frames=8)
    mean, std = (torch.tensor(of).view(3, 1, 1, 1) for of in (network.spec.mean, network.spec.std))

    def answers(clips: np.ndarray, channels: list[int]) -> Tensor:
        batch = (torch.from_numpy(clips).permute(0, 4, 1, 2, 3) - mean) / std
        made = outputs_of(network, [tap], batch) if layer else network(batch)
        return made[tap].mean((1, 3, 4))[torch.arange(len(channels)), channels]

    first = ascend(range(8), steps=1)
    assert first.shape == (8, 8, 32, 32, 3)
    before = answers(first, list(range(8)))
    loud = before.argsort(descending=True)[:2].tolist()  # what a ReLU silences has no gradient
    assert (answers(ascend(loud, steps=25), loud) > before[loud] + 0.1).all()
    alone = ascend(loud[:1], steps=2)
    np.testing.assert_array_equal(alone, ascend(loud[:1], steps=2))
    np.testing.assert_allclose(alone[0], ascend(loud, steps=2)[0], atol=1e-3)


def test_weight_on_time_slows_a_clip(small: tuple[Path, nn.ModuleDict]) -> None:
    network = load("small", small[0], ["fast_stage2"])
    clips = [
        maximise(network, "fast_stage2", [1], size=32, frames=8, steps=25, slowness=slowness)
        for slowness in (0.0, 30.0)
    ]
    fast, slow = (np.abs(np.diff(clip, axis=1)).mean() for clip in clips)
    assert slow < fast / 2


@pytest.mark.drawn
def test_a_filmstrip_and_a_video_a_tap(eyes: str, tmp_path: Path) -> None:
    asked = MaximisationConfig(
        backbone=eyes, weights="random", taps=("slow.0", "fast_map"), steps=1, out=tmp_path
    )
    drawn = activation_maximisation(asked).pictures
    stem = str(tmp_path / "eyes-activation-maximisation-")
    assert drawn == tuple(
        f"{stem}{end}" for end in ("slow.0.png", "slow.0.mp4", "fast_map.png", "fast_map.mp4")
    )
    with av.open(drawn[1]) as opened:
        frames = list(opened.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (32, 2 * 96, 96)


@pytest.mark.drawn
def test_published_kernels_stand_above_those_that_run(tmp_path: Path) -> None:
    """A batch norm that turns a kernel around and makes another twice as strong."""
    published, folded = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(1, 2, 1)
    nn.init.constant_(published.weight, 1.0)
    folded.weight.data[:] = torch.tensor([-1.0, 0.5]).view(2, 1, 1, 1)
    out = draw_kernels(folded, tmp_path / "k.png", "k", published=published)
    with Image.open(out) as opened:
        shown = np.asarray(opened.convert("RGB"))
    strong, turned, half = (
        near(shown, tuple(255 * colour), 3)
        for colour in coloured(np.array([1.0, 0.0, 0.75], np.float32), "RdBu_r")
    )
    assert strong.sum() == 2 * turned.sum() == 2 * half.sum() > 0
    assert middle(strong)[0] < middle(turned)[0] == middle(half)[0]
    folded.weight.data[:] = torch.tensor([0.5, 0.5]).view(2, 1, 1, 1)
    out = draw_kernels(folded, tmp_path / "k.png", "k", published=published, channels=(1,))
    with Image.open(out) as opened:
        shown = np.asarray(opened.convert("RGB"))
    strong, half = (
        near(shown, tuple(255 * colour), 3)
        for colour in coloured(np.array([1.0, 0.75], np.float32), "RdBu_r")
    )
    assert strong.sum() == half.sum() > 0, "half as strong is half as full"
