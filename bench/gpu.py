"""All that a GPU should be asked, in under eight minutes.

    python bench/gpu.py [--out gpu-check] [--seconds 460] [--only parity,forward] [--device cuda:0]

Each question is a process of its own with a time limit: a crash, a hang or a missing package costs
that question alone. Answers so far stand in `OUT/gpu.json`, what was printed in `OUT/QUESTION.txt`.
Nothing is downloaded. `--device cpu --tiny` tries the script itself where there is no GPU.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import made
import numpy as np
import torch
from av.codec.hwaccel import hwdevices_available
from ratios import ask_apart, options

from egofeat import graphs
from egofeat.device import Room, choose_device, is_out_of_memory, wait_for
from egofeat.errors import RequestError
from egofeat.extract.assembly import Features
from egofeat.extract.backbones import Backbone, load
from egofeat.extract.backbones.precision import DTYPES
from egofeat.extract.batches.filling import Filling
from egofeat.extract.batches.running import Batches
from egofeat.extract.decoding.events import Lane
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.decoding.together import decode_all
from egofeat.extract.persons import load as load_detector
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.extract.video import open_video
from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import build_head
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.trainer import train
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media
from egofeat.store import open_store

Answers = dict[str, Any]
TESTS = Path(__file__).parents[1] / "tests"
SECONDS = {
    "tests": 90,
    "parity": 70,
    "forward": 90,
    "training": 80,
    "loop": 50,
    "extraction": 100,
    "nvdec": 40,
    "persons": 40,
    "memory": 25,
    "second": 40,
}
"""Question to its limit, in the order of their worth."""
NETWORKS = {"mobilenetv2": 256, "slowfast_8x8_r50": 8, "s3d": 2, "i3d": 4, "resnet50": 256}
"""Backbone to the views of a batch."""
HEADS = (("conv1d", "seed", 32), ("conv1d", None, 32), ("conv1d", None, 256), ("lstm", None, 32))
"""Name, preset and rows of a batch."""
EPIC_ROWS, EPIC_VALIDATION = 67_217, 9_668
"""Segments of EPIC-KITCHENS-100."""


class Bench:
    """The device that is asked, and how much of it."""

    def __init__(self, device: torch.device, *, tiny: bool) -> None:
        self.device = device
        self.tiny = tiny
        self.networks = list(NETWORKS)[: 1 if tiny else None]

    def wait(self) -> None:
        """Until the device has done all."""
        wait_for(self.device)

    def seconds(self, call: Callable[[], object]) -> float:
        """Median of some calls, the device's work in them; two unmeasured ones go first."""
        taken: list[float] = []
        for number in range(5 if self.tiny else 12):
            began = time.perf_counter()
            call()
            self.wait()
            if number >= 2:
                taken.append(time.perf_counter() - began)
        return float(np.median(taken))

    def views(self, backbone: Backbone, count: int) -> torch.Tensor:
        """Random views as they come from `normalise`, channels last, `[count, C, …, S, S]`."""
        spec = backbone.spec
        size = 64 if self.tiny else spec.squash_size if spec.transform == "squash" else spec.size
        frames = [spec.clip.frames] if spec.clip else []
        chance = torch.Generator().manual_seed(7)
        values = torch.randn(count, *frames, size, size, spec.channels, generator=chance)
        return values.to(self.device).movedim(-1, 1)


def tests(_: Bench) -> Answers:
    """The tests that need a GPU."""
    files = [path for path in TESTS.rglob("test_*.py") if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *map(str, files)], check=False, stdout=subprocess.PIPE)
    print(text := done.stdout.decode())
    return {"rc": done.returncode, "said": text.strip().splitlines()[-1:]}


def parity(bench: Bench) -> Answers:
    """Features of each precision against those of the CPU; the same bits twice, beside others."""
    answers: Answers = {}
    for name in bench.networks:
        on_cpu = load(name, "random", (), "cpu")
        views = bench.views(on_cpu, 2)
        expected = {tap: of_tap.double() for tap, of_tap in on_cpu(views.cpu()).items()}
        beside = views.clone()
        beside[1] = 0
        for precision in DTYPES:
            try:
                backbone = load(name, "random", (), bench.device, precision)
            except RequestError as error:
                answers[f"{name} {precision}"] = str(error)
                continue
            once, again, other = (backbone(of) for of in (views, views, beside))
            apart = {tap: once[tap].cpu().double() - right for tap, right in expected.items()}
            answers[f"{name} {precision}"] = {
                "error": max(float(apart[tap].norm() / expected[tap].norm()) for tap in apart),
                "same": all(torch.equal(once[tap], again[tap]) for tap in once),
                "same beside others": all(torch.equal(once[tap][0], other[tap][0]) for tap in once),
            }
    return answers


