"""Stage two: features to predictions."""

from egofeat.heads.config import TrainerConfig
from egofeat.heads.head import Head
from egofeat.heads.registry import HEADS, PRESETS, build_head, head_options
from egofeat.heads.training.trainer import Examples, train

__all__ = [
    "HEADS",
    "PRESETS",
    "Examples",
    "Head",
    "TrainerConfig",
    "build_head",
    "head_options",
    "train",
]
