"""The loop on a device: whose copies are waited for, and what happens when its memory runs out."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.recorder import StandIn

from egofeat import graphs
from egofeat.device import exact
from egofeat.errors import EgofeatError
from egofeat.extract.backbones import Backbone, clipping
from egofeat.extract.batches import filling, growth
from egofeat.extract.batches.filling import Batch
from egofeat.extract.batches.running import TRIALS, Batches
from egofeat.extract.persons import Detector
from egofeat.extract.task import Task
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Recipe, Uniform
from egofeat.recipe.transform import squash
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store


class Machine:
    """Two GPUs that are not there: copies to the host come about when an event is waited for.

    Nothing may be sent or fetched in the network's own stream, nor without one waiting for the
    other; what lies there was written in the default stream.
    """

    def __init__(self, monkeypatch) -> None:
        self.device = 0
        self.unwaited: set[object] = set()
        """Streams in which something was sent that the network's did not wait for."""
        self.held: list[object] = []
        """Streams that memory was kept for which belongs to another one."""
        self.given: list[weakref.ref[Batch]] = []
        """Batches, in the order in which their features are awaited."""
        self.awaited = 0
        machine, plain_to, plain_stack = self, torch.Tensor.to, torch.stack

        class Entered:
            def __init__(self, device):
                self.index = torch.device(device).index

            def __enter__(self):
                self.before, machine.device = machine.device, self.index

            def __exit__(self, *_):
                machine.device = self.before

        class Stream:
            def __init__(self, device=None):
                assert device == torch.device("cuda", 1)
                self.copies, self.begins = [], False

            def __enter__(self):
                machine.stream = self

            def __exit__(self, *_):
                machine.stream = machine.network

            def wait_stream(self, other):
                machine.unwaited.discard(other)
                self.begins = other is machine.network

        class Event:
            def __init__(self, **_):
                self.waits = []

            def record(self):
                assert machine.device == 1
                self.waits = list(machine.stream.copies)

            def synchronize(self):
                assert machine.given[machine.awaited]() is not None, "its memory is another's"
                machine.awaited += 1
                for copy in self.waits:
                    copy()

        def pinned(shape, *, dtype, pin_memory):
            assert pin_memory
            return torch.full(shape, 255, dtype=dtype)

        def to(tensor, where=None, *words, non_blocking=False, **options):
            if where == "cpu" and non_blocking:
                assert machine.stream.begins
                tensor = tensor.as_subclass(torch.Tensor)
                host = torch.full_like(tensor, torch.nan)
                machine.stream.copies.append(lambda: host.copy_(tensor))
                return host
            if isinstance(where, torch.device) and where.type == "cuda":
                assert where.index == machine.device == 1
                if isinstance(tensor, There):
                    return tensor
                if non_blocking:
                    assert machine.stream is not machine.network
                    machine.unwaited.add(machine.stream)
                return plain_to(tensor, *words, **options) if words or options else tensor.clone()
            return plain_to(tensor, where, *words, **options)

        def stack(tensors, out):
            if isinstance(out, There):
                machine.unwaited.add(machine.default)
            return plain_stack(tensors, out=out)

        self.stream = self.network = Stream(torch.device("cuda", 1))
        self.default = Stream(torch.device("cuda", 1))
        monkeypatch.setattr(torch, "stack", stack)
        monkeypatch.setattr(torch.cuda, "default_stream", lambda device: machine.default)
        monkeypatch.setattr(torch.cuda, "device", Entered)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: machine.stream)
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda tensor, stream: machine.held.append(stream)
        )
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        monkeypatch.setattr(torch, "empty", pinned)
        monkeypatch.setattr(torch.Tensor, "to", to)

    def compute(self) -> None:
        """The network runs on what was sent."""
        assert not self.unwaited
        assert self.stream is self.network


