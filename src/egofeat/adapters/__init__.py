"""Annotation formats, one file each: from what a data set publishes to a `Dataset`."""

from egofeat.adapters.entry import Entry
from egofeat.adapters.formats import ADAPTERS, Adapter

__all__ = ["ADAPTERS", "Adapter", "Entry"]
