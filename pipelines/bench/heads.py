"""`egofeat bench heads`: time and parameters of LSTM against ConvLSTM over the sequence's length.

The first comparison of the MobileNetV2 report (its Figure 8): the LSTM sees the pooled vectors
[T, 1280] of a segment, the ConvLSTM the maps [T, 1280, 8, 8] that they are pooled from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from rich.table import Table

from egofeat import console
from egofeat.device import choose_device
from egofeat.heads import Head, build_head
from egofeat.pipelines.bench.options import HeadBench
from egofeat.pipelines.bench.tables import BenchReport, Columns, figure, table
from egofeat.pipelines.bench.timing import machine, median_seconds
from egofeat.pipelines.figures.costs import Curve, heads_over_length

CHANNELS, SIDE = 1280, 8
"""Of MobileNetV2's last maps at 256 pixels."""
CLASSES = {"verb": 13}
"""The report's verb categories."""


@dataclass(frozen=True, kw_only=True)
class HeadRow:
    """One head at one output dimension and one length."""

    head: str
    output: int
    length: int
    parameters: int
    """Trainable, with the classifier of 13 classes."""
    ms: float
    """To infer one segment."""


class HeadsReport(BenchReport[HeadRow]):
    """Time and parameters of both heads."""

    def lines(self) -> list[str | Table]:
        """The table for people: a line a head and output, a column a length."""
        of_head: dict[tuple[str, int], list[HeadRow]] = {}
        for row in self.rows:
            of_head.setdefault((row.head, row.output), []).append(row)
        columns: Columns[list[HeadRow]] = {
            "head": lambda rows: rows[0].head,
            "output": lambda rows: str(rows[0].output),
            "parameters": lambda rows: f"{rows[0].parameters / 1e6:.2f} M",
        }
        for place, row in enumerate(next(iter(of_head.values()), [])):
            columns[str(row.length)] = partial(_milliseconds, place=place)
        title = f"Milliseconds a sequence of so many frames: {self.machine}"
        return [title, table(list(of_head.values()), columns), *self.files]


def _milliseconds(rows: list[HeadRow], place: int) -> str:
    return figure(rows[place].ms)


def bench_heads(config: HeadBench) -> HeadsReport:
    """Measure both heads at every output dimension and length, and write tables and a picture.

    Raises:
        RequestError: an unknown device, or an option out of range.
    """
    device = choose_device(config.device)
    lengths, outputs = sorted(set(config.lengths)), sorted(set(config.outputs))
    rows = []
    with console.progress("measuring", 2 * len(outputs), "heads") as progress:
        for output in outputs:
            for name in ("lstm", "convlstm"):
                rows += _rows(name, output, lengths, device, config.seconds)
                progress(1)
    picture = heads_over_length(_curves(rows), config.out / "heads.png")
    report = HeadsReport(machine=machine(device), rows=tuple(rows))
    return report.written(config.out / "heads", [picture])


def _rows(
    name: str, output: int, lengths: Sequence[int], device: torch.device, least: float
) -> list[HeadRow]:
    """One head over all lengths; it has the same parameters at each."""
    head = _head(name, output).to(device).eval()
    parameters = sum(p.numel() for p in head.parameters() if p.requires_grad)
    space = (SIDE, SIDE) if name == "convlstm" else ()
    rows = []
    for length in lengths:
        features = torch.randn(1, length, CHANNELS, *space, device=device)
        with torch.inference_mode():
            seconds = median_seconds(partial(head, features), least)
        row = HeadRow(
            head=name, output=output, length=length, parameters=parameters, ms=1000 * seconds
        )
        rows.append(row)
    return rows


def _head(name: str, output: int) -> Head:
    if name == "lstm":
        return build_head(name, (1, CHANNELS), CLASSES, hidden=output, summary="last")
    return build_head(name, (1, CHANNELS, SIDE, SIDE), CLASSES, filters=output)


def _curves(rows: Sequence[HeadRow]) -> dict[int, list[Curve]]:
    """Output dimension to the curve of each head."""
    curves: dict[int, list[Curve]] = {}
    for (output, head), of in groupby(rows, lambda row: (row.output, row.head)):
        own = list(of)
        curve = Curve(
            head=head,
            parameters=own[0].parameters,
            lengths=tuple(row.length for row in own),
            ms=tuple(row.ms for row in own),
        )
        curves.setdefault(output, []).append(curve)
    return curves
