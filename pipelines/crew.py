"""Which workers the options ask for, and where the work is planned then."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from egofeat.device import choose_device
from egofeat.engines.crew import Engine, Seat
from egofeat.engines.local import Processes
from egofeat.engines.on_ray import Actors
from egofeat.engines.on_slurm import Array
from egofeat.errors import RequestError
from egofeat.extract.threads import decoding_threads
from egofeat.pipelines.options import Compute

_Asked = TypeVar("_Asked", bound=Compute)


def settled(asked: _Asked) -> _Asked:
    """The options, `all` devices named; a single one of them is this process's own.

    Where others do the work, it is planned on the processor.

    Raises:
        RequestError: a device that is not there.
    """
    devices = asked.devices
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
        if asked.device != "auto":
            raise RequestError("`device` is of this process alone: leave it out")
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
        address, *needs = asked.ray.split(",")
        return Actors(address, {name: _number(name, text) for name, text in _pairs("ray", needs)})
    if asked.slurm:
        return Array(logs, dict(_pairs("slurm", asked.slurm.split(","))))
    return Processes(asked.devices) if asked.devices else None


def threads_of(asked: int | None, seat: Seat) -> int:
    """Decoding threads of a worker: as many as are asked for, or its share of the cores.

    Of a network on the processor, it is given as many.
    """
    share = max(1, decoding_threads() // seat.sharing)
    if seat.sharing > 1 and choose_device(seat.device).type == "cpu":
        torch.set_num_threads(share)
    return asked or share


def _pairs(option: str, words: list[str]) -> list[tuple[str, str]]:
    pairs = [word.partition("=") for word in words]
    for name, equals, text in pairs:
        if not (name and equals and text):
            raise RequestError(f"`{option}` has {name or 'an empty word'}: give name=value")
    return [(name, text) for name, _, text in pairs]


def _number(name: str, text: str) -> float:
    if name not in ("gpus", "cpus", "workers"):
        raise RequestError(f"`ray` has {name}: choose gpus, cpus or workers")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    of_workers = name == "workers" and not number.is_integer()
    if not 0 <= number < 2**31 or (name != "gpus" and number == 0) or of_workers:
        raise RequestError(f"`ray` has {name}={text}: give a number")
    return number
