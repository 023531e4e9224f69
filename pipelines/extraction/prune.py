"""`egofeat prune`: removes feature stores, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egofeat import console
from egofeat.errors import RequestError
from egofeat.store import is_superseded
from egofeat.store.description import find_stores
from egofeat.store.reading.opening import find_store
from egofeat.store.removal import check_removable, half_removed, remove_leftover, remove_store


@dataclass(frozen=True)
class Pruned:
    """A store that goes, or what is left of one."""

    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class PruneReport:
    """What was removed, or would be; the object that `--json` prints."""

    removed: bool
    """False where it was only asked what would go."""
    stores: list[Pruned]
    leftovers: list[Pruned]
    """Of removals that were killed."""

    def lines(self) -> list[str]:
        """The report for people."""
        if not self.stores and not self.leftovers:
            return ["there is nothing to remove"]
        said = [f"{one.path}, {console.size(one.bytes)}" for one in self.stores]
        said += [
            f"{one.path}, {console.size(one.bytes)}, left by a removal that was interrupted"
            for one in self.leftovers
        ]
        total = console.size(sum(one.bytes for one in (*self.stores, *self.leftovers)))
        mend = "" if self.removed else ": add `yes` to remove them"
        return [*said, f"{total} {'removed' if self.removed else 'would be removed'}{mend}"]


def prune(
    stores: Sequence[Path], *, superseded: bool, out: Path = Path("features"), yes: bool
) -> PruneReport:
    """Remove stores, or say which would be removed and how large they are.

    Args:
        stores: folders of stores, superseded or not, or folders that hold one store each.
        superseded: also every store below `out` that a newer one took the place of.
        out: folder of all stores; looked at for the superseded ones only.
        yes: remove them; else nothing is changed.

    Raises:
        RequestError: nothing is named, or something that is not a store or holds more than one.
        StoreError: a store's description is damaged.
    """
    if not stores and not superseded:
        raise RequestError("no store is named: give folders of stores, or add `superseded`")
    if superseded and not out.is_dir():
        raise RequestError(f"there is no folder {out}: name the one of the stores with `out`")
    found = find_stores(out, superseded=True) if superseded else []
    named = [*map(_meant, stores), *filter(is_superseded, found)]
    chosen = list({path.resolve(): path for path in named}.values())
    for path in chosen:
        check_removable(path)
    folders = {path.resolve().parent: None for path in chosen}
    if superseded:
        below = (path for path in out.iterdir() if path.is_dir())
        folders |= {path.resolve(): None for path in (out, *below)}
    leftovers = [path for folder in folders for path in half_removed(folder)]
    report = PruneReport(
        removed=yes,
        stores=[_pruned(path) for path in chosen],
        leftovers=[_pruned(path) for path in leftovers],
    )
    if yes:
        for path in chosen:
            remove_store(path)
        for path in leftovers:
            remove_leftover(path)
    return report


def _meant(path: Path) -> Path:
    """The store at a path; what holds none is left to `check_removable`."""
    return find_store(path) if find_stores(path) else path


def _pruned(folder: Path) -> Pruned:
    files = (file for file in folder.rglob("*") if file.is_file())
    return Pruned(str(folder), sum(file.stat().st_size for file in files))
