"""The table of formats: what `format:` may say, and who reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from egofeat.adapters import ava, egtea, epic_kitchens, epic_kitchens_55, folder, kinetics, videos
from egofeat.adapters.entry import Entry
from egofeat.adapters.reading import csv_table
from egofeat.plugins import Plugin, Registry
from egofeat.segments import Dataset

E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class Adapter(Generic[E]):
    """The keys of an entry, and the function that reads the data set it describes."""

    entry: type[E]
    read: Callable[[str, E, Path], Dataset]
    """`read(name, entry, root)`; `root` is the folder where relative paths start.

    Raises `ManifestError` with a clause that the manifest completes with its own
    file's and the entry's name.
    """


def _adopt(_: Plugin, found: Any) -> Adapter[Any]:
    if not isinstance(found, Adapter):
        raise TypeError("an egofeat.adapters.Adapter")
    return found


ADAPTERS: Registry[Adapter[Any]] = Registry(
    "data-set format",
    "egofeat.datasets",
    {
        "folder": Adapter(folder.FolderEntry, folder.read),
        "csv": Adapter(csv_table.CsvEntry, csv_table.read),
        "epic-kitchens-100": Adapter(epic_kitchens.EpicEntry, epic_kitchens.read),
        "epic-kitchens-55": Adapter(epic_kitchens_55.Epic55Entry, epic_kitchens_55.read),
        "egtea-gaze+": Adapter(egtea.EgteaEntry, egtea.read),
        "ava": Adapter(ava.AvaEntry, ava.read),
        "kinetics": Adapter(kinetics.KineticsEntry, kinetics.read),
        "videos": Adapter(videos.VideosEntry, videos.read),
    },
    _adopt,
)
