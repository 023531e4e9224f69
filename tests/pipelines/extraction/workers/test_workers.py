"""Workers in other processes: the same store whoever makes it, whoever dies."""

import builtins
import logging
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.errors import RequestError
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import progress_of, verify

DEADLY = """
import os, sys
def die(event, args):
    if event == "open" and str(args[0]).endswith("deadly.mp4"):
        os._exit(3)
sys.addaudithook(die)
"""
"""A `sitecustomize` by which a process that opens one of the videos dies without a word."""


@pytest.fixture(scope="module")
def films(encoder, tmp_path_factory):
    """Six films, a shard each."""
    folder = tmp_path_factory.mktemp("films")
    options = {"x264-params": "keyint=12:log-level=none"}
    names = ["a", "b", "c", "d", "e", "deadly"]
    return [encoder(folder / f"{name}.mp4", frames=50, options=options) for name in names]


@pytest.fixture
def dataset(films):
    segments = tuple(
        Segment(f"{film.stem}{k}", film.stem, k * 0.02, k * 0.02 + 0.5)
        for film in films
        for k in range(70)
    )
    return Dataset("mine", {film.stem: Media(film) for film in films}, segments, {})


@pytest.fixture
def config(tmp_path):
    return ExtractConfig(
        out=tmp_path / "features", weights="random", frames=2, size=32, batch_size=8, workers=1
    )


def process_wide() -> tuple[object, ...]:
    """What others in this process find, whoever has worked in it."""
    handlers = list(logging.getLogger("submitit").handlers)
    ends = signal.getsignal(signal.SIGTERM), os.environ.get("PYTHONBREAKPOINT")
    return builtins.print, sys.stdout, sys.stderr, ends, handlers


