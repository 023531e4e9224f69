"""Workers on a Ray cluster: an actor each."""

import builtins
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from egofeat.engines.crew import Engine, LastWord, Seat, Work, Worker, carry_out, heed
from egofeat.errors import RequestError
from egofeat.host import lift_limit

_DEBUGGER = "PYTHONBREAKPOINT"
"""What `breakpoint()` opens."""


class Actors(Engine):
    """Actors of a Ray cluster, of which each takes a GPU, or processors where there is none.

    Nodes that come later are used too; what was with an actor that is lost, others take.

    Args:
        address: of the cluster; `local` is a new one of this machine alone, `auto` the one that
            this machine is part of, else `local`.
        needs: `gpus` and `cpus` of a worker, and `workers`, how many: as many as there is room for.
    """

    def __init__(self, address: str, needs: Mapping[str, float]) -> None:
        self._ray = _ray()
        lift_limit()  # Ray tells each actor its own, where nothing is told
        self._needs = needs
        self._owns = not self._ray.is_initialized()
        self._before = builtins.print, os.environ.get(_DEBUGGER)
        if self._owns:
            with _sigterm_kept():
                _connect(self._ray, address)

    def seats(self) -> list[Seat]:
        """As many as there is room for in the cluster, now."""
        there = self._ray.cluster_resources()
        gpus, cpus = self._share()
        cores = max(1, int(cpus))
        room = there.get("GPU", 0) // gpus if gpus else there.get("CPU", 0) // cpus
        number = int(self._needs.get("workers", room))
        return [Seat(n + 1, cores=cores) for n in range(number)]

    def start(self, work: Work, seat: Seat) -> Worker:
        """Start an actor, where there is room for it."""
        gpus, cpus = self._share()
        remote = self._ray.remote(max_restarts=0, num_gpus=gpus, num_cpus=cpus)(_Actor)
        return _OfActor(self._ray, remote.remote(), work, seat)

    def close(self) -> None:
        """Leave a cluster that was joined for this; what Ray replaced here is as it was."""
        if self._owns:
            self._ray.shutdown()
            builtins.print, debugger = self._before
            os.environ.pop(_DEBUGGER, None)
            if debugger is not None:
                os.environ[_DEBUGGER] = debugger

    def _share(self) -> tuple[float, float]:
        """GPUs and processors of a worker: by default a GPU, and its share of the smallest node."""
        there = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        with_gpu = [node for node in there if node.get("GPU", 0)]
        gpus = self._needs.get("gpus", 1.0 if with_gpu else 0.0)
        shares = [node.get("CPU", 0) * gpus // node["GPU"] for node in with_gpu] if gpus else []
        return gpus, self._needs.get("cpus", max(1.0, min(shares, default=1.0)))


class _Actor:
    """Lives in a process of its own, on any node."""

    def work(self, work: Work, seat: Seat) -> LastWord:
        """Work until no unit is left."""
        return carry_out(work, seat)


class _OfActor(Worker):
    def __init__(self, ray: Any, actor: Any, work: Work, seat: Seat) -> None:
        self._ray, self._actor = ray, actor
        self._ready = actor.__ray_ready__.remote()
        self._result = actor.work.remote(work, seat)

    def waits(self) -> bool:
        """Whether no node has room for the actor."""
        there, _ = self._ray.wait([self._ready], timeout=0)
        return not there

    def ended(self) -> bool:
        """Whether its call has returned, or never will."""
        done, _ = self._ray.wait([self._result], timeout=0)
        return bool(done)

    def failure(self) -> str:
        """How it ended, by what its call gave."""
        try:
            said = self._ray.get(self._result)
        except self._ray.exceptions.RayError as error:
            return " ".join(str(error).split())[:200]
        return heed(said)

    def end(self, *, now: bool) -> None:
        """Kill it: what it has whole is published already, but for shards that are not."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._actor)


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise RequestError("`ray` needs Ray: run `pip install egofeat[ray]`") from None
    return ray


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes SIGTERM, by which whoever works here is asked to end in order."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": True, "logging_level": "ERROR"}
    if address == "local":
        ray.init(address="local", include_dashboard=False, **quiet)
    elif address != "auto":
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200]
            raise RequestError(f"`ray` {address} cannot be reached: {said}") from None
    else:
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            _connect(ray, "local")
