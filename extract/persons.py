"""Persons in whole frames: Faster R-CNN ResNet-50-FPN v2, as torchvision has it.

Ren et al., 2015 (arXiv:1506.01497), with the heads of Li et al., 2021 (arXiv:2111.11429). Frames
are resized inside the network, to a shorter side of 800 pixels and a longer one of 1333 at most.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2
from torchvision.models.resnet import Bottleneck

from egofeat import console
from egofeat.boxes import Boxes
from egofeat.device import Room, exact
from egofeat.extract.backbones.building import blank, damp_branches, freeze, load_strictly, seeded
from egofeat.extract.detection import Detection
from egofeat.extract.weights import Weights, choose_weights

NAME = "fasterrcnn_resnet50_fpn_v2"
PARAMETERS = 43_712_278
"""With the 91 classes of COCO, background among them."""
SIDE = 800
"""Pixels that frames are resized to, on their shorter side."""
PERSON = 1
"""Class of persons, after the background."""

_FILE = f"{NAME}_coco-dd69338a.pth"
_CLASSIFIER = "roi_heads.box_predictor.cls_score.weight"

RECORD = Weights(
    name="coco_v1",
    file=_FILE,
    url=f"https://download.pytorch.org/models/{_FILE}",
    sha256="dd69338a",
    licence="BSD-3-Clause (torchvision)",
    trained_on="COCO",
    accuracy=46.7,
    metric="box mAP",
    multiply_adds=280.371,
    resize=SIDE,
    interpolation="bilinear",
)
"""Torchvision's own weights."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A frozen detector, ready on its device."""

    network: nn.Module
    """Maps images `[N, 3, H, W]` in [0, 1] to a dict each of `boxes` `[n, 4]` in pixels, `labels`
    and `scores`."""
    weights: str
    """`sha256:<hex>` or `random:<seed>`."""
    threshold: float
    """Persons with a higher score are kept."""
    min_size: float
    """Pixels that the shorter side of a box has at least."""
    device: torch.device

    def __call__(self, frames_HWC: Sequence[Tensor]) -> list[Boxes]:
        """Persons of each RGB frame, the surest first; frames of one size are run at once.

        Or fewer at once, where the device has no room for all.

        What a frame's persons are does not depend on the others of a batch but for rounding,
        about 1e-5 of a score: all are resized and padded alike.
        """
        found: list[Boxes] = []
        while len(found) < len(frames_HWC):
            _, alike = next(groupby(frames_HWC[len(found) :], lambda frame: frame.shape))
            now = list(islice(alike, self._room.size))
            found += self._room.run(len(now), partial(self._found, now)) or []
        return found

    @cached_property
    def _room(self) -> Room:
        return Room(self.device, sys.maxsize, console.note)

    def _found(self, frames_HWC: Sequence[Tensor]) -> list[Boxes]:
        with torch.inference_mode(), exact():
            found = self.network(torch.stack([self._image(frame) for frame in frames_HWC]))
        sizes = [frame.shape[:2] for frame in frames_HWC]
        return [self._persons(one, size) for one, size in zip(found, sizes, strict=True)]

    def _image(self, frame_HWC: Tensor) -> Tensor:
        image = frame_HWC.contiguous()
        if (image.device.type, self.device.type) == ("cpu", "cuda"):
            image = image.pin_memory()  # from other memory a copy waits for the device
        return image.to(self.device, non_blocking=True).permute(2, 0, 1) / 255

    def _persons(self, found: Mapping[str, Tensor], size: tuple[int, ...]) -> Boxes:
        boxes, labels, scores = (found[name].cpu() for name in ("boxes", "labels", "scores"))
        height, width = size
        sides = torch.tensor([width, height, width, height])
        pixels = torch.minimum(boxes.clamp(min=0), sides)
        corners = pixels / sides
        kept = (labels == PERSON) & (scores > self.threshold)
        kept &= (corners[:, 2:] > corners[:, :2]).all(dim=1)
        kept &= ((pixels[:, 2:] - pixels[:, :2]) >= self.min_size).all(dim=1)
        return Boxes(corners[kept].numpy(), scores[kept].numpy())


def load(
    weights: str = "default",
    *,
    threshold: float,
    min_size: float,
    device: torch.device,
    note: Callable[[str], None] = lambda _: None,
) -> Detector:
    """The detector with its weights, on its device.

    Args:
        weights: see `choose_weights`; a file is of torchvision's layout, with any number of
            classes of which the first after the background is of persons.
        threshold: see `Detector`.
        min_size: see `Detector`.
        device: where it runs.
        note: told, in one line, when weights are downloaded.

    Raises:
        WeightsError: weights that are absent, altered or of another network.
    """
    chosen = choose_weights(weights, [RECORD], NAME, note)
    network = chosen.build(partial(build, threshold=threshold))
    return Detector(
        network=network.to(device),
        weights=chosen.identity,
        threshold=threshold,
        min_size=min_size,
        device=device,
    )


def build(state: Mapping[str, Tensor] | None, seed: int, threshold: float) -> nn.Module:
    """The network in eval mode, gradients off; see `Detection`.

    Args:
        state: torchvision's state dict; None gives random weights made from `seed`.
        seed: of the random weights.
        threshold: score below which nothing is looked at any further. What is above is the
            same with any: boxes give way to surer ones alone.

    Raises:
        WeightsError: keys or shapes that are not the network's.
    """
    make = partial(
        fasterrcnn_resnet50_fpn_v2,
        weights=None,
        weights_backbone=None,
        box_score_thresh=threshold,
    )
    if state is None:
        network = seeded(make, seed)
        damp_branches(network, Bottleneck, "bn3")
        return freeze(Detection(network))
    network = make(num_classes=len(state[_CLASSIFIER])) if _CLASSIFIER in state else make()
    load_strictly(network, state, NAME)
    return freeze(Detection(network))


def multiply_adds() -> int:
    """Multiply-adds of a square frame, counted as those of backbones are; nothing is allocated.

    With as many proposals as are looked at where there is much to see: 1,000. A frame of 16 : 9,
    made 1333 pixels wide, has a third more.
    """
    network: Any = blank(lambda: build(None, 0, threshold=0.5))
    heads, places = network.roi_heads, network.roi_heads.box_roi_pool.output_size
    sides = (network.rpn.post_nms_top_n(), network.backbone.out_channels, *places)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        maps = network.backbone(torch.empty(1, 3, SIDE, SIDE, device="meta"))
        network.rpn.head(list(maps.values()))
        heads.box_predictor(heads.box_head(torch.empty(sides, device="meta")))
    operations: int = counter.get_total_flops()
    return operations // 2
