"""A forward by layout, engine and precision, each against PyTorch's in its own layout.

    OMP_NUM_THREADS=1 python bench/forward.py [--networks mobilenetv2,…] [--batch 4] [--repeats 3]

All variants have folded batch norms, the same weights and the same batch, in turn; MobileNetV2
also as torchvision publishes it. On a CPU the process's own time is counted. The error is that
of the default tap, by its norm.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from ratios import machine, options, seconds
from torchvision.models import mobilenet_v2

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.weight_files import read_tensors
from egofeat.extract.weights import find

Run = Callable[[], torch.Tensor]


def published(device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    eager = mobilenet_v2()
    eager.load_state_dict(read_tensors(find(spec_of("mobilenetv2").weights[0])))
    features: torch.nn.Module = eager.eval().to(device).features
    return features


def variants(name: str, batch: torch.Tensor, precisions: list[str]) -> dict[str, Run]:
    """Name of a way to run the batch to what runs it, the one that others are measured by first."""
    given = partial(load, name, "default" if name == "mobilenetv2" else "random", ())
    own: dict[str, Run] = {}
    plain = given(batch.device).module.to(memory_format=torch.contiguous_format)
    own["torch, channels first"] = lambda: next(iter(plain(batch).values()))
    if name == "mobilenetv2":
        module = published(batch.device)
        own["torchvision, as published"] = lambda: module(batch).mean((2, 3))
    for precision in precisions:
        for engine in ("torch", "openvino"):
            try:
                backbone = given(batch.device, precision, engine)
            except RequestError as refused:
                print(f"{name}, {precision}, {engine}: {refused}")
                continue
            own[f"egofeat, {engine}, {precision}"] = partial(_tap, backbone, batch)
    return own


def _tap(backbone: Backbone, batch: torch.Tensor) -> torch.Tensor:
    return backbone(batch)[backbone.spec.default_tap]


def main() -> None:
    asked = options(
        __doc__,
        networks="mobilenetv2,slowfast_8x8_r50,s3d,i3d",
        batch=4,
        precisions="float32",
        repeats=3,
        device="auto",
    )
    device = choose_device(asked.device)
    on_gpu = device.type == "cuda"
    print(machine())
    for name in asked.networks.split(","):
        spec = spec_of(name)
        count = asked.batch if on_gpu or not spec.clip else 1
        side = spec.squash_size if spec.transform == "squash" else spec.size
        sides = (*([spec.clip.frames] if spec.clip else []), side, side)
        batch = torch.randn(count, spec.channels, *sides, device=device)
        runs = variants(name, batch, asked.precisions.split(","))
        with torch.inference_mode():
            clock = time.perf_counter if on_gpu else time.process_time
            ends = {way: partial(lambda run: run().sum().item(), run) for way, run in runs.items()}
            taken = seconds(ends, asked.repeats, clock=clock)
            right = next(iter(runs.values()))()
            for way, run in runs.items():
                error = float((run() - right).norm() / right.norm())
                ratio = next(iter(taken.values())) / taken[way]
                cost = 1e3 * taken[way] / count
                row = f"{name} {count}: {way:26} {cost:9.1f} ms a view {ratio:5.2f}  {error:.0e}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
