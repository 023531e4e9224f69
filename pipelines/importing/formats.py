"""The kinds of feature files that are read, and what their publishers say of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from egofeat.pipelines.importing.arrays import Archive, Arrays, Files, Hdf5, Lmdb


@dataclass(frozen=True)
class Format:
    """One kind of files."""

    open: Callable[[Path, str | None], Arrays]
    """Of a path, and of `key`."""
    fps: float | None = None
    window: int | None = None
    stride: int | None = None
    """Of rows of whole videos, where the format itself says so."""
    of: str | None = None
    """`video`, where arrays of the format are those of whole videos."""


def _npz(root: Path, key: str | None) -> Arrays:
    return Archive(root) if root.is_file() else Files(root, (".npz",), key)


FORMATS: Mapping[str, Format] = {
    "npy": Format(lambda root, key: Files(root, (".npy",), key)),
    "npz": Format(_npz),
    "hdf5": Format(Hdf5),
    # RULSTM: a row a frame, of videos at 30 frames a second.
    "lmdb": Format(Lmdb, fps=30, window=1, stride=1, of="video"),
    # ego4d/features/configs: all networks of clips have these three.
    "ego4d": Format(
        lambda root, key: Files(root, (".pt",), key), fps=30, window=32, stride=16, of="video"
    ),
    "actionformer": Format(lambda root, key: Files(root, (".npz", ".npy", ".pt"), key), of="video"),
    "opentad": Format(lambda root, key: Files(root, (".npy", ".npz", ".pt"), key), of="video"),
}
