import csv
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from egofeat.cli import app
from egofeat.console import say_all
from egofeat.errors import EgofeatError, RequestError, WeightsError
from egofeat.extract import persons
from egofeat.extract.backbones import BACKBONES, load, mobilenetv2
from egofeat.extract.detection import Detection
from egofeat.pipelines.bench import backbones as bench_backbones_module
from egofeat.pipelines.bench import speed as bench_speed
from egofeat.pipelines.bench.backbones import (
    BackboneBench,
    BackboneRow,
    bench_backbones,
)
from egofeat.pipelines.bench.speed import Speed, host_peak_bytes, measure, measure_apart
from egofeat.pipelines.options import read_views

pytestmark = pytest.mark.drawn


def job(**changes: object) -> BackboneBench:
    fields = {"device": "cpu", "size": 32, "batch_size": 2, "seconds": 0.0}
    return BackboneBench(**{"backbones": ("mobilenetv2",), **fields, **changes})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """MobileNetV2 at its own size, and one that no other process knows."""
    patch = pytest.MonkeyPatch()
    patch.setitem(BACKBONES.own, "known_here_alone", mobilenetv2.FAMILY["mobilenetv2"])
    config = BackboneBench(
        backbones=("known_here_alone", "mobilenetv2", "mobilenetv2"),
        device="cpu",
        seconds=0.0,
        published=True,
        out=tmp_path_factory.mktemp("bench"),
    )
    yield bench_backbones(config)
    patch.undo()


def test_a_row_holds_cost_speed_memory_and_accuracy(report):
    row: BackboneRow = report.rows[1]
    assert row.reason == ""
    assert row.parameters == 3_504_872
    assert row.multiply_adds_view == row.multiply_adds_run
    assert row.multiply_adds_view == pytest.approx(0.3e9, rel=0.01)
    assert row.batch & (row.batch - 1) == 0
    assert row.ms_view * row.views_per_second == pytest.approx(1000)
    assert row.seconds_run == pytest.approx(row.ms_view / 1000)
    assert row.device_peak_bytes is None
    assert 50e6 < row.host_peak_bytes < 5e9
    assert row.accuracy_per_million_parameters == pytest.approx(71.878 / 3.504872)
    assert row.accuracy_per_giga_multiply_adds == pytest.approx(
        71.878 / (row.multiply_adds_run / 1e9)
    )


def test_a_backbone_that_fails_is_a_row_with_its_reason(report):
    failed, measured = report.rows
    assert "known_here_alone" in failed.reason
    assert failed.multiply_adds_view == measured.multiply_adds_view
    assert failed.ms_view is None


def test_what_is_written_is_what_is_reported(report):
    table, whole, by_batch, *pictures = map(Path, report.files)
    batches = list(csv.DictReader(by_batch.read_text().splitlines()))
    assert {row["backbone"] for row in batches} == {"mobilenetv2"}
    assert [int(row["batch"]) for row in batches][:2] == [1, 2]
    assert max(float(row["views_per_second"]) for row in batches) == pytest.approx(
        report.rows[1].views_per_second
    )
    assert {picture.name for picture in pictures} == {
        "accuracy_against_cost.png",
        "accuracy_per_parameter.png",
        "accuracy_against_throughput.png",
    }
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["backbone"] for row in rows] == ["known_here_alone", "mobilenetv2"]
    assert float(rows[1]["ms_view"]) == report.rows[1].ms_view
    saved = json.loads(whole.read_text())
    assert saved["rows"][1]["host_peak_bytes"] == report.rows[1].host_peak_bytes
    assert saved["files"] == list(report.files)
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.format == "PNG"


