"""Extraction against what decoding alone and the network alone allow, on the same cores.

    python bench/extraction.py [--repeats 5] [--videos 12] [--device auto]

Decoding (with resizing) of the wanted frames is timed alone, and so is the network over
as many prepared frames, each with all cores. The two together need at least the sum of
the two times on a CPU, where they share the cores, and the longer one on a GPU. The
ratio is that bound by the time of extraction, store included, start-up not: 1 is perfect.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch
from ratios import machine, seconds

from egofeat.extract.batches import Batches
from egofeat.extract.decoding import Lane, Pass, Pixels, decode, decode_all, passes_over
from egofeat.extract.extractor import WAITING_FRAMES
from egofeat.extract.task import Task
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.machine import decoding_threads, suiting_batch
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment


def film(path: Path, frames: int = 300) -> Path:
    """Ten seconds of moving texture, 456 × 256 at 30 frames/s, as EPIC-KITCHENS ships frames."""
    rng = np.random.default_rng(len(path.name))
    coarse = rng.integers(0, 256, (33, 96, 3)).astype(np.float32)
    texture = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (264, 768), mode="bicubic"
    )
    texture_HWC = texture[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 456, 256, "yuv420p"
        stream.options = {"x264-params": "keyint=60:log-level=none"}
        for number in range(frames):
            picture = np.ascontiguousarray(texture_HWC[:256, number : number + 456])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def films(folder: Path, videos: int) -> Dataset:
    """Films with three segments each."""
    paths = [film(folder / f"{number}.mp4") for number in range(videos)]
    segments = tuple(
        Segment(f"{path.stem}-{start}", path.stem, start, start + 3.0)
        for path in paths
        for start in (0.0, 3.0, 6.0)
    )
    return Dataset("bench", {path.stem: Media(path) for path in paths}, segments, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = films(root, options.videos)
        config = ExtractConfig(out=root / "features", device=options.device)
        job = plan_job(config, dataset)
        lanes = [Lane(job.recipe.plan, job.recipe.transform)]
        passes = passes_over([dataset.segments], dataset.media)

        def prepared(work: Pass) -> list[Pixels]:
            return [e for e in decode(work, lanes, config.decoder) if isinstance(e, Pixels)]

        frames = [frame for work in passes for frame in prepared(work)]
        loop: list[float] = []

        def extraction() -> None:
            fresh = replace(config, out=root / f"features{len(loop)}")
            loop.append(run(fresh, dataset).seconds)

        def decoding() -> None:
            with decode_all(
                passes,
                lanes,
                decoder=config.decoder,
                workers=decoding_threads(),
                waiting_frames=WAITING_FRAMES,
                turns=False,
            ) as events:
                for _ in events:
                    pass

        task = Task(
            backbone=job.backbone,
            plan=job.recipe.plan,
            transform=job.recipe.transform,
            shards=(),
            dtype=config.dtype,
            sink=Memory("gap"),
            batch_size=suiting_batch(job.backbone.device, job.recipe.plan, job.recipe.transform),
        )

        def network() -> None:
            batches = Batches(task, lambda video, view: np.empty((0, 4), np.float32))
            for frame in frames:
                list(batches.add((frame.video, frame.view), frame.frames_FKHWC))
            list(batches.finish())

        variants = {"extraction": extraction, "decoding": decoding, "network": network}
        taken = seconds(variants, options.repeats) | {"extraction": statistics.median(loop[1:])}
    alone = (taken["decoding"], taken["network"])
    bound = max(alone) if job.backbone.device.type == "cuda" else sum(alone)
    print(machine())
    for name, time_s in taken.items():
        print(f"{name:10}  {time_s:6.2f} s  {len(frames) / time_s:7.1f} frames/s")
    print(f"extraction reaches {bound / taken['extraction']:.2f} of what the two together allow")


if __name__ == "__main__":
    main()
