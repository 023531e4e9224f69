"""The feature store: whole shards written by any number of workers, read memory-mapped."""

from egofeat.store.description import begun
from egofeat.store.formats.registry import FORMATS
from egofeat.store.formats.shard import Content, Place, ShardFile, ShardFormat, TapArray
from egofeat.store.listing import StoreSummary, list_stores, versions
from egofeat.store.progress import Progress, progress_of
from egofeat.store.reading.features import Rows
from egofeat.store.reading.joined import join, open_persons, open_stores
from egofeat.store.reading.opening import open_store
from egofeat.store.reading.persons import PersonRows
from egofeat.store.reading.stores import FeatureStore, PersonStore, SegmentStore, WindowStore
from egofeat.store.rows import Failure, Key, ShardRows
from egofeat.store.sidecar.box_table import BoxTable
from egofeat.store.superseding import is_superseded, supersede
from egofeat.store.table import Table
from egofeat.store.verify import Problem, verify
from egofeat.store.writer import StoreWriter

__all__ = [
    "FORMATS",
    "BoxTable",
    "Content",
    "Failure",
    "FeatureStore",
    "Key",
    "PersonRows",
    "PersonStore",
    "Place",
    "Problem",
    "Progress",
    "Rows",
    "SegmentStore",
    "ShardFile",
    "ShardFormat",
    "ShardRows",
    "StoreSummary",
    "StoreWriter",
    "Table",
    "TapArray",
    "WindowStore",
    "begun",
    "is_superseded",
    "join",
    "list_stores",
    "open_persons",
    "open_store",
    "open_stores",
    "progress_of",
    "supersede",
    "verify",
    "versions",
]
