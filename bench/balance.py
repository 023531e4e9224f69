r"""How evenly the decoding of a data set is shared: simulated at many workers, measured at two.

    python bench/balance.py --segments EPIC_100_train.csv,EPIC_100_validation.csv \
        --videos EPIC_100_video_info.csv [--film P01_01.mp4] [--measure]

Simulated: the published segments are cut, made units and divided in stretches by the functions that
extract; who takes what next follows `take_turns` and `Agenda`. Costs are options, or those of a
film. Makespan over ideal, 1 is perfect, where ideal is the work of one worker of one thread over
the number of threads. "parts" is `--part i/n` with a thread a video, "units" what is done now.
Other rules are tried with `--rows` of a unit, `--stretch-s` and `--most` stretches of a video.

Measured: made films, one process on one core against two (`--devices cpu,cpu`) on two cores, a
thread each; 2 is perfect.
"""

import csv
import heapq
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import made
import numpy as np
from ratios import machine, options

from egofeat.extract import shards
from egofeat.extract.decoding import stretches
from egofeat.extract.decoding.stretches import Wanted, divide
from egofeat.extract.decoding.threads import Openings
from egofeat.extract.shards import cut, part, shards_in
from egofeat.extract.units import Pass, Unit, all_units, passes_over
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.recipe import Uniform
from egofeat.segments import Media, Segment

ROW_BYTES = 2 * made.SHAPE[0] * made.SHAPE[1]
PLAN = Uniform(made.SHAPE[0])
EXTRACT = """
import pickle, sys
from egofeat.pipelines.extraction import extract
if __name__ == "__main__":
    print(extract.run(*pickle.load(open(sys.argv[1], "rb"))).seconds)
"""


@dataclass(frozen=True)
class Costs:
    """Seconds of one thread."""

    frame: float
    """A frame that is decoded."""
    wanted: float
    """A frame that is resized as well."""
    packet: float
    """A frame of a video that is opened, whose index is made."""
    gop: int
    """Frames from a key frame to the next."""

    def of(self, stretch: Iterable[Wanted]) -> float:
        """Decode each group of pictures from its key frame to the last frame wanted."""
        wanted = np.unique([i for one in stretch for view in one.views for i in view])
        _, first = np.unique(wanted[::-1] // self.gop, return_index=True)
        decoded = (wanted[::-1][first] % self.gop + 1).sum()
        return float(decoded * self.frame + len(wanted) * self.wanted)


class Films:
    """What decoding costs of videos that are known by seconds and frames/s alone."""

    def __init__(self, seconds_fps: dict[str, tuple[float, float]], costs: Costs) -> None:
        self._videos, self._costs = seconds_fps, costs
        self._known: dict[tuple[str, ...], tuple[float, tuple[float, ...]]] = {}

    def work(self, video: str, segments: Sequence[Segment]) -> tuple[float, tuple[float, ...]]:
        """Seconds of opening it, and of each stretch that it is divided in."""
        name = (video, *(segment.id for segment in segments))
        if name not in self._known:
            seconds, fps = self._videos[video]
            last = max(seconds, *(segment.stop for segment in segments))
            times = np.arange(int(last * fps) + 1) / fps
            plans = [(s, PLAN.plan(s.start, s.stop, times, len(times) / fps)) for s in segments]
            entries = np.arange(0, len(times), self._costs.gop)
            divided = divide([plans], times, entries, anywhere=PLAN.views == 1)
            opening = len(times) * self._costs.packet
            self._known[name] = opening, tuple(map(self._costs.of, divided))
        return self._known[name]

    def undivided(self, video: str, segments: Sequence[Segment]) -> float:
        """Seconds of one thread for all of it."""
        opening, divided = self.work(video, segments)
        return opening + sum(divided)


@dataclass
class Worker:
    """A simulated worker: its threads, and what one of them has brought up for any."""

    units: Iterator[Unit]
    passes: deque[Pass] = field(default_factory=deque)
    further: deque[float] = field(default_factory=deque)
    idle: int = 0
    openings: Openings = field(kw_only=True)
    opening: int = 0
    """Videos that it is opening."""

    def next(self) -> float | Pass | None:
        """As `Agenda` gives it out over `decode_all`'s passes."""
        if self.openings.wants(self.opening, len(self.further)):
            while not self.passes:
                if (unit := next(self.units, None)) is None:
                    break
                self.passes.extend(passes_over(unit))
            if self.passes:
                return self.passes.popleft()
        return self.further.popleft() if self.further else None


def by_units(films: Films, units: Sequence[Unit], workers: int, threads: int) -> float:
    """Seconds until the last thread is done; workers pull from one list."""
    shared = iter(units)
    crew = [Worker(shared, openings=Openings(threads)) for _ in range(workers)]
    # (second, order, worker, stretches that it then brings up, seconds of its own after that)
    events: list[tuple[float, int, int, tuple[float, ...]]] = []
    order, over = 0, 0.0

    def at(second: float, worker: int, opened: tuple[float, ...] = ()) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (second, order, worker, opened))

    for _ in range(threads):
        for number in range(workers):
            at(0.0, number)
    while events:
        now, _, number, opened = heapq.heappop(events)
        worker, over = crew[number], max(over, now)
        if opened:  # the first stretch is for the thread that opened the video
            worker.further.extend(opened[1:])
            at(now + opened[0], number)
            worker.opening -= 1
            worker.openings.tell(len(opened) - 1)
            for _ in range(worker.idle):
                at(now, number)
            worker.idle = 0
        elif (task := worker.next()) is None:
            worker.idle += 1
        elif isinstance(task, Pass):
            opening, divided = films.work(task.video, task.segments[0])
            worker.opening += 1
            at(now + opening, number, divided)
        else:
            at(now + task, number)
    return over


