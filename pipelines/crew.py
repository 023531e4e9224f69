"""Which workers the options ask for, and where the work is planned then."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from egofeat.device import choose_device
from egofeat.engines.crew import Engine, Seat
from egofeat.engines.local import Processes, end_if_started_again
from egofeat.engines.on_ray import Actors
from egofeat.engines.on_slurm import NUMBERS, Array
from egofeat.errors import RequestError
from egofeat.extract.decoding.threads import MOST
from egofeat.host import cores
from egofeat.pipelines.options import Compute

_Asked = TypeVar("_Asked", bound=Compute)


def settled(asked: _Asked) -> _Asked:
    """The options, `all` devices named; a single one of them is this process's own.

    Where others do the work, it is planned on the processor.

    Raises:
        RequestError: a device that is not there, or what no engine takes.
    """
    devices = asked.devices
    if devices:
        end_if_started_again()
    if asked.ray:
        _of_ray(asked.ray)
    if asked.slurm:
        _of_slurm(asked.slurm)
    if asked.has_crew and asked.device != "auto":
        raise RequestError("`device` is of this process alone: leave it out")
    if "all" in devices:
        if devices != ("all",):
            raise RequestError("`devices` all goes with no other: give it alone")
        number = torch.cuda.device_count()
        devices = tuple(f"cuda:{n}" for n in range(number)) or ("cpu",)
    for device in dict.fromkeys(devices):
        choose_device(device)
    if len(devices) == 1:
        return replace(asked, devices=(), device=devices[0])
    if devices or asked.ray or asked.slurm:
        return replace(asked, devices=devices, device="cpu")
    return asked


def engine_of(asked: Compute, logs: Path) -> Engine | None:
    """What starts the workers that are asked for; None: this process works alone.

    Args:
        asked: settled.
        logs: folder for scripts and logs, on a disk that all machines share.

    Raises:
        RequestError: what it needs is not installed, or does not answer.
    """
    if asked.ray:
        return Actors(*_of_ray(asked.ray))
    if asked.slurm:
        return Array(logs, _of_slurm(asked.slurm))
    return Processes(asked.devices) if asked.devices else None


def threads_of(asked: int | None, seat: Seat) -> int:
    """Decoding threads of a worker: as many as are asked for, or its share of the cores.

    A network on the processor has its share as well, and no more than `OMP_NUM_THREADS`.
    """
    share = max(1, seat.cores or cores() // seat.sharing)
    if (seat.cores or seat.sharing > 1) and choose_device(seat.device).type == "cpu":
        torch.set_num_threads(min(share, torch.get_num_threads()))
    return asked or min(share, MOST)


def _of_ray(text: str) -> tuple[str, dict[str, float]]:
    """Address of a cluster, and what a worker needs."""
    address, *words = text.split(",")
    needs: dict[str, float] = {}
    for name, value in _pairs("ray", words).items():
        if name not in ("gpus", "cpus", "workers"):
            raise RequestError(f"`ray` has {name}: choose gpus, cpus or workers")
        try:
            needs[name] = float(value)
        except ValueError:
            needs[name] = math.nan
        if name == "workers" and not needs[name].is_integer():
            needs[name] = math.nan
        if not (0 if name == "gpus" else 1e-3) <= needs[name] < 2**31:
            least = {"gpus": "0 or more", "cpus": "more than 0", "workers": "1 or more"}[name]
            raise RequestError(f"`ray` has {name}={value}: give {least}")
    return address, needs


def _of_slurm(text: str) -> dict[str, str]:
    """What the jobs of an array are given."""
    needs = _pairs("slurm", text.split(","))
    for name in NUMBERS:
        value = needs.get(name, "1")
        if not (value.isascii() and value.isdecimal() and 0 < int(value) < 2**31):
            raise RequestError(f"`slurm` has {name}={value}: give a whole number, 1 or more")
    return needs


def _pairs(option: str, words: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise RequestError(f"`{option}` has {word or 'an empty word'}: give name=value")
        if name in pairs:
            raise RequestError(f"`{option}` has {name} twice: give it once")
        pairs[name] = value
    return pairs
