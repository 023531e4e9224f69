"""The feature store: whole shards written by any number of workers, read memory-mapped."""

from egofeat.store.formats.registry import COMPRESSORS, FORMATS
from egofeat.store.listing import StoreSummary, list_stores, versions
from egofeat.store.reading.joined import JoinedStore, open_stores
from egofeat.store.reading.opening import open_store
from egofeat.store.reading.persons import PersonRows, open_persons
from egofeat.store.reading.reader import FeatureStore
from egofeat.store.recipe import Recipe
from egofeat.store.rows import Failure, Key, ShardRows
from egofeat.store.sidecar.box_table import BoxTable
from egofeat.store.standing import begun, standing
from egofeat.store.superseding import is_superseded, supersede
from egofeat.store.verify import Problem, verify
from egofeat.store.writer import StoreWriter

__all__ = [
    "COMPRESSORS",
    "FORMATS",
    "BoxTable",
    "Failure",
    "FeatureStore",
    "JoinedStore",
    "Key",
    "PersonRows",
    "Problem",
    "Recipe",
    "ShardRows",
    "StoreSummary",
    "StoreWriter",
    "begun",
    "is_superseded",
    "list_stores",
    "open_persons",
    "open_store",
    "open_stores",
    "standing",
    "supersede",
    "verify",
    "versions",
]