class There(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    device = property(lambda _: torch.device("cuda", 1))


def check_brightest(
    monkeypatch, device, side: int, views: int, compute=lambda: None, given=None, kind=torch.Tensor
) -> None:
    """Views whose number is their brightness, through a network that gives it back."""
    given = [] if given is None else given
    monkeypatch.setattr(graphs, "recorder_of", lambda device: None)

    class Network(SimpleNamespace):
        def __call__(self, batch):
            compute()
            return {"gap": batch.amax(dim=(2, 3))}

    recipe = Recipe(
        backbone="brightest",
        weights="random:0",
        plan=Uniform(1),
        transform=squash(side, mean=(0.0,) * 3, std=(1.0,) * 3),
        taps={"gap": (1, 3)},
        dtype="float32",
    )
    backbone = Network(device=device, spec=SimpleNamespace(clip=None))
    task = Task(backbone=backbone, recipe=recipe, sink=Memory("gap"), batch_size=3)
    batches = Batches(task, list)  # a view is claimed by its key
    monkeypatch.setattr(filling, "BLOCK_BYTES", 2 * side**2 * 3)  # of two of a batch's three views
    made = []
    for number in range(views):
        frame = torch.full((1, side, side, 3), number % 256, dtype=torch.uint8).as_subclass(kind)
        for batch in batches.filling.place(("v", (number,)), [frame]):
            given.append(weakref.ref(batch))
            made += batches.run(batch)
    (rest,) = batches.filling._open.values()
    given.append(weakref.ref(rest))
    del batch, rest
    made += batches.finish()
    assert [view for keys, _ in made for _, view in keys] == [(number,) for number in range(views)]
    found = np.concatenate([features["gap"] for _, features in made])
    expected = (np.arange(views) % 256)[:, None] / 255 * np.ones(3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_features_are_read_when_their_own_device_has_copied_them(monkeypatch):
    machine = Machine(monkeypatch)
    device = torch.device("cuda", 1)
    check_brightest(monkeypatch, device, 4, 7, machine.compute, machine.given)
    assert machine.awaited == 3
    sent, fetched = machine.held[::2], machine.held[1::2]  # three batches
    assert sent == [machine.network] * 3
    assert len(set(fetched) | {machine.network}) == 2


def test_a_batch_that_threads_wrote_on_the_device_is_waited_for_and_held(monkeypatch):
    machine = Machine(monkeypatch)
    device = torch.device("cuda", 1)
    check_brightest(monkeypatch, device, 4, 7, machine.compute, machine.given, There)
    assert machine.awaited == 3
    assert machine.network not in machine.held, "nothing was sent"


@pytest.mark.gpu
def test_streams_of_a_gpu_mix_no_views(monkeypatch, gpu):
    check_brightest(monkeypatch, torch.device("cuda", 0), 512, 900)


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    MemoryError("Unable to allocate 3.00 GiB for an array"),
]


@pytest.fixture(scope="module")
def dataset(encoder, tmp_path_factory):
    """Two segments of a film of 40 frames."""
    film = encoder(
        tmp_path_factory.mktemp("film") / "a.mp4",
        frames=40,
        options={"x264-params": "keyint=12:log-level=none"},
    )
    segments = tuple(Segment(f"a{k}", "a", 0.7 * k, 0.7 * k + 0.7) for k in range(2))
    return Dataset("mine", {"a": Media(film)}, segments, {})


@pytest.fixture
def config(tmp_path):
    return ExtractConfig(
        out=tmp_path / "features",
        weights="random",
        frames=10,
        size=32,
        device="cpu",
        dtype="float32",
        batch_size=8,
        workers=1,
    )


def room_for(monkeypatch, most: int, error: BaseException) -> list[int]:
    """Let no larger batches through; the sizes of those that were tried."""
    tried = []
    run = Backbone.__call__

    def full(backbone, batch):
        tried.append(len(batch))
        if len(batch) > most:
            raise error
        return run(backbone, batch)

    monkeypatch.setattr(Backbone, "__call__", full)
    return tried


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:20])
def test_a_batch_that_does_not_fit_is_halved_and_the_size_kept(
    dataset, config, monkeypatch, capsys, tmp_path, error
):
    expected = open_store(extract.run(replace(config, out=tmp_path / "o"), dataset).store)
    capsys.readouterr()
    tried = room_for(monkeypatch, 3, error)
    store = open_store(extract.run(config, dataset).store)
    assert tried == [8, 4] + [2] * 10
    assert capsys.readouterr().err.count("has no room for a batch of 8") == 1
    for id_ in expected.ids:
        np.testing.assert_allclose(store[id_], expected[id_], atol=1e-5)


