"""Features of persons against the network alone, and a head on kept ones against the network.

    python bench/persons.py [--key-frames 8] [--persons 5] [--repeats 3] [--size 256] [--side 800]

Key frames a second apart of 456 × 256 H.264 films, made here, with random boxes; the detection
network `slowfast_32x2_r50_ava` with random weights, frames squashed to a square. First the whole
extraction, once keeping one vector a clip and once one a person: key frames a second, A B A B,
medians. Then a training step of the `roi` head on persons from the store, against one that runs
the network over their clips, decoded and prepared before. Last the detector on four frames, whose
shorter side it makes `--side` pixels: together, one by one, and by torchvision's own network.
"""

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made import film
from ratios import machine, options, seconds
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

from egofeat.boxes import Boxes, key_frame_id
from egofeat.device import choose_device, exact
from egofeat.extract.persons import load
from egofeat.extract.roi import pool, regions
from egofeat.heads import build_head
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.recipe.persons import RoiAlign
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_persons

CLASSES = 80
A_VIDEO = 8
"""Seconds, and so key frames, that are taken of each film."""


def people(folder: Path, key_frames: int, persons: int) -> Dataset:
    """Films with `persons` boxes in every second."""
    random = np.random.default_rng(0)
    paths = [film(folder / f"{number}.mp4") for number in range(-(-key_frames // A_VIDEO))]
    segments, boxes = [], {}
    for number in range(key_frames):
        video, second = paths[number // A_VIDEO].stem, number % A_VIDEO
        id_ = key_frame_id(video, str(second))
        segments.append(Segment(id_, video, second, second + 1.0, split="train"))
        corners = np.concatenate(
            [random.uniform(0, 0.5, (persons, 2)), random.uniform(0.6, 1, (persons, 2))], axis=1
        )
        actions = random.integers(0, CLASSES, (persons, 2)).tolist()
        boxes[id_] = Boxes.of(corners.tolist(), actions=actions)
    return Dataset(
        "bench",
        {path.stem: Media(path) for path in paths},
        tuple(segments),
        {"action": tuple(map(str, range(CLASSES)))},
        key_frames=True,
        boxes=boxes,
    )


def extraction(dataset: Dataset, config: ExtractConfig, root: Path, repeats: int) -> None:
    """Print key frames a second of the network alone and of persons."""
    fresh = (root / f"features{number}" for number in itertools.count())

    def clips() -> object:
        return run(replace(config, roi=None, taps=("slowfast",), out=next(fresh)), dataset)

    def persons() -> object:
        return run(replace(config, out=next(fresh)), dataset)

    taken = seconds({"one vector a clip": clips, "one a person": persons}, repeats)
    for name, time_s in taken.items():
        print(f"  {name:18}  {len(dataset.segments) / time_s:6.2f} key frames/s")
    alone, of_persons = taken.values()
    print(f"  ratio               {alone / of_persons:6.2f} of the network alone")


def training(dataset: Dataset, config: ExtractConfig, root: Path, repeats: int) -> None:
    """Print the time of a step on kept features and of one that runs the network."""
    store = run(replace(config, out=root / "kept"), dataset).store
    rows = open_persons(store)
    job = plan_job(config, dataset)
    assert job.persons is not None
    device = job.backbone.device
    align: RoiAlign = job.persons.align
    head = build_head("roi", rows.row_shape, {"action": CLASSES}).to(device)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    labels = torch.from_numpy(rows.labels["action"]).float().to(device)
    numbers = np.arange(len(rows))
    side, frames = job.recipe.transform.crop, job.recipe.plan.view_frames
    clips = torch.randn(len(dataset.segments), 3, frames, side, side)
    boxes = [torch.tensor(dataset.boxes[segment.id].corners) for segment in dataset.segments]

    def learn(features: torch.Tensor) -> None:
        logits = head(features.to(device))["action"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    def kept() -> None:
        learn(torch.from_numpy(rows.take(numbers)).float())

    def anew() -> None:
        parts = [
            pool(align, job.backbone(clip[None]), regions((side, side), [of_clip]))["roi"]
            for clip, of_clip in zip(clips, boxes, strict=True)
        ]
        learn(torch.cat(parts)[:, None])

    taken = seconds({"kept": kept, "network": anew}, repeats)
    persons = len(rows)
    kept_ms, anew_ms = (1e3 * taken[way] for way in ("kept", "network"))
    print(
        f"  a step of {persons} persons: kept {kept_ms:.1f} ms, with the network {anew_ms:.0f} ms"
    )
    print(f"  ratio               {anew_ms / kept_ms:6.0f}, decoding aside")


def detection(device: torch.device, side: int, repeats: int) -> None:
    """Print what a frame costs the detector; of a CPU in seconds of the processor."""
    batch: Any = load("random", threshold=0.5, min_size=0.0, device=device).network
    own = fasterrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, box_score_thresh=0.5
    ).eval()
    own.load_state_dict(batch.state_dict())
    own.to(device).transform = batch.transform
    batch.transform.min_size = (side,)
    chance = torch.Generator().manual_seed(0)
    frames = torch.rand(4, 3, 256, 456, generator=chance).to(device)

    def one_by_one() -> None:
        for frame in frames:
            batch(frame[None])

    clock = time.process_time if device.type == "cpu" else time.perf_counter
    ways = {
        "together": lambda: batch(frames),
        "one by one": one_by_one,
        "torchvision's": lambda: own([*frames]),
    }
    with torch.inference_mode(), exact():
        for name, taken in seconds(ways, repeats, clock=clock).items():
            print(f"  detector, {name:14} {1e3 * taken / len(frames):7.0f} ms a frame")


def main() -> None:
    asked = options(__doc__, key_frames=8, persons=5, repeats=3, size=256, side=800, device="auto")
    print(machine())
    config = ExtractConfig(
        backbone="slowfast_32x2_r50_ava",
        weights="random",
        device=asked.device,
        size=asked.size,
        transform="squash",
        roi=RoiConfig(),
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = people(root, asked.key_frames, asked.persons)
        extraction(dataset, config, root, asked.repeats)
        training(dataset, config, root, asked.repeats)
    detection(choose_device(asked.device), asked.side, asked.repeats)


if __name__ == "__main__":
    main()
