"""What planning an extraction costs when a data set is large, before a video is opened.

    python bench/planning.py [--rows 1000000] [--folder DIR]

Makes annotations of a quarter, a half and all of the rows, fifty a video, as a `csv` data set and
as EPIC-KITCHENS-100 has them, and plans each in a process of its own: manifest and annotations
read, cut into shards, what is left, segments.json written and then compared again. CPU seconds, and
the peak of the memory so far, less that of Python with NumPy and pydantic. A million rows are
300 MB of disk, and 2 minutes.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from egofeat.extract.shards import cut, without
from egofeat.manifest import load_manifest
from egofeat.store.sidecar.segments import write_segments

A_VIDEO = 50
ROW_BYTES = 51_200
KINDS = ("csv", "epic")
MANIFEST = """version: 1
datasets:
  csv:
    {format: csv, media: ., annotations: all.csv, columns: {labels: {verb: verb, noun: noun}}}
  epic:
    {format: epic-kitchens-100, media: ., annotations: .}
"""
LISTS = {
    "EPIC_100_verb_classes.csv": ("id,key,category", [f"{k},v{k},c{k % 13}" for k in range(97)]),
    "EPIC_100_noun_classes.csv": ("id,key,category", [f"{k},n{k},c{k % 21}" for k in range(300)]),
    "EPIC_100_tail_verbs.csv": ("verb", ["90"]),
    "EPIC_100_tail_nouns.csv": ("noun", ["290"]),
    "EPIC_100_unseen_participant_ids_validation.csv": ("participant_id", ["P01"]),
    "EPIC_100_validation.csv": (
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
        "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,"
        "all_noun_classes",
        [],
    ),
}


def rows_of(count: int) -> Iterator[tuple[str, int, float, float, int, int]]:
    """Video, number in it, start, stop, verb and noun of each row."""
    drawn = random.Random(0)
    for row in range(count):
        video, number = divmod(row, A_VIDEO)
        start = number + drawn.randrange(100) / 100
        stop = round(start + 0.2 + 5 * drawn.random(), 2)
        name = f"P{video % 100:02d}_{100 + video // 100}"
        yield name, number, start, stop, drawn.randrange(97), drawn.randrange(300)


def clock(seconds: float) -> str:
    """As EPIC-KITCHENS writes a time."""
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"00:{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def make(folder: Path, count: int) -> None:
    """Write a manifest with both data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.yaml").write_text(MANIFEST)
    for name, (header, lines) in LISTS.items():
        (folder / name).write_text("\n".join([header, *lines, ""]))
    header = LISTS["EPIC_100_validation.csv"][0]
    with (
        (folder / "all.csv").open("w", newline="") as plain,
        (folder / "EPIC_100_train.csv").open("w", newline="") as epic,
    ):
        plain.write("video,start,stop,split,group,verb,noun\n")
        epic.write(f"{header}\n")
        to_plain, to_epic = csv.writer(plain), csv.writer(epic)
        for name, number, start, stop, verb, noun in rows_of(count):
            group = name[:3]
            to_plain.writerow([f"{group}/{name}.MP4", start, stop, "train", group, verb, noun])
            span = [clock(start), clock(stop), round(start * 50) + 1, round(stop * 50) + 2]
            said = ["open", verb, "door", noun, "['door']", f"[{noun}]"]
            to_epic.writerow(
                [f"{name}_{number}", group, name, clock(start), *span, "open the door", *said]
            )


def plan(folder: Path, kind: str) -> None:
    """Plan one data set; a line a step."""
    before, began = peak(), time.process_time()

    def lap(step: str) -> None:
        nonlocal began
        print(f"{step}\t{time.process_time() - began}\t{peak() - before}", flush=True)
        began = time.process_time()

    dataset = load_manifest(folder / "m.yaml").dataset(kind)
    lap("manifest and annotations")
    batches = cut(dataset.of_splits(()), ROW_BYTES)
    lap("cut into shards")
    without(batches, set(), set())
    lap("what is left")
    (folder / "segments.json").unlink(missing_ok=True)
    write_segments(dataset, folder, "1of1")
    lap("segments.json, new")
    write_segments(dataset, folder, "1of1")
    lap("segments.json, again")


def peak() -> float:
    """Most MB that this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def report(folder: Path, sizes: list[int]) -> None:
    """Print a table of each kind, the sizes side by side."""
    for kind in KINDS:
        table: dict[str, list[tuple[float, float]]] = {}
        for size in sizes:
            command = [
                sys.executable,
                __file__,
                "--plan",
                kind,
                "--folder",
                str(folder / str(size)),
            ]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for line in said.splitlines():
                step, seconds, most = line.split("\t")
                table.setdefault(step, []).append((float(seconds), float(most)))
        print(f"\n{kind}: {', '.join(f'{size:,}' for size in sizes)} rows")
        table["all"] = [
            (sum(of[k][0] for of in table.values()), max(of[k][1] for of in table.values()))
            for k in range(len(sizes))
        ]
        for step, of in table.items():
            seconds_of = " / ".join(f"{seconds:5.2f}" for seconds, _ in of)
            print(f"  {step:26} {seconds_of} s   {' / '.join(f'{most:4.0f}' for _, most in of)} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--plan", choices=KINDS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        plan(asked.folder, asked.plan)
        return
    sizes = [asked.rows // 4, asked.rows // 2, asked.rows]
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        for size in sizes:
            make(folder / str(size), size)
        print(f"{date.today()}, Python {sys.version.split()[0]}", flush=True)
        report(folder, sizes)


if __name__ == "__main__":
    main()