@pytest.fixture
def growing(monkeypatch, tmp_path):
    """A CPU is asked what it takes, as a GPU is; a larger batch is always worth it."""
    monkeypatch.setattr(Task, "grows", property(lambda task: task.batch_size is None))
    monkeypatch.setattr(growth, "WORTH", 0)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.mark.parametrize("error", FULL[:1])
def test_a_batch_grows_before_the_first_one_and_not_to_what_does_not_fit(
    dataset, config, monkeypatch, capsys, tmp_path, error, growing
):
    alone = replace(config, out=tmp_path / "o", batch_size=32)
    expected = open_store(extract.run(alone, dataset).store)
    capsys.readouterr()
    tried = room_for(monkeypatch, 40, error)
    store = open_store(extract.run(replace(config, batch_size=None), dataset).store)
    assert tried == [16] * TRIALS + [32] * TRIALS + [64] + [32]
    assert "no room" not in capsys.readouterr().err
    for id_ in expected.ids:
        assert store[id_].tobytes() == expected[id_].tobytes()
    assert not list(tmp_path.glob("hub/checkpoints/measured/*"))  # another may have had the memory


def test_the_size_that_a_device_takes_is_measured_once(
    dataset, config, monkeypatch, tmp_path, growing
):
    tried = room_for(monkeypatch, 1000, FULL[0])
    monkeypatch.setattr(growth, "MOST_BYTES", 32 * 32 * 32 * 3)
    asked = replace(config, batch_size=None)
    extract.run(asked, dataset)
    assert tried == [16] * TRIALS + [32] * TRIALS + [32]
    del tried[:]
    extract.run(replace(asked, out=tmp_path / "again"), dataset)
    assert tried == [32]
    (kept,) = tmp_path.glob("hub/checkpoints/measured/*.json")
    kept.write_text("{")
    extract.run(replace(asked, out=tmp_path / "anew"), dataset)
    assert len(tried) == 1 + 2 * TRIALS + 1


@pytest.mark.parametrize(
    ("paces", "room", "found"),
    [
        ([10, 19, 36, 37, 99], True, 4),
        ([10, 19, 36, 70], False, 8),
        ([10, 9], True, 1),
        ([], False, 1),
        ([1, 2, 4, 8, 16], True, 16),
    ],
)
def test_a_batch_is_doubled_while_more_views_come_out_a_second(paces, room, found):
    left = iter(paces)

    def seconds(size):
        if (pace := next(left, None)) is None:
            raise FULL[0]
        return size / pace

    assert growth.doubled(1, 16, seconds) == (found, room)


