"""Two backbones from one decode against two passes: decode work and wall time.

    python bench/multi_backbone.py [--videos 2] [--repeats 3] [--device auto]

Short videos of 640 × 480 H.264, three overlapping segments each, made here. Twice: to the last
layer, where on a CPU the networks take nearly all the time, and to the first block alone, where
decoding does. Prints the frames decoded and the seconds of both ways, A B A B, medians, and
the ratios of two passes to one.
"""

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

from extraction import film
from ratios import machine, seconds

from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.extraction.job import for_each, plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.reports import JointReport
from egofeat.segments import Dataset, Media, Segment

BACKBONES = ("mobilenetv2", "resnet50")
DEPTHS = {"to the last layer": ("gap", "gap"), "to the first block": ("block0", "stem")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [film(root / f"{number}.mp4") for number in range(options.videos)]
        dataset = Dataset(
            "bench",
            {path.stem: Media(path) for path in paths},
            tuple(
                Segment(f"{path.stem}-{start}", path.stem, start, start + 4.0)
                for path in paths
                for start in (0.0, 2.0, 4.0)
            ),
            {},
        )
        fresh = (root / f"features{number}" for number in itertools.count())
        for depth, taps in DEPTHS.items():
            config = ExtractConfig(weights="random", device=options.device, size=256)
            configs = for_each(config, BACKBONES, taps=[(tap,) for tap in taps])
            decoded: dict[str, int] = {}

            def extract(alone: bool) -> int:
                out = next(fresh)
                jobs = plan_jobs([replace(own, out=out) for own in configs], dataset)  # noqa: B023
                groups = [[job] for job in jobs] if alone else [jobs]
                reports: list[JointReport] = [
                    run_jobs(group, config)  # noqa: B023
                    for group in groups
                ]
                return sum(report.decoded for report in reports)

            def one_pass() -> None:
                decoded["one pass"] = extract(alone=False)  # noqa: B023

            def two_passes() -> None:
                decoded["two passes"] = extract(alone=True)  # noqa: B023

            taken = seconds({"one pass": one_pass, "two passes": two_passes}, options.repeats)
            print(f"{' + '.join(BACKBONES)}, {depth}")
            for name, time_s in taken.items():
                print(f"  {name:10}  {decoded[name]:5} frames decoded  {time_s:6.2f} s")
            print(
                f"  ratio       {decoded['two passes'] / decoded['one pass']:5.2f} of decode work  "
                f"{taken['two passes'] / taken['one pass']:.2f} of wall time"
            )


if __name__ == "__main__":
    main()
