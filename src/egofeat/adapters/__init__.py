"""Annotation formats, one file each: from what a data set publishes to a `Dataset`."""

from egofeat.adapters.formats import ADAPTERS, Adapter

__all__ = ["ADAPTERS", "Adapter"]
