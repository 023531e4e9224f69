"""What a store has already, read without touching it."""

from pathlib import Path

from egofeat.errors import RequestError
from egofeat.store.description import NAME, Description
from egofeat.store.failures import all_failures
from egofeat.store.formats import check_choice, open_shards
from egofeat.store.rows import Failure, Key
from egofeat.store.shards import segments_in


def begun(store: Path) -> bool:
    """Whether a folder says what store it is.

    One that does not is no store yet: whoever began it was killed at once, or is about to.
    """
    return (store / NAME).is_file()


def standing(store: Path) -> tuple[set[Key], list[Failure]]:
    """Segments in published shards, and failures of what is not there; nothing without a store.

    Raises:
        StoreError: the store is damaged.
    """
    if not begun(store):
        return set(), []
    shards = open_shards(store, Description.read(store))
    done = segments_in(shards)
    return done, all_failures(store, done, None)


def packing(store: Path, form: str | None, compress: str | None) -> tuple[str, str | None]:
    """How shards are laid on the disk, after comparing what is asked for with what is there.

    Args:
        store: folder of a store, begun or not.
        form: one of `FORMATS`; None is the store's own, `hdf5` for a new one.
        compress: one of `COMPRESSORS` or `none`; None is the store's own, none for a new one.

    Returns:
        The format, and how it is compressed, None if it is not.

    Raises:
        RequestError: no such format or compression, or not that of the store.
    """
    if not begun(store):
        form = form or "hdf5"
        check_choice(form, compress)
        return form, None if compress == "none" else compress
    existing = Description.read(store)
    for option, asked, has in (
        ("format", form, existing.format),
        ("compress", compress, existing.compress or "none"),
    ):
        if asked is not None and asked != has:
            raise RequestError(
                f"{store} was begun with --{option} {has}, not {asked}: leave --{option} out to "
                "join it, or choose another --out"
            )
    return existing.format, existing.compress
