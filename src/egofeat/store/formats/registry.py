"""The shard formats by name, and the shards of a store."""

from pathlib import Path
from typing import Any

from egofeat.errors import RequestError, StoreError
from egofeat.plugins import Plugin, Registry
from egofeat.store.description import Description
from egofeat.store.formats.hdf5 import Hdf5Format
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.formats.zarr import ZarrFormat


def _adopt(_: Plugin, found: Any) -> ShardFormat:
    if not isinstance(found, type) or not issubclass(found, ShardFormat):
        raise TypeError("a class of egofeat.store.ShardFormat")
    return found()


FORMATS: Registry[ShardFormat] = Registry(
    "store format", "egofeat.stores", {"hdf5": Hdf5Format(), "zarr": ZarrFormat()}, _adopt
)


def check_choice(name: str, compress: str | None) -> None:
    """Refuse a format or a compression that there is not; `none` is one of each format.

    Raises:
        RequestError: naming what there is.
    """
    if name not in FORMATS:
        raise RequestError(f"there is no shard format {name!r}: choose {' or '.join(FORMATS)}")
    known = FORMATS[name].compressors
    if compress in (None, "none") or compress in known:
        return
    mend = f"choose {' or '.join(known or ('none',))}"
    others = [other for other in FORMATS.own if compress in FORMATS[other].compressors]
    if others:
        mend += f", or the format {others[0]}"
    raise RequestError(f"{name} shards cannot be compressed with {compress!r}: {mend}")


def format_of(store: Path, description: Description) -> ShardFormat:
    """How the shards of a store are laid on the disk.

    Raises:
        StoreError: no installed package has that format, or the package is broken.
    """
    name = description.format
    try:
        if name in FORMATS:
            return FORMATS[name]
    except RequestError as error:
        raise StoreError(f"{store} cannot be read: {error}") from None
    raise StoreError(
        f"{store} is in the store format {name!r}, which is not installed: install the package "
        "that adds it"
    )


def shard_paths(store: Path, description: Description) -> list[Path]:
    """List the published shards of a store, by name."""
    form = format_of(store, description)
    return sorted(path for path in (store / "shards").glob("*") if is_shard(path.name, form))


def is_shard(name: str, form: ShardFormat) -> bool:
    """Whether a name in the folder of shards is that of a published one."""
    return name.endswith(form.suffix) and not name.startswith(".")
