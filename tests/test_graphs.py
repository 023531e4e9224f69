"""Work that is recorded once and replayed, with a stand-in for a GPU's graphs."""

import pytest
import torch
from tests.recorder import StandIn

from egofeat.graphs import WARM, Replayed, recorder_of


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


@pytest.mark.gpu
def test_a_gpu_replays(gpu):
    work = Replayed(doubled, recorder_of(gpu), pytest.fail)
    for number in range(WARM + 3):
        given = torch.full((3,), float(number), device=gpu)
        assert torch.equal(work(given)["twice"], 2 * given)
