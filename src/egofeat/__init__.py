"""Decode egocentric video once, keep frozen-backbone features, train light heads in minutes."""

from importlib.metadata import version

from egofeat.store import open_store

__version__ = version("egofeat")
__all__ = ["__version__", "open_store"]