@pytest.mark.gpu
def test_a_gpu_takes_batches_of_its_own_size(dataset, config, tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    asked = replace(config, device=str(gpu), batch_size=None)
    first, again, fixed = (
        open_store(extract.run(replace(asked, out=tmp_path / name, **rest), dataset).store)
        for name, rest in (("a", {}), ("b", {}), ("c", {"batch_size": 8}))
    )
    for id_ in first.ids:
        assert first[id_].tobytes() == again[id_].tobytes()
        np.testing.assert_allclose(first[id_], fixed[id_], atol=1e-4)


@pytest.fixture
def recorder(monkeypatch, tmp_path):
    """A CPU has graphs, as a GPU has."""
    stand_in = StandIn()
    monkeypatch.setattr(graphs, "recorder_of", lambda device: stand_in)
    # A network on a GPU is not asked whether its numbers are numbers.
    monkeypatch.setattr(clipping, "is_quick", lambda batch: False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return stand_in


@pytest.mark.parametrize("worth", [0, 1e9])
def test_batches_are_replayed_where_that_was_measured_to_be_quicker(
    dataset, config, monkeypatch, tmp_path, recorder, worth
):
    monkeypatch.setattr(growth, "WORTH", worth)
    few = replace(config, batch_size=2)
    store = open_store(extract.run(few, dataset).store)
    trial = (1, TRIALS, graphs.WARM)
    batches = (1, 10 - graphs.WARM, graphs.WARM) if worth == 0 else (0, 0, 0)
    found = (recorder.recorded, recorder.replayed, recorder.apart_)
    assert found == tuple(a + b for a, b in zip(trial, batches, strict=True))
    extract.run(replace(few, out=tmp_path / "again"), dataset)  # not tried again
    again = (recorder.recorded, recorder.replayed, recorder.apart_)
    assert again == tuple(a + b for a, b in zip(found, batches, strict=True))
    monkeypatch.setattr(graphs, "recorder_of", lambda device: None)
    expected = open_store(extract.run(replace(few, out=tmp_path / "usual"), dataset).store)
    for id_ in expected.ids:
        assert store[id_].tobytes() == expected[id_].tobytes()


@pytest.mark.gpu
def test_a_gpu_replays_what_it_would_launch(dataset, config, monkeypatch, tmp_path, gpu):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(growth, "WORTH", 0)
    few = replace(config, device=str(gpu), batch_size=2)
    store = open_store(extract.run(few, dataset).store)
    monkeypatch.setattr(graphs, "recorder_of", lambda device: None)
    expected = open_store(extract.run(replace(few, out=tmp_path / "usual"), dataset).store)
    for id_ in expected.ids:
        np.testing.assert_allclose(store[id_], expected[id_], atol=1e-5)


def test_a_network_that_does_not_fit_at_all_is_refused_in_a_sentence(dataset, config, monkeypatch):
    room_for(monkeypatch, 0, FULL[0])
    with pytest.raises(EgofeatError, match="cpu has no room for a batch of one: choose another"):
        extract.run(config, dataset)


def test_another_error_of_the_network_is_no_lack_of_memory(dataset, config, monkeypatch):
    tried = room_for(monkeypatch, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        extract.run(config, dataset)
    assert tried == [8]


def test_a_detector_looks_at_fewer_frames_where_there_is_no_room_for_all():
    tried = []

    class Network(torch.nn.Module):
        def forward(self, images):
            tried.append(len(images))
            if len(images) > 2:
                raise FULL[0]
            boxes = [torch.tensor([[0.0, 0, image.amax() * 255, 4]]) for image in images]
            return [
                {"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}
                for box in boxes
            ]

    detector = Detector(
        network=Network(),
        weights="random:0",
        threshold=0.5,
        min_size=0,
        device=torch.device("cpu"),
    )
    frames = [torch.full((8, 8, 3), number, dtype=torch.uint8) for number in range(1, 7)]
    for _ in range(2):
        found = detector(frames)
        assert [float(one.corners[0, 2]) * 8 for one in found] == [1, 2, 3, 4, 5, 6]
    assert tried == [6, 3] + [1] * 12


def of_operations() -> tuple:
    return (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)


def precisions() -> list[str]:
    return [operation.fp32_precision for operation in of_operations()]


@pytest.fixture
def asked():
    """A program that wants some of its arithmetic quick."""
    before = precisions()
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    yield precisions()
    for operation, precision in zip(of_operations(), before, strict=True):
        operation.fp32_precision = precision


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="precisions have no names")
def test_arithmetic_is_exact_whatever_a_program_asked_for_and_left_as_it_was(asked):
    with exact():
        assert precisions() == ["ieee"] * 3
        assert torch.backends.cudnn.deterministic
    with exact(tf32=True):
        assert precisions() == ["tf32"] * 3
        assert torch.backends.mkldnn.conv.fp32_precision == "ieee"
    assert precisions() == asked
