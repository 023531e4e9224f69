"""The frozen network as egofeat runs it against plain eager torchvision, float32.

    python bench/forward.py [--repeats 7] [--batch 32]

Same weights, same prepared batch, same cores; also the largest difference of the pooled
features, relative to their largest value.
"""

import argparse

import torch
from ratios import machine, seconds
from torchvision.models import mobilenet_v2

from egofeat.extract.backbones import load, spec_of
from egofeat.extract.weights import find, read_tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    eager = mobilenet_v2()
    eager.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    features = eager.eval().features.to(device)
    ours = {
        precision: load("mobilenetv2", device=device, precision=precision)
        for precision in ("float32", "bf16")
    }
    batch = torch.randn(options.batch, 3, 256, 256).to(device)

    def plain() -> torch.Tensor:
        with torch.no_grad():
            pooled: torch.Tensor = features(batch).mean((2, 3))
            return pooled.cpu()

    def folded(precision: str) -> torch.Tensor:
        return ours[precision](batch)["gap"].cpu()

    taken = seconds(
        {
            "torchvision, eager": plain,
            "egofeat, float32": lambda: folded("float32"),
            "egofeat, bf16": lambda: folded("bf16"),
        },
        options.repeats,
    )
    expected = plain()
    print(machine())
    for name, time_s in taken.items():
        ratio = taken["torchvision, eager"] / time_s
        print(f"{name:20} {options.batch / time_s:8.1f} frames/s  {ratio:5.2f} times eager")
    for precision, backbone in ours.items():
        error = (backbone(batch)["gap"].cpu() - expected).abs().max() / expected.abs().max()
        print(f"largest relative difference, {precision}: {error:.1e}")


if __name__ == "__main__":
    main()
