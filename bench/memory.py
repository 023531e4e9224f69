"""Peak memory of one training epoch from a mapped store that is not held on the device.

    python bench/memory.py [--rows 67217]      # EPIC-KITCHENS-100: 3.44 GB, twice on the disk

Private memory is what the process alone has: pages that it wrote, and pages of mapped files
that no other process maps, which the system can take back at any time; both are shown.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import torch
from epoch import from_store, trained, write_both
from ratios import machine

from egofeat.store import SegmentStore, open_store


def private_bytes() -> dict[str, int]:
    """`Private_Dirty` and `Private_Clean` of this process (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines[1:])
    return {
        name: 1024 * int(fields[name].split()[0]) for name in ("Private_Dirty", "Private_Clean")
    }


def epoch_peak(folder: Path) -> None:
    """Train one epoch and print the peaks, sampled every 20 ms."""
    store = open_store(folder).of_kind(SegmentStore)
    peaks = {"Private_Dirty": 0, "both": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            now = private_bytes()
            peaks["Private_Dirty"] = max(peaks["Private_Dirty"], now["Private_Dirty"])
            peaks["both"] = max(peaks["both"], sum(now.values()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = trained(
        from_store(store, torch.device("cpu"), cache=False), len(store), torch.device("cpu")
    )
    done.set()
    watcher.join()
    print(f"{store.nbytes / 1e9:.2f} GB store, one epoch in {seconds:.1f} s")
    print(
        f"peak private memory: written {peaks['Private_Dirty'] / 1e9:.2f} GB, "
        f"with mapped pages {peaks['both'] / 1e9:.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=67217)
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        epoch_peak(options.of)
        return
    with tempfile.TemporaryDirectory() as name:
        path = write_both(Path(name), options.rows).path
        print(machine(), flush=True)
        # A process of its own: what writing took must not count.
        subprocess.run([sys.executable, __file__, "--of", str(path)], check=True)


if __name__ == "__main__":
    main()