def test_the_tables_fit_80_columns(report, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    say_all(report.lines())
    said = capsys.readouterr().out
    table = said[: said.index(report.files[0])].splitlines()
    assert max(map(len, table)) <= 80
    assert any("3.50 M" in line and "300.8 M" in line for line in table)
    assert any("non-local R101" in line and "10.8 T" in line for line in table)
    assert any("I3D and flow, ImageNet" in line and "216 G" in line for line in table)
    assert any("R(2+1)D-152, IG-65M, of" in line and "8.06 T" in line for line in table)
    assert any("71.9" in line and "top-1, ImageNet-1k" in line for line in table)


@pytest.fixture
def _nothing_runs(monkeypatch):
    """Everything but the speed is there at once."""

    def refuse(config: BackboneBench):
        raise EgofeatError(f"{config.backbones[0]} cannot be measured")

    monkeypatch.setattr(bench_backbones_module, "measure_apart", refuse)


@pytest.mark.usefixtures("_nothing_runs")
def test_slowfast_costs_what_the_reference_costs(tmp_path, capsys):
    names = ("slowfast_8x8_r50", "slowfast_nln_16x8_r101")
    report = bench_backbones(BackboneBench(backbones=names, device="cpu", out=tmp_path))
    small, large = report.rows
    assert f"{small.multiply_adds_view / 1e9:.2f}" == "65.71"
    assert f"{large.multiply_adds_view / 1e9:.1f}" == "242.0"
    assert f"{small.multiply_adds_published / 1e9:.1f}" == "65.7"
    assert large.multiply_adds_published == 234e9
    assert (large.clips, large.crops, large.frames, large.size) == (10, 3, 64, 256)
    assert large.multiply_adds_run == 30 * large.multiply_adds_view
    assert large.accuracy == 79.8
    assert small.reason == "slowfast_8x8_r50 cannot be measured"
    say_all(report.lines())
    said = capsys.readouterr().out
    assert "slowfast_nln_16x8_r101: fewer multiply-adds published than counted" in said


@pytest.mark.usefixtures("_nothing_runs")
def test_any_classifier_of_torchvision_has_a_row(tmp_path):
    config = BackboneBench(backbones=("tv:resnet18",), device="cpu", out=tmp_path)
    (row,) = bench_backbones(config).rows
    assert row.parameters == 11_689_512
    assert row.multiply_adds_view == pytest.approx(1.814e9, rel=0.01)


@pytest.mark.usefixtures("_nothing_runs")
def test_a_variant_is_called_by_family_and_digest_wherever_its_file_is(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("family: slowfast\nwidth: 16\ndepth: [1, 1, 1, 1]\n")
    described = (str(tmp_path / "mine.yaml"),)
    (row,) = bench_backbones(BackboneBench(backbones=described, device="cpu", out=tmp_path)).rows
    assert re.fullmatch(r"variant:slowfast-\w{8}", row.backbone)
    written = list(csv.DictReader((tmp_path / "backbones.csv").read_text().splitlines()))
    assert written[0]["backbone"] == row.backbone
    with pytest.raises(RequestError, match=f"{row.backbone} has no tap 'gap': choose from"):
        load(described[0], "random", ["gap"])
    with pytest.raises(WeightsError, match=f"nobody has published weights of {row.backbone}"):
        load(described[0])


@pytest.mark.usefixtures("_nothing_runs")
def test_the_detector_of_persons_has_a_row(tmp_path):
    config = BackboneBench(backbones=(persons.NAME,), device="cpu", out=tmp_path)
    (row,) = bench_backbones(config).rows
    assert row.parameters == 43_712_278
    assert (row.frames, row.size, row.clips, row.crops) == (1, 800, 1, 1)
    # Torchvision's own count, to all of its digits.
    assert f"{row.multiply_adds_view / 1e9:.3f}" == "280.371"
    assert (row.accuracy, row.measure) == (46.7, "box mAP, COCO")


class Detects(nn.Module):
    """What `egofeat persons` calls, and how many frames it was called with."""

    def __init__(self):
        super().__init__()
        self.rpn = SimpleNamespace(nms_thresh=0.7)
        self.seen = []

    def forward(self, images_NCHW):
        self.seen.append(tuple(images_NCHW.shape))
        return []


def test_the_detector_looks_at_batches_of_frames_as_it_does_for_persons(monkeypatch):
    network = Detects()
    monkeypatch.setattr(persons, "load", lambda *_, **__: SimpleNamespace(network=network))
    (speed,) = measure(job(backbones=(persons.NAME,)))
    assert speed.batch == 2
    assert set(network.seen) == {(2, 3, 800, 800)}
    for changes in ({"precision": "bf16"}, {"engine": "openvino"}):
        with pytest.raises(EgofeatError, match="leave out `precision` and `engine`"):
            list(measure(job(backbones=(persons.NAME,), **changes)))


@pytest.mark.slow
def test_the_detector_with_random_weights_looks_at_as_many_places_as_is_counted(monkeypatch):
    proposed = []
    own = Detection._detections
    monkeypatch.setattr(
        Detection,
        "_detections",
        lambda self, maps, boxes, size: (
            proposed.extend(map(len, boxes)) or own(self, maps, boxes, size)
        ),
    )
    list(measure(job(backbones=(persons.NAME,), batch_size=1)))
    assert set(proposed) == {1000}


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize("changes", [{"size": 64}, {"views": (2, 3)}])
def test_an_accuracy_belongs_to_its_views_and_size(changes, tmp_path):
    config = BackboneBench(backbones=("mobilenetv2",), device="cpu", out=tmp_path, **changes)
    report = bench_backbones(config)
    (row,) = report.rows
    assert row.accuracy is None
    assert row.multiply_adds_run == row.clips * row.crops * row.multiply_adds_view
    assert all(file.endswith((".csv", ".json")) for file in report.files), (
        "there is nothing to draw"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbones": ("mobilenetv2", "resnet")}, "no backbone 'resnet'"),
        ({"precision": "int4"}, "`precision` is int4: choose float32, tf32, fp16 or bf16"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"clip_frames": -1}, "`clip_frames` is -1"),
        ({"seconds": -1.0}, "`seconds` is -1"),
        ({"device": "tpu"}, "the device 'tpu'"),
    ],
)
def test_a_wrong_request_is_refused_first(changes, sentence, tmp_path):
    config = {"backbones": ("mobilenetv2",), "out": tmp_path / "o", **changes}
    with pytest.raises(RequestError, match=sentence):
        bench_backbones(BackboneBench(**config))
    assert not (tmp_path / "o").exists()