def forward(bench: Bench) -> Answers:
    """Views a second by precision, how long launching takes, and as a CUDA graph."""
    answers: Answers = {}
    for name in bench.networks:
        for precision in DTYPES:
            with suppress(RequestError):
                backbone = load(name, "random", (), bench.device, precision)
                count = 2 if bench.tiny else NETWORKS[name]
                views = bench.views(backbone, count)
                row = {"views_s": count / bench.seconds(partial(backbone, views))}
                began = time.perf_counter()
                backbone(views)
                row["launch_ms"] = 1e3 * (time.perf_counter() - began)
                bench.wait()
                if bench.device.type == "cuda":
                    row["graph_views_s"] = count / bench.seconds(_graph_of(backbone, views).replay)
                    row["peak_gb"] = torch.cuda.max_memory_allocated(bench.device) / 2**30
                answers[f"{name} {precision}"] = row
    return answers


def _graph_of(backbone: Backbone, views: torch.Tensor) -> torch.cuda.CUDAGraph:
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(views.device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            backbone(views)
    torch.cuda.current_stream(views.device).wait_stream(stream)
    with torch.cuda.graph(graph):
        backbone(views)
    return graph


def training(bench: Bench) -> Answers:
    """Microseconds an iteration with EPIC-KITCHENS-100's rows, held on the device; 100 epochs.

    As a graph and launched kernel by kernel. Of 100 epochs 60 s are the aim, validation in them.
    """
    rows, steps = (600, 20) if bench.tiny else (16_000, 400)
    chance = np.random.default_rng(0)
    features = np.maximum(chance.standard_normal((rows, *made.SHAPE), np.float32), 0)
    labels = {t: chance.integers(0, n, rows) for t, n in {"verb": 97, "noun": 300}.items()}
    places = np.arange(rows)
    stored = features.astype(np.float16)
    answers: Answers = {}
    usual = graphs.recorder_of
    for (name, preset, batch), way in product(HEADS, ("graph", "kernels")):
        if way == "graph" and usual(bench.device) is None:
            continue
        graphs.recorder_of = usual if way == "graph" else lambda device: None
        config = TrainerConfig(
            batch_size=batch, device=str(bench.device), iterations=2 * steps, eval_every=steps
        )
        head = build_head(name, made.SHAPE, {"verb": 97, "noun": 300}, preset)
        validate = places[: steps * batch * EPIC_VALIDATION // EPIC_ROWS]
        examples = Examples(stored, labels, places, validate)
        stamps: list[float] = []

        def stamp(_: object, to: list[float] = stamps) -> None:
            to.append(time.perf_counter())

        train(head, examples, config, on_epoch=stamp)
        seconds = (stamps[1] - stamps[0]) / steps
        answers[f"{name} {preset or 'default'} {batch} {way}"] = {
            "us_an_iteration": 1e6 * seconds,
            "s_100_epochs": 100 * EPIC_ROWS / batch * seconds,
        }
    graphs.recorder_of = usual
    return answers


def _config(bench: Bench, name: str, **rest: Any) -> ExtractConfig:
    size, device = 64 if bench.tiny else None, str(bench.device)
    return ExtractConfig(backbone=name, weights="random", device=device, size=size, **rest)


def _task(bench: Bench, name: str, precision: str = "float32") -> Task:
    job = plan_job(_config(bench, name, precision=precision), Dataset("none", {}, (), {}))
    memory = Memory(job.backbone.spec.default_tap)
    return Task(backbone=job.backbone, recipe=job.recipe, sink=memory)


def _through(task: Task, batches: int) -> dict[int, dict[str, Any]]:
    """Prepared views of noise through the loop's batches; number of a view to its features."""
    plan, side = task.recipe.plan, task.recipe.transform.crop
    shape = (plan.view_frames, 1, side, side, 3)
    chance = torch.Generator().manual_seed(0)
    pool = [torch.randint(255, shape, dtype=torch.uint8, generator=chance) for _ in range(16)]
    of_keys: Any = list  # a view is claimed by its key
    loop, found = Batches(task, of_keys), dict[int, dict[str, Any]]()

    def keep(ready: Iterable[tuple[Any, Features]]) -> None:
        for keys, features in ready:
            for row, (_, (number,)) in enumerate(keys):
                found[number] = {tap: values[row] for tap, values in features.items()}

    for number in range(batches * task.views_a_batch):
        for batch in loop.filling.place(("v", (number,)), [*pool[number % len(pool)]]):
            keep(loop.run(batch))
    keep(loop.finish())
    return found


def loop(bench: Bench) -> Answers:
    """Prepared frames in memory to features in memory: all but decoding and writing."""
    answers: Answers = {}
    for name in bench.networks[:2]:
        for precision in ("float32", "fp16"):
            task, batches = _task(bench, name, precision), 2 if bench.tiny else 8
            taken = bench.seconds(partial(_through, task, batches))
            answers[f"{name} {precision}"] = {"views_s": batches * task.views_a_batch / taken}
    return answers


def extraction(bench: Bench) -> Answers:
    """From files to shards, against decoding alone; and against the CPU's features."""
    answers: Answers = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dataset = made.films(root, 2 if bench.tiny else 32, (0.0, 3.0, 6.0), 3.0)
        for backbone in bench.networks[:2]:
            config = _config(bench, backbone, out=root / backbone)
            job = plan_job(config, dataset)
            lanes = [Lane(job.recipe.plan, job.recipe.transform)]
            units = all_units(dataset.segments, [job.segment_bytes], dataset.media)
            fillings = [Filling(Room(bench.device, 256), pinned=bench.device.type == "cuda")]
            threads, began = decoding_threads(), time.perf_counter()
            how: Any = {"decoder": "pyav", "waiting_frames": 512, "turns": False}
            with decode_all(units, lanes, fillings, workers=threads, **how) as events:
                deque(events, maxlen=0)
            alone, cpu = time.perf_counter() - began, time.process_time()
            report = run(config, dataset)
            answers[backbone] = {
                "segments_s": report.extracted / report.seconds,
                "of_decoding_alone": alone / report.seconds,
                "cores_busy": (time.process_time() - cpu) / report.seconds,
            }
        few, first = replace(dataset, segments=dataset.segments[:2]), bench.networks[0]
        config = replace(config, backbone=first, out=root / first)
        right = open_store(run(replace(config, device="cpu", out=root / "cpu"), few).store)
        found = open_store(run(config, few).store)
        answers["largest difference from the CPU"] = max(
            float(abs(found[i].astype("f4") - right[i].astype("f4")).max()) for i in right.ids
        )
    return answers


def nvdec(bench: Bench) -> Answers:
    """Whether the card decodes by FFmpeg, how fast in one thread, and to which pictures."""
    answers: Answers = {"known": hwdevices_available()}
    with tempfile.TemporaryDirectory() as name:
        frames = 60 if bench.tiny else 300
        film = made.film(Path(name) / "hd.mp4", frames, 1920, 1080)
        pictures = {}
        for way in ("pyav", "nvdec")[: 1 + (bench.device.type == "cuda")]:
            with open_video(Media(film), way) as source:
                began, scan = time.perf_counter(), source.tensors(range(frames))
                pictures[way] = torch.stack([one.cpu().short() for _, one in islice(scan, 20)])
                deque(scan, maxlen=0)
                bench.wait()
            answers[f"{way} frames_s"] = frames / (time.perf_counter() - began)
        if "nvdec" in pictures:
            answers["levels apart"] = int((pictures["nvdec"] - pictures["pyav"]).abs().max())
    return answers


def persons(bench: Bench) -> Answers:
    """The detector's frames a second at 720p."""
    detector = load_detector("random", threshold=0.05, min_size=0.0, device=bench.device)
    if bench.tiny:
        setattr(detector.network.get_submodule("transform"), "min_size", (64,))  # noqa: B010
    shape = (1, 96, 128, 3) if bench.tiny else (16, 720, 1280, 3)
    frames = list(torch.randint(255, shape, dtype=torch.uint8))
    return {"frames_s": len(frames) / bench.seconds(lambda: list(detector(frames)))}


def memory(bench: Bench) -> Answers:
    """What a batch that does not fit ends with, and whether the memory comes back."""
    if bench.device.type != "cuda":
        return {"left out": "no GPU"}
    backbone = load("mobilenetv2", "random", (), bench.device)
    free, _ = torch.cuda.mem_get_info(bench.device)
    block = torch.empty(int(0.97 * free), dtype=torch.uint8, device=bench.device)
    try:
        backbone(bench.views(backbone, 512))
        answers: Answers = {"error": "none: it fitted"}
    except RuntimeError as error:
        answers = {"error": str(error)[:200], "recognised": is_out_of_memory(error)}
    del block
    torch.cuda.empty_cache()
    afterwards = backbone(bench.views(backbone, 8))["gap"].isfinite().all()
    return answers | {"afterwards": bool(afterwards)}


def second(bench: Bench) -> Answers:
    """Whether a second GPU gives what the first gives."""
    if (count := torch.cuda.device_count()) < 2:
        return {"left out": f"{count} GPUs"}
    both = [Bench(torch.device("cuda", number), tiny=bench.tiny) for number in range(2)]
    found = [_through(_task(one, "slowfast_8x8_r50"), 3) for one in both]
    pairs = [(a[tap], found[1][k][tap]) for k, a in found[0].items() for tap in a]
    wrong = sum(not np.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in pairs)
    return {"views": len(found[0]), "wrong": wrong}


def main() -> None:
    defaults = {"out": "gpu-check", "seconds": 460.0, "only": "", "device": "cuda", "question": ""}
    asked = options(__doc__, tiny=False, **defaults)
    if asked.question:
        bench = Bench(choose_device(asked.device), tiny=asked.tiny)
        print(json.dumps(globals()[asked.question](bench), default=str))
        return
    words = ["--out", asked.out, "--device", asked.device, *(["--tiny"] if asked.tiny else [])]
    limits = {
        question: limit * (3 if asked.device == "cpu" else 1)
        for question, limit in SECONDS.items()
        if not asked.only or question in asked.only.split(",")
    }
    ask_apart(__file__, words, limits, asked.seconds, Path(asked.out) / "gpu.json")


if __name__ == "__main__":
    main()
