"""The shard formats by name, and the shards of a store."""

from pathlib import Path

from egofeat.errors import RequestError
from egofeat.store.description import Description
from egofeat.store.formats.hdf5 import Hdf5Format
from egofeat.store.formats.shard import Shard, ShardFormat
from egofeat.store.formats.zarr import ZarrFormat

FORMATS: dict[str, ShardFormat] = {"hdf5": Hdf5Format(), "zarr": ZarrFormat()}
COMPRESSORS: tuple[str, ...] = tuple(
    dict.fromkeys(name for form in FORMATS.values() for name in form.compressors)
)
"""Every name that `compress` may have; not each format knows each."""


def check_choice(name: str, compress: str | None) -> None:
    """Refuse a format or a compression that there is not; `none` is one of each format.

    Raises:
        RequestError: naming what there is.
    """
    if name not in FORMATS:
        raise RequestError(f"there is no shard format {name!r}: choose {' or '.join(FORMATS)}")
    if compress in (None, "none") or compress in FORMATS[name].compressors:
        return
    mend = f"choose {' or '.join(FORMATS[name].compressors)}"
    others = [other for other, form in FORMATS.items() if compress in form.compressors]
    if others:
        mend += f", or the format {others[0]}"
    raise RequestError(f"{name} shards cannot be compressed with {compress!r}: {mend}")


def shard_paths(store: Path, description: Description) -> list[Path]:
    """List the published shards of a store, by name."""
    suffix = FORMATS[description.format].suffix
    found = (store / "shards").glob(f"*{suffix}")
    return sorted(path for path in found if not path.name.startswith("."))


def open_shards(store: Path, description: Description) -> list[Shard]:
    """Open every shard of a store, by name.

    Raises:
        StoreError: a shard is damaged.
    """
    form = FORMATS[description.format]
    return [form.open(path) for path in shard_paths(store, description)]
