"""From a weights file to a flat dict of tensors, without pickle's power to run code.

Read are `.safetensors`; torch files, of a state dict or of a training state that holds one; and
Caffe2 pickles, a dict of named NumPy arrays. Torch reads its own files as tensors and plain values
only. A Caffe2 pickle never reaches NumPy, whose own unpickling trusts what it is told: we write
down how arrays were to be made, and make those of plain numbers ourselves, from their bytes.
"""

import json
import math
import pickle
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from egofeat.errors import WeightsError

_STATE_DICTS = ("model_state", "state_dict")
"""Where training programs keep the state dict, along with the epoch, the optimizer and options."""


METADATA = "egofeat"
"""Key, in a `.safetensors` file that egofeat wrote, of what is known beside tensors, as JSON."""


class _RefusedError(Exception):
    """A pickle asks for more than arrays, tensors and plain values."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """State dict of a weights file, keys and shapes as they stand in it.

    Args:
        path: `.safetensors`, a torch file, or a Caffe2 pickle, whose blobs of numbers become
            float32; blobs of anything else are left out.

    Raises:
        WeightsError: there is no such file, it cannot be read, it asks for more than arrays,
            tensors and plain values, there is no state dict in it, or a value that is no number.
    """
    try:
        size = _size_of(path)
        tensors = load_file(path) if path.suffix == ".safetensors" else _read_state(path, size)
        _check_numbers(tensors, path)
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file {path}: name one that exists") from None
    except WeightsError:
        raise
    except _RefusedError:
        raise WeightsError(
            f"{path} holds more than tensors and is not read, since a pickle can run code: "
            "save its state_dict() alone, or convert it to .safetensors"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        reason = re.sub(r" at 0x[0-9a-f]+", "", "".join(str(error).splitlines()[:1]))[:200]
        if isinstance(error, (LookupError, EOFError, UnpicklingError)):  # `118`, a code of pickle's
            reason = "it is no torch file, or cut off"
        raise WeightsError(
            f"{path} cannot be read as weights ({reason or type(error).__name__}): give another "
            "file, or download it again"
        ) from None
    return tensors


def _read_state(path: Path, size: int) -> dict[str, Tensor]:
    """State dict of a file of `size` bytes that holds a pickle."""
    state = _state_dict(_read_pickle(path, size), size)
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise WeightsError(f"{path} is not a state dict of tensors: save the model's state_dict()")
    if any(value.numel() * value.element_size() > size for value in state.values()):
        raise WeightsError(
            f"{path} has a tensor that is larger than the file, of one value: save whole tensors"
        )
    # DataParallel saves every key behind this prefix.
    return {key.removeprefix("module."): value for key, value in state.items()}


def _check_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    floating = {key: value for key, value in tensors.items() if value.is_floating_point()}
    for key, value in floating.items():
        numbers = value.float()  # those of 8 bits are not summed
        # Infinities of both signs have no sum, and are numbers.
        if numbers.sum().isnan() and numbers.isnan().any():
            raise WeightsError(
                f"{path}: {key} holds values that are no numbers (NaN): give another file, or "
                "download it again"
            )


def read_facts(path: Path) -> dict[str, Any]:
    """What egofeat wrote into a `.safetensors` file beside its tensors; nothing of others.

    `like` is the name of the published weights whose preprocessing the file goes with.
    """
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "numpy") as file:
        said = (file.metadata() or {}).get(METADATA, "{}")
    try:
        facts = json.loads(said)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def detection_settings(path: Path) -> dict[str, Any]:
    """How boxes were cut out of maps, where a training state of PySlowFast says so in its `cfg`.

    Args:
        path: a weights file that `read_tensors` reads.

    Returns:
        `aligned`, or nothing.
    """
    if path.suffix == ".safetensors":
        return {}
    loaded = _read_pickle(path, _size_of(path))
    text = loaded.get("cfg") if isinstance(loaded, Mapping) else None
    try:
        settings = yaml.safe_load(text) if isinstance(text, str) else None
    except (yaml.YAMLError, RecursionError):
        return {}
    part = settings.get("DETECTION") if isinstance(settings, Mapping) else None
    aligned = part.get("ALIGNED") if isinstance(part, Mapping) else None
    return {"aligned": aligned} if isinstance(aligned, bool) else {}


def _size_of(path: Path) -> int:
    """Bytes of a file; nothing that is made of it may be much larger."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no file")
    return found.st_size


