"""Two backbones from one decode against two passes: decode work and wall time.

    python bench/multi_backbone.py [--videos 2] [--repeats 3] [--device auto]

Short videos of 640 × 480 H.264, three overlapping segments each, made here. Twice: to the last
layer, where on a CPU the networks take nearly all the time, and to the first block alone, where
decoding does. Prints the frames decoded and the seconds of both ways, A B A B, medians, and
the ratios of two passes to one.
"""

import itertools
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from made import films
from ratios import machine, options, seconds

from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.extraction.job import plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig

BACKBONES = ("mobilenetv2", "resnet50")
DEPTHS = {"to the last layer": ("gap", "gap"), "to the first block": ("block0", "stem")}


def main() -> None:
    asked = options(__doc__, videos=2, repeats=3, device="auto")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = films(root, asked.videos, (0.0, 2.0, 4.0), 4.0)
        fresh = (root / f"features{number}" for number in itertools.count())
        for depth, taps in DEPTHS.items():
            config = ExtractConfig(weights="random", device=asked.device, size=256)
            configs = for_each(config, BACKBONES, taps=[(tap,) for tap in taps])
            decoded: dict[str, int] = {}

            def extract(way: str) -> None:
                out = next(fresh)
                jobs = plan_jobs([replace(own, out=out) for own in configs], dataset)  # noqa: B023
                groups = [jobs] if way == "one pass" else [[job] for job in jobs]
                decoded[way] = sum(run_jobs(group, config).decoded for group in groups)  # noqa: B023

            ways = {way: partial(extract, way) for way in ("one pass", "two passes")}
            taken = seconds(ways, asked.repeats)
            print(f"{' + '.join(BACKBONES)}, {depth}")
            for name, time_s in taken.items():
                print(f"  {name:10}  {decoded[name]:5} frames decoded  {time_s:6.2f} s")
            print(
                f"  ratio       {decoded['two passes'] / decoded['one pass']:5.2f} of decode work  "
                f"{taken['two passes'] / taken['one pass']:.2f} of wall time"
            )


if __name__ == "__main__":
    main()