def test_views_are_clips_by_crops():
    assert read_views("10x3") == (10, 3)
    assert read_views("1×1") == (1, 1)
    for text in ("10", "0x3", "3x", "axb"):
        with pytest.raises(RequestError, match="`views`"):
            read_views(text)


def test_batches_double_until_none_is_faster(monkeypatch):
    seconds = iter([1.0, 1.5, 2.0, 4.0, 8.0])
    monkeypatch.setattr(bench_speed, "median_seconds", lambda *_: next(seconds))
    assert [speed.batch for speed in measure(job(batch_size=None))] == [1, 2, 4, 8]


def test_a_fixed_batch_is_the_only_one():
    (speed,) = measure(job(batch_size=3))
    assert speed.batch == 3
    assert speed.seconds > 0


def test_batches_end_where_memory_does(monkeypatch):
    def full_at(most):
        def median_seconds(run, *_):
            if len(run.args[0]) > most:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return 1.0

        return median_seconds

    monkeypatch.setattr(bench_speed, "median_seconds", full_at(2))
    assert [speed.batch for speed in measure(job(batch_size=None))] == [1, 2]
    monkeypatch.setattr(bench_speed, "median_seconds", full_at(0))
    with pytest.raises(EgofeatError, match="no room for a batch of 2"):
        list(measure(job()))