def _read_pickle(path: Path, size: int) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > size:
                raise ValueError("it is compressed, and torch writes no such file")
    else:
        # A Caffe2 file is one pickle of a dict; torch's, before 1.6, begin with one of a number.
        with path.open("rb") as file:
            first = _ArrayUnpickler(file, encoding="latin-1").load()
        if isinstance(first, dict):
            return first
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _RefusedError from error


def _state_dict(loaded: Any, size: int) -> Any:
    """The state dict in what a file of `size` bytes holds; the thing itself where none is inside.

    Raises:
        _RefusedError, ValueError: see `_Array.numbers`; or the arrays are more than the file.
    """
    if not isinstance(loaded, Mapping):
        return loaded
    if isinstance(blobs := loaded.get("blobs"), dict):
        # Counters and settings lie among the arrays.
        arrays = {name: blob.numbers() for name, blob in blobs.items() if isinstance(blob, _Array)}
        if sum(array.nbytes for array in arrays.values() if array is not None) > size:
            raise ValueError("it names one array many times")
        return {
            name: torch.from_numpy(array.astype(np.float32))
            for name, array in arrays.items()
            if array is not None
        }
    for key in _STATE_DICTS:
        if isinstance(loaded.get(key), dict):
            return loaded[key]
    return loaded


class _Call:
    """What a pickle asked to have called, and the state that it gave the result; nothing is.

    The arguments and the state are whatever the pickle says: plain values and calls like this.
    """

    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Encoded(_Call):
    """`_codecs.encode(text, codec)`, as pickles before protocol 3 spell bytes."""

    def content(self) -> bytes:
        """The bytes.

        Raises:
            _RefusedError: the codec is another than Latin-1.
        """
        text, codec = self.args
        if codec not in ("latin1", "latin-1"):
            raise _RefusedError
        return bytes(text, "latin-1")


class _Dtype(_Call):
    """`numpy.dtype(code, ...)`; its state begins with a version and the order of bytes."""

    def numbers(self) -> "np.dtype[Any] | None":
        """The type; None for any but integers and floats, as objects, strings and records.

        Raises:
            _RefusedError: it pretends to be plain, and has fields, flags or a size of its own.
        """
        if not re.fullmatch(r"[fiu][1248]", str(self.args[0])):
            return None
        _, order, *rest = self.state
        if order not in ("<", ">", "=", "|") or rest != [None, None, None, -1, -1, 0]:
            raise _RefusedError
        plain: np.dtype[Any] = np.dtype(self.args[0])
        return plain.newbyteorder(order)


class _Array(_Call):
    """An array as NumPy pickles it; its state is (version, shape, dtype, Fortran order, bytes)."""

    def numbers(self) -> NDArray[Any] | None:
        """The array, read-only; None for one of other things than numbers.

        Raises:
            _RefusedError: its type is not what it seems.
            ValueError: shape, type and number of bytes disagree.
        """
        _, shape, dtype, in_columns, content = self.state
        if not isinstance(dtype, _Dtype):
            raise _RefusedError
        if (kind := dtype.numbers()) is None:
            return None
        if isinstance(content, str):  # Python 2 had no other bytes
            content = content.encode("latin-1")
        elif isinstance(content, _Encoded):
            content = content.content()
        if math.prod(shape) * kind.itemsize != len(content):
            raise ValueError("an array has another size than its bytes")
        return np.frombuffer(content, kind).reshape(shape, order="F" if in_columns else "C")


_ALLOWED: dict[tuple[str, str], type[_Call]] = {
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")  # before NumPy 2, and since
        for name, stand_in in (("_reconstruct", _Array), ("scalar", _Call))
    },
    ("numpy", "ndarray"): _Call,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoded,
}
"""(module, name) that pickles of NumPy arrays call, to what stands in for it."""


class _ArrayUnpickler(pickle._Unpickler):
    """Makes plain values and records of calls; imports nothing and calls nothing of a pickle's.

    That of Python, which remembers objects by number in a dict: the one in C has a list as long as
    the largest number, and a pickle of 13 bytes can name one of gigabytes.
    """

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The stand-in of a global.

        Raises:
            _RefusedError: it has none.
        """
        if (module_name, global_name) not in _ALLOWED:
            raise _RefusedError
        return _ALLOWED[module_name, global_name]
