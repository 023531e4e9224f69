"""Batches side by side on a processor: the very features of one thread, whatever happens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from egofeat.errors import EgofeatError, RequestError
from egofeat.extract.backbones import Backbone, load
from egofeat.extract.batches import abreast
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.job import plan_jobs
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store

THREADS = 3


@pytest.fixture(scope="module")
def dataset(encoder, tmp_path_factory):
    """Three films, segments of which share views."""
    folder = tmp_path_factory.mktemp("films")
    names = ("a", "b", "c")
    films = {name: Media(encoder(folder / f"{name}.mp4", frames=60)) for name in names}
    spans = [(name, begin) for name in names for begin in (0.0, 0.4, 0.8, 1.2)]
    segments = tuple(Segment(f"{name}{begin}", name, begin, begin + 1) for name, begin in spans)
    return Dataset("mine", films, segments, {})


@pytest.fixture
def several() -> Iterator[None]:
    """As on a machine of three cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    assert torch.get_num_threads() == THREADS
    torch.set_num_threads(before)


@pytest.fixture
def config(config):
    # One thread decodes: where in its batch a view lies may change the last bit.
    return replace(
        config, windows=None, stride=None, fps=None, frames=5, dtype="float32", workers=1
    )


@contextmanager
def in_turn() -> Iterator[None]:
    """Have this thread run the batches; weights are made by as many threads as otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 1)
        yield
    torch.set_num_threads(THREADS)


def features_of(store: str | Path) -> dict[str, bytes]:
    rows = open_store(store)
    return {id_: rows[id_].tobytes() for id_ in rows.ids}


def meeting(monkeypatch, number: int) -> set[str]:
    """Have so many forwards wait for each other; names of the threads that ran any."""
    run, gate, names = Backbone.__call__, threading.Barrier(number), set[str]()

    def wait(backbone: Backbone, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if len(names) < number:
            names.add(threading.current_thread().name)
            gate.wait(timeout=60)
        return run(backbone, batch)

    monkeypatch.setattr(Backbone, "__call__", wait)
    return names


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3},
        {"backbone": "tv:resnet18", "taps": ("layer1",), "crops": 3},
        {"backbone": "slow_4x16_r50", "batch_size": 1, "frames": None, "clips": 2, "size": 64},
        {
            "backbone": "s3d",
            "batch_size": 1,
            "frames": None,
            "clips": 1,
            "clip_frames": 16,
            "size": 64,
        },
    ],
    ids=["images", "padded", "crops", "clips", "separable"],
)
def test_features_are_those_of_one_thread_to_the_last_bit(
    dataset, config, tmp_path, several, monkeypatch, options
):
    options = {"backbone": "mobilenetv2", **options}
    with in_turn():
        alone = replace(config, out=tmp_path / "alone", **options)
        expected = features_of(extract.run(alone, dataset).store)
    names = meeting(monkeypatch, THREADS)
    store = extract.run(replace(config, **options), dataset).store
    assert len(names) == THREADS
    assert features_of(store) == expected


def test_several_networks_share_the_threads(dataset, config, tmp_path, several, monkeypatch):
    asked = for_each(config, ["mobilenetv2", "tv:resnet18"])
    alone = []
    for one in asked:
        with in_turn():
            alone.append(extract.run(replace(one, out=tmp_path / "o"), dataset).store)
    names = meeting(monkeypatch, THREADS)
    stores = [one.store for one in extract.run_jobs(plan_jobs(asked, dataset), asked[0]).stores]
    assert len(names) == THREADS
    assert [*map(features_of, stores)] == [*map(features_of, alone)]


def test_networks_of_others_run_one_at_a_time(dataset, config, several, monkeypatch):
    pytest.importorskip("timm")
    names = meeting(monkeypatch, 1)
    extract.run(replace(config, backbone="timm:mobilenetv3_small_050"), dataset)
    assert names == {threading.main_thread().name}
    of_package = load("mobilenetv2", "random")
    assert of_package.is_reentrant
    assert not replace(of_package, spec=replace(of_package.spec, package="x 1.0")).is_reentrant


@pytest.mark.parametrize(("room", "number"), [(0.9, 1), (1.1, 1), (2.1, 2), (100, THREADS)])
def test_there_are_no_more_at_once_than_memory_has_room_for(
    dataset, config, several, monkeypatch, room, number
):
    (job,) = plan_jobs([config], dataset)
    size = 4 * 8 * 4 * job.backbone.outline(32).largest
    monkeypatch.setattr(abreast, "free_memory", lambda: int(room * size))
    names = meeting(monkeypatch, number)
    extract.run(config, dataset)
    assert len(names) == number


def test_a_batch_is_no_larger_than_memory_has_room_for(dataset, config, monkeypatch):
    (job,) = plan_jobs([config], dataset)
    monkeypatch.setattr(
        abreast, "free_memory", lambda: 100 * 4 * 4 * job.backbone.outline(32).largest
    )
    sizes, run = set[int](), Backbone.__call__

    def note(backbone: Backbone, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        sizes.add(len(batch))
        return run(backbone, batch)

    monkeypatch.setattr(Backbone, "__call__", note)
    extract.run(replace(config, batch_size=100_000), dataset)
    assert sizes == {100}


def test_cores_beyond_those_that_python_feeds_share_layers_out(
    dataset, config, several, monkeypatch
):
    monkeypatch.setattr(abreast, "MOST", 1)
    shares, run = set[int](), Backbone.__call__

    def note(backbone: Backbone, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        shares.add(torch.get_num_threads())
        return run(backbone, batch)

    monkeypatch.setattr(Backbone, "__call__", note)
    extract.run(config, dataset)
    assert shares == {THREADS}


@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_without_room_is_halved_by_whoever_runs_it(
    dataset, config, several, monkeypatch, capsys, tmp_path, most
):
    expected = open_store(extract.run(replace(config, out=tmp_path / "o"), dataset).store)
    capsys.readouterr()
    run = Backbone.__call__

    def full(backbone: Backbone, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if len(batch) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return run(backbone, batch)

    monkeypatch.setattr(Backbone, "__call__", full)
    store = open_store(extract.run(config, dataset).store)
    assert capsys.readouterr().err.count("has no room for a batch of 8") == 1
    assert sorted(store.ids) == sorted(expected.ids)
    for id_ in expected.ids:
        np.testing.assert_allclose(store[id_], expected[id_], atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [RequestError("the network refuses it"), EgofeatError("cpu has no room"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_what_a_thread_cannot_do_ends_the_run_and_is_made_afterwards(
    dataset, config, several, monkeypatch, tmp_path, error
):
    expected = features_of(extract.run(replace(config, out=tmp_path / "o"), dataset).store)
    run, calls = Backbone.__call__, iter(range(100))

    def fail(backbone: Backbone, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if next(calls) == 3:
            raise error
        return run(backbone, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "__call__", fail)
        with pytest.raises(type(error)) as raised:
            extract.run(config, dataset)
        assert str(raised.value) == str(error)
    assert not [one for one in threading.enumerate() if one.name.startswith("network")]
    found = features_of(extract.run(config, dataset).store)
    assert found == expected


def test_the_arithmetic_of_torch_is_set_back(dataset, config, several):
    torch.backends.cudnn.benchmark = True
    try:
        extract.run(config, dataset)
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False


@pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed")
def test_openvino_has_a_stream_for_each_thread(dataset, config, several, monkeypatch, tmp_path):
    config = replace(config, engine="openvino")
    names = meeting(monkeypatch, THREADS)
    found = open_store(extract.run(config, dataset).store)
    assert len(names) == THREADS
    with in_turn():
        expected = open_store(extract.run(replace(config, out=tmp_path / "o"), dataset).store)
    for id_ in expected.ids:
        np.testing.assert_allclose(found[id_], expected[id_], rtol=1e-5, atol=1e-6)
