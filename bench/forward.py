"""The frozen network as egofeat runs it against plain eager torchvision, float32.

    python bench/forward.py [--repeats 7] [--batches 4,32]

Same weights, same prepared batch, same cores; also the largest difference of the pooled
features, relative to their largest value.
"""

from functools import partial

import torch
from ratios import machine, options, seconds
from torchvision.models import mobilenet_v2

from egofeat.device import choose_device
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import find


def main() -> None:
    asked = options(__doc__, repeats=7, batches="4,32", device="auto")
    device = choose_device(asked.device)
    eager = mobilenet_v2()
    eager.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    features = eager.eval().features.to(device)
    ours = {
        precision: load("mobilenetv2", device=device, precision=precision)
        for precision in ("float32", "bf16")
    }
    frames = torch.randn(64, 3, 256, 256).to(device)

    def plain(batch: int) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat(
                [features(part).mean((2, 3)).cpu() for part in torch.split(frames, batch)]
            )

    def frozen(precision: str, batch: int) -> torch.Tensor:
        return torch.cat(
            [ours[precision](part)["gap"].cpu() for part in torch.split(frames, batch)]
        )

    print(machine())
    for batch in map(int, asked.batches.split(",")):
        taken = seconds(
            {
                "torchvision, eager": partial(plain, batch),
                "egofeat, float32": partial(frozen, "float32", batch),
                "egofeat, bf16": partial(frozen, "bf16", batch),
            },
            asked.repeats,
        )
        for name, time_s in taken.items():
            ratio = taken["torchvision, eager"] / time_s
            rate = len(frames) / time_s
            print(f"batch {batch:3}  {name:20} {rate:8.1f} frames/s  {ratio:5.2f} times eager")
    expected = plain(32)
    for precision in ours:
        error = (frozen(precision, 32) - expected).abs().max() / expected.abs().max()
        print(f"largest relative difference, {precision}: {error:.1e}")


if __name__ == "__main__":
    main()
