"""Seeds by processes, a thread each: the same runs as those of one process, to the bits."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from egofeat import console
from egofeat.engines.local import Processes
from egofeat.errors import EgofeatError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.training import apart
from egofeat.pipelines.training.fit import FitConfig
from egofeat.pipelines.training.seeds import fit_seeds

QUICK = TrainerConfig(epochs=4, lr=0.02, device="cpu", seed=2, batch_size=4)
HEADS = {"linear": {"dropout": "0.3"}, "lstm": {"hidden": 8}}
"""Stacked in families, and in turn."""
CHANGING = ("config.yaml", "metrics.json", "SHA256SUMS")
"""Hold times, or the folder's name."""


@pytest.fixture
def cores():
    """Two for this process, and work that is always worth others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "START_S", 0.0)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        yield patch
        torch.set_num_threads(before)


@pytest.fixture(params=HEADS)
def config(request, verb_noun_store, tmp_path):
    return FitConfig(
        head=request.param,
        store=verb_noun_store(),
        targets=("verb",),
        options=HEADS[request.param],
        out=tmp_path / "here",
        trainer=QUICK,
        seeds=4,
    )


def files_of(run):
    return {
        path.name: path.read_bytes()
        for path in run.path.iterdir()
        if path.name not in CHANGING and path.suffix != ".png"
    }


@pytest.mark.slow
def test_processes_make_what_one_makes_and_what_was_killed_goes_on(config, cores, tmp_path, capsys):
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "START_S", 1e9)
        here = fit_seeds(config, on_epoch=told.append, shown=True)
    capsys.readouterr()
    assert torch.get_num_threads() == 2
    there, heard = replace(config, out=tmp_path / "there"), []

    def end(record):
        heard.append(record)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_seeds(there, on_epoch=end)
    others = fit_seeds(there, on_epoch=heard.append, shown=True)
    for one, other in zip(here.runs, others.runs, strict=True):
        assert files_of(one) == files_of(other)
        assert one.evaluation.metrics == other.evaluation.metrics
        assert [path.name for path in one.evaluation.pictures] == [
            path.name for path in other.evaluation.pictures
        ]
        assert (other.path / "confusion-verb.png").exists()
    said = json.loads(json.dumps(others.to_dict()))
    assert said["mean"] == here.to_dict()["mean"]
    keys = [sorted((one["iteration"], one["train/loss"]) for one in of) for of in (told, heard)]
    assert set(keys[1]) <= set(keys[0])
    assert "training" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("config", ["linear"], indirect=True)
def test_what_processes_meet_is_told_as_by_one(config, cores, tmp_path):
    spoilt = replace(config, trainer=replace(QUICK, lr=1e30, clip_norm=0))
    with pytest.raises(EgofeatError, match=r"^seeds 2, 3, 4, 5 have no run; of seed 2, the"):
        fit_seeds(spoilt)
    assert not config.out.exists()
    (config.out / "seed3").mkdir(parents=True)

    def end(record):
        raise KeyboardInterrupt

    config = replace(config, trainer=replace(QUICK, epochs=10_000))  # none ends before it is told
    with pytest.raises(KeyboardInterrupt):
        fit_seeds(config, on_epoch=end)
    checkpoint = next(config.out.glob("*/checkpoint.safetensors"))
    history = checkpoint.with_name("history.csv")
    whole = history.read_bytes()
    for damaged in (b"a\nb\n" + whole, whole.replace(b",", b"\xff")):
        history.write_bytes(damaged)
        with pytest.raises(EgofeatError, match=r"history\.csv does not fit its checkpoint"):
            fit_seeds(config)
    history.write_bytes(whole)
    checkpoint.write_bytes(b"torn")
    with pytest.raises(EgofeatError, match=r"is not a checkpoint of this head .* remove it to"):
        fit_seeds(config)


@pytest.mark.parametrize("config", ["lstm"], indirect=True)
def test_as_many_processes_as_have_room_and_none_for_little_work(config, cores, monkeypatch):
    said, asked = [], []

    def fit(configs, left, examples, crew, *rest):
        asked.append(crew)
        raise EgofeatError("enough")

    monkeypatch.setattr(console, "note", said.append)
    monkeypatch.setattr(console, "_noted", set())
    monkeypatch.setattr("egofeat.pipelines.training.fit.fit_apart", fit)
    for free, cores_there in ((1 << 40, 2), (1 << 40, 3), (1 << 40, 16), (2500 << 20, 16)):
        monkeypatch.setattr(apart, "free_memory", lambda free=free: free)
        torch.set_num_threads(cores_there)
        with pytest.raises(EgofeatError, match="enough"):
            fit_seeds(config)
    assert asked == [2, 3, 4, 3]
    assert said == ["3 processes train 4 seeds: there is no free memory for 4"]
    monkeypatch.setattr(apart, "START_S", 1e9)
    assert len(fit_seeds(config).runs) == 4
    assert len(asked) == 4


SCRIPT = """
import torch
from egofeat.pipelines.training import apart
from egofeat.pipelines.training.options import FitConfig
from egofeat.heads import TrainerConfig
from egofeat.pipelines.training.seeds import fit_seeds
from pathlib import Path
print("begun", flush=True)
torch.set_num_threads(2)
apart.START_S = 0.0
config = FitConfig(head="lstm", store={store!r}, targets=("verb",), out=Path({out!r}), seeds=2,
                   trainer=TrainerConfig(epochs={epochs}, device="cpu", batch_size=4, patience=0))
fit_seeds(config)
print("done")
"""


def script(path, config, epochs):
    store = config.store if isinstance(config.store, (tuple, list)) else (config.store,)
    text = SCRIPT.format(store=tuple(map(str, store)), out=str(config.out), epochs=epochs)
    path.write_text(text.replace("store=(", "store=tuple(map(Path, (").replace(",), t", ",))), t"))
    return [sys.executable, str(path)]


@pytest.mark.slow
@pytest.mark.parametrize("config", ["lstm"], indirect=True)
def test_a_script_needs_no_guard(config, tmp_path):
    words = script(tmp_path / "mine.py", config, 2)
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["begun", "done"]


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("config", ["lstm"], indirect=True)
def test_no_process_is_left_of_one_that_is_killed(config, tmp_path, how):
    with subprocess.Popen(script(tmp_path / "mine.py", config, 10**6)) as process:
        deadline = time.monotonic() + 300
        while len(list(config.out.glob("*/checkpoint.safetensors"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        children = children_of(process.pid)
        assert len(children) >= 2
        process.send_signal(how)
        process.wait()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline + 60
        time.sleep(0.2)


def test_a_process_without_the_script_leaves_it_as_it_was():
    main = sys.modules["__main__"]
    before = dict(vars(main))
    engine = Processes(["cpu"], script=False)
    worker = engine.start(print, engine.seats()[0])
    assert vars(main) == before
    while not worker.ended():
        time.sleep(0.05)
    assert worker.failure() == ""
