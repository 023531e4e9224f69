"""Decode egocentric video once, keep frozen-backbone features, train light heads in minutes.

What stands here is egofeat's public face: docs/python.md tells it. It is imported when it is first
used. Everything else may change from one version to the next.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from egofeat.pipelines.face import evaluate, extract_dataset, features, fit, predict
    from egofeat.pipelines.runs.run import load_run
    from egofeat.store import open_store

__version__ = version("egofeat")
__all__ = [
    "__version__",
    "evaluate",
    "extract_dataset",
    "features",
    "fit",
    "load_run",
    "open_store",
    "predict",
]

_PLACES = {"open_store": "store", "load_run": "pipelines.runs.run"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        found = getattr(import_module(f"egofeat.{_PLACES.get(name, 'pipelines.face')}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'egofeat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
