"""Arrays of features in files of any kind, by name, one at a time."""

import pickle
import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError, MissingMediaError, RequestError, UnreadableMediaError

KEYS = ("feats", "features")
"""What projects call the array in a file of several."""
FRAMES = "{video}_frame_{frame:010d}.jpg"
"""How RULSTM calls a frame's features."""


@dataclass(frozen=True)
class Array:
    """Features of one segment or video, `[T, C]`, read a few rows at a time."""

    rows: int
    channels: int
    dtype: np.dtype[Any]
    take: Callable[[NDArray[np.int64]], NDArray[Any]]
    """Rows by number, `[n]` to `[n, C]`."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Array":
        """An array `[T, C]` or `[C]`.

        Raises:
            MediaError: it has another shape, or no numbers; the message lacks its subject.
        """
        if values.dtype.kind not in "fiu" or not values.size or values.ndim not in (1, 2):
            raise MediaError(
                f"holds {values.dtype} of shape {list(values.shape)}: give numbers [T, C] or [C]"
            )
        rows = values.reshape(-1, values.shape[-1])
        return cls(*rows.shape, rows.dtype, lambda numbers: rows[numbers])


class Arrays(ABC):
    """All arrays of a source, by name."""

    root: Path

    @abstractmethod
    def names(self, videos: Sequence[str]) -> Mapping[str, Path]:
        """Name of each array to the file that it stands in.

        Args:
            videos: that there may be, for a source that does not list what it has.
        """

    @abstractmethod
    def read(self, name: str) -> Array:
        """Open one of them.

        Raises:
            MediaError: it cannot be read.
        """


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a file."""
    try:
        yield
    except MediaError as error:
        raise type(error)(f"{path} {error}") from None
    except FileNotFoundError:
        raise MissingMediaError(f"{path} is not there any more: put it back") from None
    except pickle.UnpicklingError:
        raise MediaError(
            f"{path} holds other objects than tensors, or is cut short, and egofeat runs no code "
            "of pickles: save the tensor alone with torch.save"
        ) from None
    except (ValueError, KeyError, EOFError, RuntimeError, MemoryError, zlib.error) as error:
        pickled = "allow_pickle" in str(error) or "Python objects" in str(error)
        cut = f"cut short, or no such file: {type(error).__name__}"
        why = "it holds a pickle, which egofeat does not read" if pickled else cut
        raise MediaError(f"{path} cannot be read ({why}): fetch or save it again") from None
    except TypeError as error:  # tensors that NumPy has no numbers for: sparse, of 8 bits
        raise MediaError(f"{path} is no dense tensor of numbers ({error}): save one") from None
    except zipfile.BadZipFile:
        raise MediaError(f"{path} is cut short or no archive: fetch or save it again") from None
    except OSError as error:
        raise UnreadableMediaError(f"{path} cannot be read ({error}): check the file") from None


class Files(Arrays):
    """A folder with a file an array, in folders below it too."""

    def __init__(self, root: Path, suffixes: Sequence[str], key: str | None) -> None:
        if not root.is_dir():
            raise RequestError(f"{root} is no folder: name the one that holds the feature files")
        self.root = root
        self._key = key
        found = (path for path in sorted(root.rglob("*")) if path.suffix in suffixes)
        self._paths: dict[str, Path] = {}
        for path in filter(Path.is_file, found):
            other = self._paths.setdefault(path.relative_to(root).with_suffix("").as_posix(), path)
            if other != path:
                raise RequestError(
                    f"{other} and {path.name} are both arrays of that name: leave one of them there"
                )

    def names(self, videos: Sequence[str]) -> Mapping[str, Path]:
        """See `Arrays.names`."""
        return self._paths

    def read(self, name: str) -> Array:
        """See `Arrays.read`."""
        path = self._paths[name]
        with _saying(path):
            return Array.of(_LOADERS[path.suffix](path, self._key))


def _npy(path: Path, _: str | None) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


def _npz(path: Path, key: str | None) -> NDArray[Any]:
    with _archive(path) as archive:
        values: NDArray[Any] = archive[_chosen(list(archive), key)]
        return values


def _archive(path: Path) -> Any:
    """Open an archive; one that is none is left closed, which NumPy would not do."""
    with zipfile.ZipFile(path):
        pass
    return np.load(path, allow_pickle=False)


