"""Faster R-CNN over a batch of frames of one size: how often the host waits does not grow with it.

The networks, sizes and limits are torchvision's own, and so are the boxes but for rounding. There,
each frame's proposals and detections are chosen by themselves, and on a GPU each choice is waited
for several times; here one choice is made for all frames.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops.boxes import batched_nms, clip_boxes_to_image

_LEAST_SIDE = 0.01
"""Pixels of a side below which torchvision leaves out a detection."""


class Detection(nn.Module):
    """A detector of torchvision, called with a batch.

    Args:
        network: a `FasterRCNN` in eval mode, whose parts are taken over.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        of: Any = network
        self.transform, self.backbone = of.transform, of.backbone
        self.rpn, self.roi_heads = of.rpn, of.roi_heads
        for name in ("mean", "std"):
            values = torch.tensor(getattr(of.transform, f"image_{name}"))[:, None, None]
            self.register_buffer(f"_{name}", values, persistent=False)

    def forward(self, images_NCHW: Tensor) -> list[dict[str, Tensor]]:
        """Detections in frames on a scale of 1, as torchvision's own networks give them.

        Returns:
            For each frame, on the host, `boxes` `[n, 4]` in its pixels, `labels` and `scores`
            `[n]`, the surest first.
        """
        resized = self._resized(images_NCHW)
        size = (resized.shape[2], resized.shape[3])
        step = self.transform.size_divisible
        down, right = (-side % step for side in size)
        padded = F.pad(resized, (0, right, 0, down))
        maps = self.backbone(padded)
        proposals = self._proposals(maps, ImageList(padded, [size]))
        found = self._detections(maps, proposals, size)
        height, width = (a / b for a, b in zip(images_NCHW.shape[2:], size, strict=True))
        x1, y1, x2, y2 = found["boxes"].unbind(1)
        found["boxes"] = torch.stack([x1 * width, y1 * height, x2 * width, y2 * height], dim=1)
        on_host = {name: values.cpu() for name, values in found.items()}
        counts = on_host.pop("frames").bincount(minlength=len(images_NCHW)).tolist()
        by_frame = zip(*(torch.split(of, counts) for of in on_host.values()), strict=True)
        return [dict(zip(on_host, of_frame, strict=True)) for of_frame in by_frame]

    def _resized(self, images_NCHW: Tensor) -> Tensor:
        sides = images_NCHW.shape[2:]
        transform = self.transform
        scale = min(transform.min_size[-1] / min(sides), transform.max_size / max(sides))
        resized: Tensor = F.interpolate(
            (images_NCHW - self._mean) / self._std,
            scale_factor=scale,
            mode="bilinear",
            recompute_scale_factor=True,
            align_corners=False,
        )
        return resized

    def _proposals(self, maps: dict[str, Tensor], images: ImageList) -> list[Tensor]:
        """`[P, 4]` of each frame, in pixels of what the network sees."""
        rpn, levels = self.rpn, list(maps.values())
        objectness, deltas = rpn.head(levels)
        sizes = [math.prod(of_level.shape[1:]) for of_level in objectness]
        frames = len(objectness[0])
        anchors = rpn.anchor_generator(images, levels)[0].split(sizes)
        objectness, deltas = concat_box_prediction_layers(objectness, deltas)
        by_level = zip(
            objectness.view(frames, -1).split(sizes, 1),
            deltas.view(frames, -1, 4).split(sizes, 1),
            anchors,
            strict=True,
        )
        chosen = [self._of_level(*one, images.image_sizes[0]) for one in by_level]
        of_levels, scores_of, whole = zip(*chosen, strict=True)
        kept = torch.cat(unsuppressed(of_levels, whole, rpn.nms_thresh), dim=1)
        boxes, scores = torch.cat(of_levels, dim=1), torch.cat(scores_of, dim=1)
        frame, place = kept.nonzero(as_tuple=True)
        boxes, scores = boxes[frame, place], scores[frame, place]
        first = _surest(frame, scores, rpn.post_nms_top_n())
        of_frame = frame[first].tolist()
        counts = [of_frame.count(number) for number in range(frames)]
        return list(torch.split(boxes[first], counts))

    def _of_level(
        self, objectness: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes `[N, K, 4]` of a level, the surest first, their scores, and which are whole."""
        rpn = self.rpn
        best, places = objectness.topk(min(rpn.pre_nms_top_n(), objectness.shape[1]), dim=1)
        of_best = deltas.gather(1, places[..., None].expand(-1, -1, 4))
        decoded = rpn.box_coder.decode_single(of_best.flatten(0, 1), anchors[places].flatten(0, 1))
        boxes = clip_boxes_to_image(decoded.view(*places.shape, 4), size)
        scores = best.sigmoid()
        return boxes, scores, (_sides(boxes) >= rpn.min_size).all(-1) & (scores >= rpn.score_thresh)

    def _detections(
        self, maps: dict[str, Tensor], proposals: list[Tensor], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        heads = self.roi_heads
        pooled = heads.box_roi_pool(maps, proposals, [size] * len(proposals))
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        decoded = heads.box_coder.decode(deltas, proposals)
        boxes = clip_boxes_to_image(decoded.reshape(*logits.shape, 4), size)
        scores = logits.softmax(-1)
        sure = (scores > heads.score_thresh) & (_sides(boxes) >= _LEAST_SIDE).all(-1)
        sure[:, 0] = False  # the background
        row, label = sure.nonzero(as_tuple=True)
        boxes, scores = boxes[row, label], scores[row, label]
        stops = torch.tensor([len(one) for one in proposals]).cumsum(0).to(row.device)
        frame = torch.searchsorted(stops, row, right=True)
        # In 64 bits: torchvision moves groups apart, which rounds what others are in a batch.
        group = frame * logits.shape[1] + label
        kept = batched_nms(boxes.double(), scores.double(), group, heads.nms_thresh)
        kept = kept[_surest(frame[kept], scores[kept], heads.detections_per_img)]
        found = {"frames": frame, "boxes": boxes, "labels": label, "scores": scores}
        return {name: values[kept] for name, values in found.items()}


def unsuppressed(
    boxes: Sequence[Tensor], valid: Sequence[Tensor], threshold: float
) -> list[Tensor]:
    """Which boxes of each level no surer one of their frame that is kept itself covers, `[N, K]`.

    Every box is first taken for kept; each time that those which a kept one covers are given up,
    one more of each chain is settled, until nothing changes.

    Args:
        boxes: `[N, K, 4]` of each level, the surest first.
        valid: `[N, K]` of each level, which count at all.
        threshold: intersection over union above which a box is covered.
    """
    pairs = list(zip(valid, [_covers(one, threshold) for one in boxes], strict=True))
    kept, changed = list(valid), True
    while changed:
        before = kept
        kept = [
            of & ~(covers & k[:, :, None]).any(1)
            for (of, covers), k in zip(pairs, kept, strict=True)
        ]
        differ = [(a != b).any() for a, b in zip(before, kept, strict=True)]
        changed = bool(torch.stack(differ).any())
    return kept


def _covers(boxes_NK4: Tensor, threshold: float) -> Tensor:
    """Whether a box covers a less sure one, `[N, K, K]`."""
    left, top, right, bottom = boxes_NK4.unbind(-1)
    shared = _overlap(left, right).mul_(_overlap(top, bottom))
    areas = (right - left) * (bottom - top)
    covers: Tensor = shared / (areas[:, :, None] + areas[:, None] - shared) > threshold
    return covers.triu(1)


def _overlap(start: Tensor, stop: Tensor) -> Tensor:
    first = torch.maximum(start[:, :, None], start[:, None])
    last = torch.minimum(stop[:, :, None], stop[:, None])
    return (last - first).clamp_(min=0)


def _surest(frame: Tensor, scores: Tensor, most: int) -> Tensor:
    """Places of the surest ones of each frame, frame by frame."""
    order = scores.argsort(descending=True, stable=True)
    order = order[frame[order].argsort(stable=True)]
    of_frame = frame[order]
    rank = torch.arange(len(order), device=order.device) - torch.searchsorted(of_frame, of_frame)
    surest: Tensor = order[rank < most]
    return surest


def _sides(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2]
