"""From a weights file to a flat dict of tensors, without pickle's power to run code.

Read are `.safetensors`; torch files, of a state dict or of a training state that holds one; and
Caffe2 pickles, a dict of named NumPy arrays. Torch reads its own files as tensors and plain values
only; Caffe2's go through an unpickler that can make NumPy arrays and nothing else.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import load_file
from torch import Tensor

from egofeat.errors import WeightsError

_STATE_DICTS = ("model_state", "state_dict")
"""Where training programs keep the state dict, beside the epoch, the optimizer and options."""


class _RefusedError(Exception):
    """A pickle asks for more than arrays, tensors and plain values."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """State dict of a weights file, keys and shapes as they stand in it.

    Args:
        path: `.safetensors`, a torch file, or a Caffe2 pickle, whose blobs become float32.

    Raises:
        WeightsError: the file cannot be read, or holds more than tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = _read_pickle(path)
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file {path}: name one that exists") from None
    except _RefusedError:
        raise WeightsError(
            f"{path} holds more than tensors and is not read, since a pickle can run code: "
            "save its state_dict() alone, or convert it to .safetensors"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} cannot be read as weights ({reason}): fetch it again") from None
    state = _state_dict(loaded)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} is not a state dict of tensors: save the model's state_dict()")
    return state


def _read_pickle(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        # A Caffe2 file is one pickle of a dict; torch's, before 1.6, begin with one of a number.
        with path.open("rb") as file:
            first = _ArrayUnpickler(file, encoding="latin-1").load()
        if isinstance(first, dict):
            return first
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _RefusedError from error


def _state_dict(loaded: Any) -> Any:
    """The state dict in what a file holds; the thing itself where there is none inside."""
    if not isinstance(loaded, Mapping):
        return loaded
    if isinstance(blobs := loaded.get("blobs"), dict):
        # Counters and settings lie among the arrays.
        return {
            name: torch.from_numpy(blob.astype(np.float32))
            for name, blob in blobs.items()
            if isinstance(blob, np.ndarray) and blob.dtype.kind in "fiu"
        }
    for key in _STATE_DICTS:
        if isinstance(loaded.get(key), dict):
            return loaded[key]
    return loaded


def _latin1(text: str, encoding: str) -> bytes:
    """What pickles call to have bytes; `_codecs.encode` itself would know other codecs."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{
        (f"numpy.{core}.multiarray", name): getattr(multiarray, name)
        for core in ("core", "_core")  # before NumPy 2, and since
        for name in ("_reconstruct", "scalar")
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}
"""(module, name) to what a pickle of NumPy arrays may call."""


class _ArrayUnpickler(pickle.Unpickler):
    """Makes plain values and NumPy arrays; imports nothing, so a pickle can call nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Look a global up in the allow-list.

        Raises:
            _RefusedError: it is not there.
        """
        if (module_name, global_name) not in _ALLOWED:
            raise _RefusedError
        return _ALLOWED[module_name, global_name]