def _torch(path: Path, key: str | None) -> NDArray[Any]:
    """Tensors alone: what else a pickle asks for is refused."""
    import torch  # noqa: PLC0415

    with warnings.catch_warnings(action="ignore"):  # of a pickle's protocol, before it is refused
        found = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, dict):
        found = found[_chosen(list(found), key)]
    if not isinstance(found, torch.Tensor):
        raise MediaError(f"holds a {type(found).__name__}: save the tensor alone")
    found = found.detach()
    values: NDArray[Any] = (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    return values


_LOADERS: Mapping[str, Callable[[Path, str | None], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _torch,
    ".pth": _torch,
}


def _chosen(names: Sequence[str], key: str | None) -> str:
    known = [key] if key else [*(name for name in KEYS if name in names), *names[:1]]
    if not known or known[0] not in names or (not key and names[1:] and known[0] not in KEYS):
        listed = ", ".join(map(str, names[:5])) or "nothing"
        raise MediaError(f"holds {listed}: name the one to read with `key`")
    return known[0]


class Archive(Arrays):
    """One `.npz` with an array an id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with _refusing(root):
            self._file = _archive(root)

    def names(self, videos: Sequence[str]) -> Mapping[str, Path]:
        """See `Arrays.names`."""
        return dict.fromkeys(self._file, self.root)

    def read(self, name: str) -> Array:
        """See `Arrays.read`."""
        with _saying(self.root):
            return Array.of(self._file[name])


class Hdf5(Arrays):
    """One HDF5 file with a data set an id, in groups too."""

    def __init__(self, root: Path, key: str | None) -> None:
        import h5py  # noqa: PLC0415

        self.root = root
        with _refusing(root):
            self._file = h5py.File(root, "r")
            if key and key not in self._file:
                raise RequestError(f"{root} has no group '{key}': leave `key` out, or name another")
        self._names: dict[str, str] = {}
        start = f"{key.strip('/')}/" if key else ""

        def note(name: str, found: object) -> None:
            if isinstance(found, h5py.Dataset) and name.startswith(start):
                self._names[name.removeprefix(start)] = name

        self._file.visititems(note)

    def names(self, videos: Sequence[str]) -> Mapping[str, Path]:
        """See `Arrays.names`."""
        return dict.fromkeys(self._names, self.root)

    def read(self, name: str) -> Array:
        """See `Arrays.read`."""
        with _saying(self.root):
            found = self._file[self._names[name]]
            if found.external or found.is_virtual:
                raise MediaError(f"keeps the numbers of {name} in another file: copy them into it")
            return Array.of(np.asarray(found[()]))


class Lmdb(Arrays):
    """An LMDB environment with a float32 vector a frame, as RULSTM's."""

    def __init__(self, root: Path, key: str | None) -> None:
        try:
            import lmdb  # noqa: PLC0415
        except ImportError:
            raise RequestError(
                "files of lmdb need the package lmdb: install egofeat[lmdb]"
            ) from None
        self.root = root
        self._form = key or FRAMES
        try:
            ends = self._form.format(video="v", frame=1) != self._form.format(video="v", frame=2)
        except (KeyError, ValueError, IndexError):
            ends = False
        if not ends or "{frame" not in self._form or "{video}" not in self._form:
            raise RequestError(f"`key` {self._form} names no frame: give one such as {FRAMES}")
        try:
            folder = root.is_dir()
            self._env = lmdb.open(str(root), subdir=folder, readonly=True, lock=False)
        except lmdb.Error as error:
            raise RequestError(
                f"{root} is no LMDB environment ({error}): name the folder of data.mdb"
            ) from None
        self._file = root / "data.mdb" if folder else root
        pages = self._env.info()["last_pgno"] + 1
        if self._file.stat().st_size < pages * self._env.stat()["psize"]:
            raise RequestError(f"{self._file} is cut short: fetch it again")

    def names(self, videos: Sequence[str]) -> Mapping[str, Path]:
        """See `Arrays.names`: those of the videos that have a frame."""
        return {video: self._file for video in videos if self._numbers(video)}

    def _numbers(self, video: str) -> range:
        """Numbers of a video's frames from 1, or 0 where there is one, to the last."""
        start, _, after = self._form.partition("{frame")
        prefix = start.format(video=video).encode()
        end = after.partition("}")[2].format(video=video).encode()
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            if not cursor.set_range(prefix) or not cursor.key().startswith(prefix):
                return range(0)
            first = cursor.key()
            # No number has a byte above 9.
            found = cursor.prev() if cursor.set_range(prefix + b":") else cursor.last()
            last = cursor.key() if found else first
        numbers = [key.removeprefix(prefix).removesuffix(end) for key in (first, last)]
        if not all(number.isdigit() for number in numbers):
            return range(0)
        return range(min(int(numbers[0]), 1), int(numbers[1]) + 1)

    def read(self, name: str) -> Array:
        """See `Arrays.read`: row k is the k-th frame of the video, which may not be there."""
        numbers = self._numbers(name)

        def take(rows: NDArray[np.int64]) -> NDArray[Any]:
            with _saying(self._file), self._env.begin() as transaction:
                found = []
                for row in rows.tolist():
                    key = self._form.format(video=name, frame=numbers[row])
                    value = transaction.get(key.encode())
                    if value is None or len(value) != 4 * channels:
                        what = "no" if value is None else f"{len(value)} bytes of"
                        raise MediaError(f"has {what} features of {key}: fetch it again")
                    found.append(np.frombuffer(value, "<f4"))
                return np.stack(found)

        with self._env.begin() as transaction:
            key = self._form.format(video=name, frame=numbers[-1]).encode()
            channels = len(transaction.get(key) or b"") // 4
        if not channels:
            raise MediaError(f"{self._file} has empty features of {key.decode()}: fetch it again")
        return Array(len(numbers), channels, np.dtype("<f4"), take)


@contextmanager
def _refusing(root: Path) -> Iterator[None]:
    """A source that cannot be opened at all is a wrong request."""
    try:
        with _saying(root):
            if not root.is_file():
                raise RequestError(f"{root} is no file: name the one that holds the features")
            yield
    except MediaError as error:
        raise RequestError(str(error)) from None
