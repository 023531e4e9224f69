"""How far each precision is from float32, and what it costs: MobileNetV2 on frames of films.

    python bench/precision.py --films a.mp4,b.mp4 [--frames 32] [--device cpu]

Mean over frames of the norm of the error of `gap`, by the norm of the feature.
"""

import time
from pathlib import Path

import torch
from ratios import machine, options

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract import transforms
from egofeat.extract.backbones import load
from egofeat.extract.backbones.precision import DTYPES
from egofeat.extract.video import open_video
from egofeat.recipe.transform import squash
from egofeat.segments import Media


def main() -> None:
    asked = options(__doc__, films="", frames=32, device="auto")
    device = choose_device(asked.device)
    films = asked.films.split(",")
    exact = load("mobilenetv2", device=device)
    squashed = squash(256, mean=exact.spec.mean, std=exact.spec.std)
    prepared = []
    for film in films:
        with open_video(Media(Path(film))) as source:
            places = torch.linspace(0, len(source.times) - 1, asked.frames // len(films)).int()
            frames = torch.from_numpy(source.frames(places.tolist()))
            prepared += [transforms.prepare(squashed, one) for one in frames]
    batches = torch.split(transforms.normalise(squashed, torch.cat(prepared)), 4)
    expected = torch.cat([exact(batch)["gap"] for batch in batches])
    print(machine())
    for name in DTYPES:
        try:
            backbone = load("mobilenetv2", device=device, precision=name)
        except RequestError as refused:
            print(f"{name}: {refused}")
            continue
        began = time.process_time()
        error = torch.cat([backbone(batch)["gap"] for batch in batches]) - expected
        took = 1e3 * (time.process_time() - began) / len(expected)
        share = (error.norm(dim=1) / expected.norm(dim=1)).mean().item()
        print(f"{name}: error {share:.2%} of the norm, {took:.1f} CPU ms a frame")


if __name__ == "__main__":
    main()