def bytes_of(store: str | Path) -> dict[str, bytes]:
    found = Path(store)
    files = (path for path in sorted(found.rglob("*")) if path.is_file())
    return {path.relative_to(found).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def alone(dataset, config, tmp_path):
    """What one process makes."""
    report = extract.run(replace(config, out=tmp_path / "alone", device="cpu"), dataset)
    assert (report.extracted, report.failed) == (420, 0)
    return bytes_of(report.store)


WORKERS = [
    {"devices": ("cpu", "cpu")},
    pytest.param({"ray": "local,workers=2,cpus=0.5"}, marks=pytest.mark.slow),
    {"slurm": "cluster=local,nodes=2,time=5"},
]


@pytest.mark.parametrize("workers", WORKERS, ids=["processes", "ray", "slurm"])
def test_workers_make_what_one_process_makes_but_for_what_kills_them(
    dataset, config, alone, workers, tmp_path, monkeypatch, capfd
):
    if "ray" in workers:
        pytest.importorskip("ray")
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    before = process_wide()
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
        report = extract.run(replace(config, **workers), dataset)
    assert process_wide() == before
    said = capfd.readouterr().err
    assert (report.extracted, report.failed) == (350, 70), said
    other = replace(config, frames=3)
    assert extract.forecast(replace(other, **workers), dataset).seconds
    assert extract.forecast(replace(other, device="cpu"), dataset).seconds is None
    failures = progress_of(Path(report.store)).failures
    assert {(one.video, one.cause) for one in failures} == {("deadly", "damaged")}
    assert {one.reason for one in failures if "2 workers died" not in one.reason} == set()
    assert "died" in said
    again = extract.run(replace(config, retry_failed=True, device="cpu"), dataset)
    assert (again.extracted, again.failed) == (70, 0)
    made = bytes_of(report.store)
    told = {name: made.pop(name) for name in list(made) if name.startswith("failures-")}
    assert not any(told.values())
    if "devices" not in workers:  # whose processor it is, each shard says
        made.pop("store.json")
        alone.pop("store.json")
    assert made == alone
    assert verify(Path(report.store)) == []


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu")], ids=len)
def test_reasons_are_summed_up_without_the_paths_of_videos(config, tmp_path, monkeypatch, devices):
    monkeypatch.chdir(tmp_path)
    films = [Path("films") / f"{name}.mp4" for name in ("one", "two")]
    films[0].parent.mkdir()
    for film in films:
        film.write_bytes(b"torn")
    segments = tuple(Segment(film.stem, film.stem) for film in films)
    broken = Dataset("mine", {film.stem: Media(film) for film in films}, segments, {})
    (found,) = extract.run(replace(config, devices=devices), broken).failures
    assert found.reason.startswith("cannot be opened as video (")
    assert list(found.videos) == ["one", "two"]


def test_options_of_workers_that_do_not_go_together_are_refused(config, dataset):
    with pytest.raises(RequestError, match="exclude each other"):
        replace(config, devices=("cpu", "cpu"), ray="auto")
    for wrong, words in (
        ({"devices": ("cuda:97", "cpu")}, "not available"),
        ({"devices": ("all", "cpu")}, "alone"),
        ({"devices": ("cpu", "cpu"), "device": "cpu"}, "leave it out"),
        ({"devices": ("cpu",), "device": "cpu"}, "leave it out"),
        ({"slurm": "nodes"}, "name=value"),
        ({"slurm": "cluster=local,nodes=0"}, "nodes=0: give a whole number, 1 or more"),
        ({"slurm": "cluster=local,time=abc"}, "time=abc: give a whole number, 1 or more"),
        ({"slurm": "cluster=local,cpus=1,cpus=2"}, "cpus twice"),
        ({"ray": "auto,gpus=many"}, "gpus=many: give 0 or more"),
        ({"ray": "auto,workers=1.5"}, "workers=1.5: give 1 or more"),
        ({"ray": "auto,cpus=inf"}, "cpus=inf: give more than 0"),
        ({"ray": "auto,cpu=1"}, "choose gpus, cpus or workers"),
    ):
        with pytest.raises(RequestError, match=words):
            extract.run(replace(config, **wrong), dataset)


PROCESS = """
import os, pickle, sys
from egofeat.pipelines.extraction import extract
def die(event, of):
    if event == "open" and str(of[0]).endswith(".mp4"):
        os._exit(9)
if sys.argv[2:]:
    sys.addaudithook(die)
report = extract.run(*pickle.load(open(sys.argv[1], "rb")))
print(report.extracted, report.failed)
"""


def begin(config, dataset, tmp_path, *deadly) -> subprocess.Popen[str]:
    """Begin an extraction in a process of its own; a deadly one dies as it opens a video."""
    asked = tmp_path / "asked.pickle"
    asked.write_bytes(pickle.dumps((config, dataset)))
    words = [sys.executable, "-c", PROCESS, str(asked), *deadly]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_part_takes_over_what_a_killed_part_left(dataset, config, alone, tmp_path, capfd):
    split = replace(config, device="cpu", part=(2, 2))
    killed = begin(split, dataset, tmp_path, "deadly")
    assert (killed.communicate()[0], killed.returncode) == ("", 9)
    report = extract.run(replace(split, part=(1, 2)), dataset)
    assert (report.segments, report.failed) == (210, 0)
    assert "part 2/2 has ended early: it is done here" in capfd.readouterr().err
    assert bytes_of(report.store) == alone
    idle = extract.run(split, dataset)
    assert (idle.extracted, idle.skipped) == (0, 210)


def test_a_part_with_nothing_left_takes_over_too(dataset, config, alone, tmp_path, capfd):
    split = replace(config, device="cpu", part=(2, 2))
    first = extract.run(replace(split, part=(1, 2)), dataset)
    killed = begin(split, dataset, tmp_path, "deadly")
    assert (killed.communicate()[0], killed.returncode) == ("", 9)
    again = extract.run(replace(split, part=(1, 2)), dataset)
    assert (again.extracted, again.skipped) == (0, 210)
    assert "part 2/2 has ended early: it is done here" in capfd.readouterr().err
    assert bytes_of(first.store) == alone


def test_a_script_that_starts_itself_again_is_told_of_its_guard(dataset, config, tmp_path):
    asked = tmp_path / "asked.pickle"
    asked.write_bytes(pickle.dumps((replace(config, devices=("cpu", "cpu")), dataset)))
    script = tmp_path / "script.py"
    script.write_text(PROCESS)
    words = [sys.executable, str(script), str(asked)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 'under `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]
    assert (
        ended.stderr.count("Traceback") == 1
    )  # that of the script itself, which does not catch it


def test_the_same_command_on_several_machines_shares_the_work(dataset, config, alone, tmp_path):
    """Each waits for what the other has."""
    longer = replace(config, device="cpu")
    both = [begin(longer, dataset, tmp_path) for _ in range(2)]
    said = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(int(extracted) for extracted, _ in said) == 420
    (store,) = config.out.glob("*/*")
    assert bytes_of(store) == alone
