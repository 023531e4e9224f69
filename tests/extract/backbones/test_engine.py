"""OpenVINO against PyTorch: the same taps, alone or beside others, or one sentence."""

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.backbones.engine import Compiled

# To import it is to tell its makers, but for the way that egofeat does.
if not find_spec("openvino"):
    pytest.skip("OpenVINO is not installed", allow_module_level=True)

# Sums in another order: float32 has 24 bits, and some fifty layers follow each other.
RELATIVE = 1e-5


def views(name: str, count: int, side: int, frames: int | None = None) -> torch.Tensor:
    spec = spec_of(name)
    shape = (*([frames or spec.clip.frames] if spec.clip else []), side, side)
    chance = torch.Generator().manual_seed(3)
    return torch.randn(count, spec.channels, *shape, generator=chance)


@pytest.mark.parametrize(
    ("name", "side", "frames"),
    [
        ("mobilenetv2", 96, None),
        ("resnet50", 64, None),
        ("tv:vit_b_16", 224, None),
        ("slowfast_8x8_r50", 64, 32),
        ("i3d", 65, 17),  # odd: padded more at the end
        ("s3d", 64, 16),
        ("r2plus1d_18", 56, 8),
    ],
)
def test_every_tap_equals_that_of_torch(name, side, frames):
    taps = spec_of(name).taps
    taps = taps if len(taps) < 30 else taps[-1:]
    batch = views(name, 2 if frames is None else 1, side, frames)
    ours, theirs = (load(name, "random", taps, engine=one)(batch) for one in ("openvino", "torch"))
    assert tuple(ours) == tuple(theirs)
    for tap, right in theirs.items():
        assert ours[tap].shape == right.shape
        assert ours[tap].dtype == torch.float32
        assert (ours[tap] - right).norm() <= RELATIVE * right.norm(), tap


def test_features_depend_neither_on_neighbours_nor_on_batches_before():
    backbone = load("mobilenetv2", "random", engine="openvino")
    frames = views("mobilenetv2", 8, 96)
    first = backbone(frames)["gap"]
    kept = first.clone()
    order = torch.tensor([3, 1, 7, 0, 2, 5, 4, 6])
    assert torch.equal(backbone(frames[order])["gap"], kept[order])
    backbone(frames[:3])  # another shape
    assert torch.equal(backbone(frames)["gap"], kept)
    assert torch.equal(first, kept)  # what was given is not written over


def test_a_batch_in_any_layout_gives_the_same():
    backbone = load("mobilenetv2", "random", engine="openvino")
    frames = views("mobilenetv2", 2, 64)
    last = frames.to(memory_format=torch.channels_last)
    assert torch.equal(backbone(frames)["gap"], backbone(last)["gap"])


class _Raw(nn.Module):
    def forward(self, batch):
        return {"mean": batch.mean((2, 3, 4)), "pixels": batch.view(len(batch), -1)[:, :9]}


def test_what_is_no_convolution_sees_a_batch_as_it_was_written_for():
    """Sums over channels that are last are less exact, and `view` knows one order of axes."""
    batch = torch.randn(2, 3, 16, 64, 64).add(1).to(memory_format=torch.channels_last_3d)
    expected = _Raw()(batch.contiguous())
    for tap, values in Compiled(_Raw(), "raw", "float32")(batch).items():
        assert (values - expected[tap]).norm() <= RELATIVE * expected[tap].norm(), tap


def test_shapes_are_known_before_anything_is_compiled():
    shapes = [
        load("slow_8x8_r50", "random", ["map"], engine=engine).tap_shapes(64, 8)
        for engine in ("openvino", "torch")
    ]
    assert shapes[0] == shapes[1]


def test_nobody_is_told_that_it_is_used():
    load("mobilenetv2", "random", engine="openvino")(views("mobilenetv2", 1, 64))
    assert "openvino.frontend" in sys.modules
    assert not any(name.startswith("openvino_telemetry") for name in sys.modules)