def test_another_fault_is_not_taken_for_want_of_memory(monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(bench_speed, "median_seconds", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(measure(job()))


def test_a_clip_network_is_given_clips(monkeypatch):
    seen = []
    monkeypatch.setattr(
        bench_speed, "median_seconds", lambda run, *_: seen.append(run.args[0].shape) or 1.0
    )
    list(measure(job(backbones=("slow_4x16_r50",), clip_frames=2)))
    assert seen == [(2, 3, 2, 32, 32)]


def test_the_peak_is_known_without_proc(monkeypatch):
    here = host_peak_bytes()
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert host_peak_bytes() == pytest.approx(here, rel=0.5)


def test_peaks_are_the_childs_own():
    ballast = torch.zeros(200_000_000)
    (speed,) = measure_apart(job())
    here = psutil.Process().memory_info().rss
    assert speed.host_peak_bytes < here - ballast.nbytes / 2
    assert not measuring(psutil.Process())


def killed_after_two(_: BackboneBench) -> Iterator[Speed]:
    """Measure as a process that the system kills for its memory."""
    for _ in range(2):
        yield Speed(batch=4, seconds=1.0, host_peak_bytes=1, device_peak_bytes=None)
    os.kill(os.getpid(), signal.SIGKILL)


def ended_by_itself(_: BackboneBench) -> Iterator[Speed]:
    """The same, where something in it ends the process."""
    os._exit(3)
    yield from ()


def killed_at_once(_: BackboneBench) -> Iterator[Speed]:
    """The same, before anything was measured."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield from ()


@pytest.fixture
def _forked(monkeypatch):
    """Children that end as they begin need not import anything."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)


forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@forks
@pytest.mark.usefixtures("_forked")
def test_what_was_measured_before_the_end_is_kept(monkeypatch):
    monkeypatch.setattr(bench_speed, "measure", killed_after_two)
    assert [speed.batch for speed in measure_apart(job())] == [4, 4]


@forks
@pytest.mark.usefixtures("_forked")
def test_a_process_that_was_killed_says_so(monkeypatch):
    monkeypatch.setattr(bench_speed, "measure", killed_at_once)
    with pytest.raises(EgofeatError, match="killed \\(signal 9\\)"):
        measure_apart(job())
    monkeypatch.setattr(bench_speed, "measure", ended_by_itself)
    with pytest.raises(EgofeatError, match="exit code 3"):
        measure_apart(job())


def measuring(process: psutil.Process) -> list[psutil.Process]:
    """Children that it spawned: not the helper that Python keeps for those, nor one that forks."""
    return [c for c in process.children() if "spawn_main" in " ".join(c.cmdline())]


def wait_until(true, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(how, tmp_path):
    # What a shell runs in the background ignores SIGINT, and hands that on.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from egofeat.cli import main; main()"
    words = ["bench", "backbones", "mobilenetv2", "--size", "256", "--seconds", "100000"]
    command = [sys.executable, "-c", code, *words, "--batch-size", "1", "--device", "cpu"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            parent = psutil.Process(process.pid)
            wait_until(lambda: measuring(parent))
            (child,) = measuring(parent)
            wait_until(lambda: child.memory_info().rss > 300e6)
            process.send_signal(how)
            _, complaint = process.communicate(timeout=60)
        finally:
            process.kill()  # by itself it would go on for a day
    wait_until(lambda: not child.is_running(), 20)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in complaint
    if how == signal.SIGINT:
        assert complaint.rstrip().endswith("interrupted"), "it would begin anew"
    assert not (tmp_path / "benchmarks").exists()


def command(*words: object, out: Path) -> Result:
    options = ("--size", 32, "--seconds", 0, "--batch-size", 2, "--device", "cpu", "--out", out)
    return CliRunner().invoke(app, ["bench", "backbones", *map(str, (*words, *options))])


OWN = """
from torch import nn
from egofeat.extract.backbones import Spec

class Net(nn.Module):
    spec = Spec(taps=("map",), size=48)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, images):
        return {"map": self.conv(images)}
"""


def test_the_command_ends_with_one_object_of_a_module_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    done = command("own_net:Net", "--views", "2x3", "--json", out=tmp_path / "made")
    assert done.exit_code == 0, done.stdout
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["clips"], row["crops"], row["batch"], row["size"]) == (2, 3, 2, 32)
    assert (row["parameters"], row["accuracy"], row["reason"]) == (8 * 28, None, "")
    assert (tmp_path / "made/backbones.csv").is_file()


def test_the_command_ends_with_1_and_the_reason(tmp_path):
    failed = command("mobilenetv2", "--weights", "absent.pth", out=tmp_path)
    assert failed.exit_code == 1
    assert "mobilenetv2: 'absent.pth' is neither a file nor" in failed.stderr
    assert isinstance(command("resnet", out=tmp_path).exception, RequestError)


@pytest.mark.gpu
def test_a_gpu_has_a_peak_of_its_own(gpu):
    backbone = load("mobilenetv2", "random", (), gpu)
    weights = sum(p.nbytes for p in backbone.module.parameters())
    (speed,) = measure_apart(job(device=str(gpu)))
    assert weights < speed.device_peak_bytes < 1e9
