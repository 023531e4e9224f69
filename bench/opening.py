"""Indexing a long film: all its packets against the tables of its file, which say the same.

    python bench/opening.py [--minutes 60] [--repeats 5]

A made MP4 film of 456 × 256 at 30 frames/s, its packets repeated until it is long enough. Time of
the processor, and bytes that were read of the file; medians, the two ways taking turns.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
from made import film
from ratios import machine, options, seconds

from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.packets import Packets, packets_in


def lengthened(source: Path, path: Path, times: int) -> Path:
    """A film one after the other so often, without encoding it again."""
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for number in range(times):
            given.seek(0)
            for packet in given.demux(stream):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    packet.pts += number * (stream.duration or 0)
                    packet.dts += number * (stream.duration or 0)
                    packet.stream = copy
                    output.mux(packet)
    return path


def read_by(work: Callable[[], object]) -> int:
    """Bytes that the process asks the system for (Linux)."""
    before = _read()
    work()
    return _read() - before


def _read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def main() -> None:
    asked = options(__doc__, minutes=60, repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = lengthened(film(root / "short.mp4"), root / "long.mp4", 6 * asked.minutes)
        file = MediaFile(path)

        def opened() -> None:
            VideoReader(file).close()

        def packets() -> None:
            with VideoReader(file) as reader:
                Packets.of(reader.packets())

        def tables() -> None:
            with VideoReader(file) as reader:
                packets_in(reader, file)

        ways = {"opening alone": opened, "all packets": packets, "tables": tables}
        taken = seconds(ways, asked.repeats, clock=time.process_time)
        print(machine())
        print(f"{asked.minutes} minutes, {path.stat().st_size / 1e6:.1f} MB")
        for name, way in ways.items():
            print(f"{name:14} {1e3 * taken[name]:8.1f} ms {read_by(way) / 1e6:8.1f} MB read")


if __name__ == "__main__":
    main()