class Chance(nn.Module):
    def forward(self, batch):
        return {"gap": batch + torch.rand_like(batch)}


class Odd(nn.Module):
    def forward(self, batch):
        return {"gap": torch.linalg.eigvals(batch).real}


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Chance(), "OpenVINO gives other values of the tap gap of own than PyTorch: use `engine`"),
        (Odd(), r"OpenVINO cannot run own \(.*eigvals.*\): use `engine` torch"),
    ],
)
def test_what_it_cannot_run_is_said(module, sentence):
    with pytest.raises(RequestError, match=sentence):
        Compiled(module, "own", "float32")(torch.randn(1, 3, 8, 8))


def test_what_is_no_number_is_another_value(monkeypatch):
    module = Chance()
    monkeypatch.setattr(Compiled, "_infer", lambda *_: {"gap": torch.full((1, 3, 8, 8), torch.nan)})
    with pytest.raises(RequestError, match="gives other values"):
        Compiled(module, "own", "float32")(torch.randn(1, 3, 8, 8))


def test_what_is_not_there_is_refused(monkeypatch):
    for wrong, sentence in (
        ({"engine": "onnx"}, "there is no engine 'onnx': choose torch or openvino"),
        ({"device": "cuda"}, "`engine` openvino runs networks on the processor, .* is cuda: give"),
        ({"precision": "tf32"}, "OpenVINO has no tf32 arithmetic on this processor: give"),
    ):
        with pytest.raises(RequestError, match=sentence):
            load("mobilenetv2", "random", **{"engine": "openvino", **wrong})
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(RequestError, match=r"not installed: pip install egofeat\[openvino\]"):
        load("mobilenetv2", "random", engine="openvino")


@pytest.mark.parametrize(("precision", "within"), [("bf16", 0.05), ("fp16", 0.02)])
def test_half_precision_is_near_where_the_processor_has_it(precision, within):
    try:
        backbone = load("mobilenetv2", precision=precision, engine="openvino")
    except RequestError as refused:
        pytest.skip(str(refused))
    batch = views("mobilenetv2", 4, 96)
    exact, near = load("mobilenetv2")(batch)["gap"], backbone(batch)["gap"]
    assert 0 < (near - exact).norm() < within * exact.norm()


@pytest.mark.skipif(sys.platform != "linux", reason="a stack for signals is Linux's")
def test_a_signal_is_handled_where_it_was_before():
    """OpenVINO's own place for that goes with the network, and a Ctrl-C would end the process."""
    code = (
        "import ctypes, gc, signal, torch\n"
        "from egofeat.extract.backbones.loading import load\n"
        "stack, libc = (ctypes.c_long * 3)(), ctypes.CDLL(None)\n"
        "def place():\n"
        "    libc.sigaltstack(None, stack)\n"
        "    return stack[0]\n"
        "before = place()\n"
        "network = load('mobilenetv2', 'random', engine='openvino')\n"
        "for views in (1, 2):\n"
        "    network(torch.zeros(views, 3, 32, 32))\n"
        "    assert place() == before\n"
        "del network\n"
        "gc.collect()\n"
        "try:\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    words = [sys.executable, "-X", "faulthandler", "-c", code]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"interrupted\n"), done.stderr.decode()


def test_what_is_no_finite_number_is_not_clipped_away():
    backbone = load("mobilenetv2", "random", engine="openvino")
    weight = next(iter(backbone.module.parameters()))
    weight.data[0] = torch.inf
    with pytest.raises(WeightsError, match="values of mobilenetv2 at tap gap are not finite"):
        backbone(views("mobilenetv2", 2, 64))


def test_networks_that_threads_compile_leave_warnings_as_they_were():
    networks = [load(name, "random", engine="openvino") for name in ("mobilenetv2", "tv:resnet18")]
    before, together = list(warnings.filters), threading.Barrier(2)

    def run(network):
        together.wait()
        network(views(network.spec.name, 1, 64))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, networks))
    assert warnings.filters == before
