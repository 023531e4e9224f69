"""Peak memory of one training epoch from a mapped store that is not held on the device.

    python bench/memory.py [--rows 67217]      # EPIC-KITCHENS-100: 3.44 GB, twice on the disk

Private memory is what the process alone has: pages that it wrote, and pages of mapped files
that no other process maps, which the system can take back at any time; both are shown.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from epoch import from_store, train, write_both
from ratios import machine, options, watched

from egofeat.store import SegmentStore, open_store


def epoch_peak(folder: Path) -> None:
    """Train one epoch and print the peaks, sampled every 20 ms."""
    store, cpu = open_store(folder).of_kind(SegmentStore), torch.device("cpu")
    began = time.perf_counter()
    with watched(0.02) as peak:
        train(from_store(store, cpu, cache=False), len(store), cpu)
    taken = time.perf_counter() - began
    print(f"{store.nbytes / 1e9:.2f} GB store, one epoch in {taken:.1f} s")
    print(
        f"peak private memory: written {peak.written / 1e9:.2f} GB, "
        f"with mapped pages {peak.mapped / 1e9:.2f} GB"
    )


def main() -> None:
    asked = options(__doc__, rows=67217, of="")
    if asked.of:
        epoch_peak(Path(asked.of))
        return
    with tempfile.TemporaryDirectory() as name:
        path = write_both(Path(name), asked.rows).path
        print(machine(), flush=True)
        # A process of its own: what writing took must not count.
        subprocess.run([sys.executable, __file__, "--of", str(path)], check=True)


if __name__ == "__main__":
    main()