def by_parts(films: Films, segments: Sequence[Segment], workers: int, threads: int) -> float:
    """The same with a fixed share of whole videos each, a thread a video."""
    over = 0.0
    batches = cut(segments, ROW_BYTES)
    for number in range(1, workers + 1):
        free = [0.0] * threads
        for batch in part(batches, number, workers):
            of_video: dict[str, list[Segment]] = {}
            for segment in (s for shard in shards_in([batch]) for s in shard.segments):
                of_video.setdefault(segment.video, []).append(segment)
            for video, wanted in of_video.items():
                heapq.heappush(free, heapq.heappop(free) + films.undivided(video, wanted))
        over = max(over, *free)
    return over


def read_segments(paths: str) -> list[Segment]:
    """Segments of EPIC-KITCHENS-100's files, named with commas between."""

    def seconds(text: str) -> float:
        hours, minutes, rest = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)

    rows = [row for path in paths.split(",") for row in rows_of(path)]
    return [
        Segment(
            row["narration_id"],
            row["video_id"],
            seconds(row["start_timestamp"]),
            seconds(row["stop_timestamp"]),
        )
        for row in rows
    ]


def read_videos(path: str) -> dict[str, tuple[float, float]]:
    """Video to seconds and frames/s."""
    return {row["video_id"]: (float(row["duration"]), float(row["fps"])) for row in rows_of(path)}


def rows_of(path: str) -> list[dict[str, str]]:
    """Rows of a CSV file, by their columns."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def costs_of(film: Path, costs: Costs) -> Costs:
    """Costs of a real film; its groups of pictures and the resize stay what they are."""
    began = time.process_time()
    with open_video(Media(film), "pyav") as source:
        count = len(source.times)
        opened = time.process_time()
        for _ in source.scan(range(min(count, 600))):
            pass
        done = time.process_time()
    return Costs(
        (done - opened) / min(count, 600), costs.wanted, (opened - began) / count, costs.gop
    )


def simulate(segments: Sequence[Segment], films: Films, threads: Sequence[int]) -> None:
    """Print a table for each number of threads a worker."""
    media = {segment.video: Media(Path(segment.video)) for segment in segments}
    units = all_units(segments, [ROW_BYTES], media)
    batches = cut(segments, ROW_BYTES)
    works = [films.work(w.video, w.segments[0]) for unit in units for w in passes_over(unit)]
    least = by_parts(films, segments, 1, 1)
    longest = max(opening + max(divided) for opening, divided in works)
    print(
        f"{len(segments)} segments, {len(media)} videos, {len(batches)} parts at most, "
        f"{len(units)} units, {sum(len(d) for _, d in works)} stretches; {least / 3600:.2f} h of "
        f"one thread, the longest opening and stretch {longest:.0f} s"
    )
    print(f"{'threads':>7}  {'workers':>7}  {'ideal s':>8}  {'parts':>6}  {'units':>6}")
    for each in threads:
        for workers in (1, 2, 8, 64):
            ideal = least / (workers * each)
            old = by_parts(films, segments, workers, each) / ideal
            new = by_units(films, units, workers, each) / ideal
            print(f"{each:7}  {workers:7}  {ideal:8.0f}  {old:6.2f}  {new:6.2f}", flush=True)


def measure(videos: int, repeats: int) -> None:
    """Print what a second process on a second core adds."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = made.films(folder, videos, [k * 0.06 for k in range(100)], 3.0)
        (folder / "extract.py").write_text(EXTRACT)
        taken: dict[int, list[float]] = {1: [], 2: []}
        count = len(dataset.segments)
        env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        for turn in range(repeats):
            for processes, seconds in taken.items():
                chosen = {"devices": ("cpu", "cpu")} if processes == 2 else {"device": "cpu"}
                out = folder / f"out{turn}-{processes}"
                config = ExtractConfig(out=out, weights="random", workers=1, **chosen)
                asked = folder / "asked.pickle"
                asked.write_bytes(pickle.dumps((config, dataset)))
                pinned = ["taskset", "-c", ",".join(map(str, cores[:processes]))]
                words = [*pinned, sys.executable, str(folder / "extract.py"), str(asked)]
                said = subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
                seconds.append(float(said.stdout.split()[-1]))
                print(f"  {processes} on {processes}: {seconds[-1]:.2f} s", flush=True)
        one, two = (statistics.median(taken[n]) for n in (1, 2))
    print(f"{count} segments: one process {one:.2f} s, two {two:.2f} s: {one / two / 2:.2f} × 2")


def main() -> None:
    asked = options(
        __doc__,
        segments="",
        videos="",
        film="",
        frame_ms=2.6,
        wanted_ms=1.0,
        packet_ms=0.012,
        gop=60,
        stretch_s=stretches.STRETCH_S,
        most=stretches.MOST_STRETCHES,
        threads="16,1",
        rows=shards.MAX_ROWS,
        measure=False,
        films=12,
        repeats=3,
    )
    print(machine())
    if asked.segments:
        costs = Costs(asked.frame_ms / 1e3, asked.wanted_ms / 1e3, asked.packet_ms / 1e3, asked.gop)
        costs = costs_of(Path(asked.film), costs) if asked.film else costs
        shards.MAX_ROWS = asked.rows
        stretches.STRETCH_S, stretches.MOST_STRETCHES = asked.stretch_s, asked.most
        print(f"{costs}; stretches of {asked.stretch_s:g} s, {asked.most} at most")
        films = Films(read_videos(asked.videos), costs)
        simulate(
            read_segments(asked.segments),
            films,
            [int(n) for n in asked.threads.split(",")],
        )
    if asked.measure:
        measure(asked.films, asked.repeats)


if __name__ == "__main__":
    main()
