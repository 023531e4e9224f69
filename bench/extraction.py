"""Extraction against what decoding alone and the network alone allow, on the same cores.

    python bench/extraction.py [--repeats 5] [--videos 12] [--device auto]

Decoding (with resizing) of the wanted frames is timed alone, and so is the network over
as many prepared frames, each with all cores. The two together need at least the sum of
the two times on a CPU, where they share the cores, and the longer one on a GPU. The
ratio is that bound by the time of extraction, store included, start-up not: 1 is perfect.
"""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from made import films
from ratios import machine, options, seconds

from egofeat.extract.assembly import Claim
from egofeat.extract.batches.abreast import side_by_side
from egofeat.extract.batches.running import Batches
from egofeat.extract.decoding.events import Lane, Pixels
from egofeat.extract.decoding.reading import decode
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.decoding.together import decode_all
from egofeat.extract.extractor import WAITING_FRAMES
from egofeat.extract.task import Task
from egofeat.extract.units import Pass, all_units, passes_over
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig


def main() -> None:
    asked = options(__doc__, repeats=5, videos=12, device="auto")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = films(root, asked.videos, (0.0, 3.0, 6.0), 3.0)
        config = ExtractConfig(out=root / "features", device=asked.device)
        job = plan_job(config, dataset)
        lanes = [Lane(job.recipe.plan, job.recipe.transform)]
        units = all_units(dataset.segments, [job.segment_bytes], dataset.media)
        passes = [work for unit in units for work in passes_over(unit)]

        def prepared(work: Pass) -> list[Pixels]:
            return [e for e in decode(work, lanes, config.decoder, list) if isinstance(e, Pixels)]

        frames = [frame for work in passes for frame in prepared(work)]
        loop: list[float] = []

        def extraction() -> None:
            fresh = replace(config, out=root / f"features{len(loop)}")
            loop.append(run(fresh, dataset).seconds)

        task = Task(backbone=job.backbone, recipe=job.recipe, sink=Memory("gap"))

        def decoding() -> None:
            with decode_all(
                units,
                lanes,
                [Batches(task, lambda _: []).filling],
                decoder=config.decoder,
                workers=decoding_threads(),
                waiting_frames=WAITING_FRAMES,
                turns=False,
            ) as events:
                for _ in events:
                    pass

        def network() -> None:
            with side_by_side([task]) as threads:
                batches = Batches(task, lambda keys: [Claim([]) for _ in keys], threads)
                for frame in frames:
                    for batch in batches.filling.place((frame.video, frame.view), frame.frames):
                        list(batches.run(batch))
                list(batches.finish())

        variants = {"extraction": extraction, "decoding": decoding, "network": network}
        taken = seconds(variants, asked.repeats) | {"extraction": statistics.median(loop[1:])}
    alone = (taken["decoding"], taken["network"])
    bound = max(alone) if job.backbone.device.type == "cuda" else sum(alone)
    print(machine())
    for name, time_s in taken.items():
        print(f"{name:10}  {time_s:6.2f} s  {len(frames) / time_s:7.1f} frames/s")
    print(f"extraction reaches {bound / taken['extraction']:.2f} of what the two together allow")


if __name__ == "__main__":
    main()
