"""Work that is recorded once and replayed, with a stand-in for a GPU's graphs."""

from contextlib import nullcontext

import pytest
import torch
from tests.recorder import StandIn

from egofeat.graphs import WARM, CudaRecorder, Replayed, recorder_of


def doubled(inputs):
    return {"twice": 2 * inputs[0]}


def test_a_cpu_has_no_graphs():
    assert recorder_of(torch.device("cpu")) is None


def test_it_is_recorded_once_and_other_shapes_are_worked_on_as_ever():
    recorder, notes = StandIn(), []
    work = Replayed(doubled, recorder, notes.append)
    for number in range(WARM + 5):
        rows = 2 if number % 4 == 3 else 3
        given = torch.full((rows,), float(number))
        assert torch.equal(work(given)["twice"], 2 * given)
    assert (recorder.recorded, recorder.apart_) == (1, WARM + 2)
    assert recorder.replayed == 3
    assert not notes


def test_what_cannot_be_recorded_is_said_once_and_done():
    recorder, notes = StandIn(), []
    work = Replayed(lambda inputs: float(inputs[0].sum()), recorder, notes.append)
    for number in range(WARM + 5):
        assert work(torch.full((2,), float(number))) == 2 * number
    (note,) = notes
    assert "one by one" in note
    assert "_local_scalar_dense" in note


def test_the_reason_that_is_said_is_the_first_one():
    class Failing(StandIn):
        def record(self, work):
            try:
                return super().record(work)
            finally:
                raise RuntimeError("failed due to a previous error")

    notes = []
    work = Replayed(lambda inputs: float(inputs[0].sum()), Failing(), notes.append)
    for _ in range(WARM + 2):
        work(torch.ones(2))
    assert "_local_scalar_dense" in notes[0]


def test_a_recording_that_fails_leaves_the_stream_as_it_was(monkeypatch):
    """As in `torch.cuda.graph`, whose end raises before it goes back to the stream before."""
    current = ["usual"]

    class Entered:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            self.before, current[0] = current[0], self.stream

        def __exit__(self, *_):
            current[0] = self.before

    class Graph(Entered):
        def __init__(self, graph, stream, **_):
            super().__init__(stream)

        def __exit__(self, *_):
            raise RuntimeError("the recording is void")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "own")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[0])
    monkeypatch.setattr(torch.cuda, "stream", Entered)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    with pytest.raises(RuntimeError, match="void"):
        CudaRecorder(torch.device("cuda", 0)).record(lambda: None)
    assert current == ["usual"]


@pytest.mark.gpu
def test_after_a_recording_that_failed_a_gpu_works_on(gpu):
    notes = []

    def dropped(inputs):
        return torch.nn.functional.dropout(inputs[0], 0.5), float(inputs[0].sum())

    work = Replayed(dropped, recorder_of(gpu), notes.append)
    for _ in range(WARM + 5):
        kept, total = work(torch.ones(1000, device=gpu))
        assert total == 1000
        assert 300 < int((kept > 0).sum()) < 700
    assert len(notes) == 1
    assert torch.cuda.current_stream(gpu) == torch.cuda.default_stream(gpu)
    torch.cuda.empty_cache()
    again = Replayed(doubled, recorder_of(gpu), pytest.fail)
    for number in range(WARM + 3):
        given = torch.full((3,), float(number), device=gpu)
        assert torch.equal(again(given)["twice"], 2 * given)


@pytest.mark.gpu
def test_a_gpu_replays(gpu):
    work = Replayed(doubled, recorder_of(gpu), pytest.fail)
    for number in range(WARM + 3):
        given = torch.full((3,), float(number), device=gpu)
        assert torch.equal(work(given)["twice"], 2 * given)
