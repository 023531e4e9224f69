"""The feature files that other projects read: how one segment's features become a file."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AnnotationStyle:
    """What a project that detects actions in time asks of annotations beside the common form."""

    subsets: Mapping[str, str] = field(default_factory=dict)
    """Split to what the project's published configurations call it, where that differs."""
    lists_classes: bool = False
    """Whether it reads the classes from a text file, a line each."""


@dataclass(frozen=True)
class ExportFormat:
    """How one project wants its files."""

    suffix: str
    encode: Callable[[NDArray[Any]], bytes]
    """Features of one segment to the bytes of its file."""
    videos: bool
    """Whether it takes whole videos, a vector a window, [N, C]; else whatever a store holds."""
    annotations: AnnotationStyle | None = None
    """None where the project reads none, or has its own."""


def _ego4d(features_NC: NDArray[Any]) -> bytes:
    """A plain float32 tensor as `torch.load` reads it with weights_only."""
    import torch  # noqa: PLC0415

    buffer = io.BytesIO()
    torch.save(torch.from_numpy(features_NC.astype(np.float32)), buffer)
    return buffer.getvalue()


def _actionformer(features_TC: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, feats=features_TC.astype(np.float32))
    return buffer.getvalue()


def _opentad(features_TC: NDArray[Any]) -> bytes:
    return _npy(features_TC.astype(np.float32))


def _npy(features: NDArray[Any]) -> bytes:
    """As stored, whatever the shape and dtype."""
    buffer = io.BytesIO()
    np.save(buffer, features)
    return buffer.getvalue()


FORMATS: dict[str, ExportFormat] = {
    "ego4d": ExportFormat(".pt", _ego4d, videos=True),
    "actionformer": ExportFormat(
        ".npz",
        _actionformer,
        videos=True,
        # configs/epic_slowfast_*.yaml and ego4d_*.yaml: train_split, val_split
        annotations=AnnotationStyle({"train": "training", "val": "validation"}),
    ),
    "opentad": ExportFormat(
        ".npy",
        _opentad,
        videos=True,
        # configs/_base_/datasets/epic_kitchens-100 and ego4d_mq: subset_name train, val
        annotations=AnnotationStyle(lists_classes=True),
    ),
    "npy": ExportFormat(".npy", _npy, videos=False),
}
