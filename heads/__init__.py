"""Stage two: features to predictions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from egofeat.heads.config import TrainerConfig
    from egofeat.heads.head import Head
    from egofeat.heads.names import HEADS, PRESETS
    from egofeat.heads.registry import build_head, head_options
    from egofeat.heads.training.examples import Examples
    from egofeat.heads.training.passes import predict
    from egofeat.heads.training.trainer import train

__all__ = [
    "HEADS",
    "PRESETS",
    "Examples",
    "Head",
    "TrainerConfig",
    "build_head",
    "head_options",
    "predict",
    "train",
]

_PLACES = {"TrainerConfig": "config", "Head": "head", "HEADS": "names", "PRESETS": "names"}
_PLACES |= {"Examples": "training.examples", "predict": "training.passes"}
_PLACES |= {"train": "training.trainer"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: options are read without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'registry')}"), name)
