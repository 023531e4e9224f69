"""Decode egocentric video once, keep frozen-backbone features, train light heads in minutes.

What stands here is egofeat's public face: docs/python.md tells it. It is imported when it is first
used. Everything else may change from one version to the next.
"""

# Nothing is imported here: who interrupts meanwhile would be shown a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from egofeat.pipelines.face import evaluate, extract_dataset, features, fit, predict
    from egofeat.pipelines.runs.run import load_run
    from egofeat.store import open_store

    __version__: str

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


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module 'egofeat' has no attribute {name!r}")
    from importlib import import_module, metadata  # noqa: PLC0415

    if name == "__version__":
        found = metadata.version("egofeat")
    else:
        found = getattr(import_module(f"egofeat.{_PLACES.get(name, 'pipelines.face')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
