"""`egofeat bench heads`: time and parameters of LSTM against ConvLSTM over the sequence's length.

The first comparison of the MobileNetV2 report (its Figure 8): the LSTM sees the pooled vectors
[T, 1280] of a segment, the ConvLSTM the maps [T, 1280, 8, 8] that they are pooled from. The
report's own ConvLSTM is that of the preset `seed-strided`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from rich.table import Table

from egofeat import console
from egofeat.device import choose_device
from egofeat.heads import build_head
from egofeat.heads.registry import choose
from egofeat.pipelines.bench.options import HeadBench
from egofeat.pipelines.bench.pictures import heads_over_length
from egofeat.pipelines.bench.speed import median_seconds
from egofeat.pipelines.bench.tables import BenchReport, figure, machine, tables
from egofeat.pipelines.figures import style

CHANNELS, SIDE = 1280, 8
"""Of MobileNetV2's last maps at 256 pixels."""
CLASSES = {"verb": 13}
"""The report's verb categories."""


@dataclass(frozen=True, kw_only=True)
class HeadRow:
    """One head at one output dimension and one length."""

    head: str
    """Its name, and its preset where it has one: `convlstm:seed-strided`."""
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
        of_heads = _by_head(self.rows)
        lengths = dict.fromkeys(str(row.length) for row in self.rows)
        lines = [
            [head, str(output), f"{rows[0].parameters / 1e6:.2f} M", *(figure(r.ms) for r in rows)]
            for (output, head), rows in of_heads.items()
        ]
        title = f"Milliseconds a sequence of so many frames: {self.machine}"
        return [
            title,
            *tables(["head", "output", "parameters", *lengths], lines),
            *self.files,
        ]


def bench_heads(config: HeadBench) -> HeadsReport:
    """Measure both heads at every output dimension and length, and write tables and a picture.

    Raises:
        RequestError: an unknown device, a preset without convlstm, or an option out of range.
    """
    choose("convlstm", config.preset)
    device = choose_device(config.device)
    lengths, outputs = sorted(set(config.lengths)), sorted(set(config.outputs))
    rows: list[HeadRow] = []
    with console.progress("measuring", 2 * len(outputs), "heads") as progress:
        for output in outputs:
            for name in ("lstm", "convlstm"):
                rows += _rows(config, name, output, lengths, device)
                progress(1)
    panels: dict[int, dict[str, list[tuple[int, float]]]] = {}
    for (output, head), own in _by_head(rows).items():
        label = f"{head}, {own[0].parameters / 1e6:.2f} M parameters"
        panels.setdefault(output, {})[label] = [(row.length, row.ms) for row in own]
    with style.also(config.figures):
        picture = heads_over_length(panels, config.out / "heads.png", _called("convlstm", config))
    report = HeadsReport(machine=machine(device), rows=tuple(rows))
    return report.written(config.out / "heads", [picture])


def _rows(
    config: HeadBench, name: str, output: int, lengths: Sequence[int], device: torch.device
) -> Iterator[HeadRow]:
    """One head over all lengths; it has the same parameters at each."""
    space = (SIDE, SIDE) if name == "convlstm" else ()
    if name == "lstm":
        head = build_head(name, (1, CHANNELS), CLASSES, hidden=output, summary="last")
    else:
        head = build_head(name, (1, CHANNELS, *space), CLASSES, config.preset, filters=output)
    head.to(device).eval()
    parameters = sum(p.numel() for p in head.parameters() if p.requires_grad)
    called = _called(name, config)
    for length in lengths:
        features = torch.randn(1, length, CHANNELS, *space, device=device)
        with torch.inference_mode():
            ms = 1000 * median_seconds(partial(head, features), config.seconds)
        yield HeadRow(head=called, output=output, length=length, parameters=parameters, ms=ms)


def _called(name: str, config: HeadBench) -> str:
    return f"{name}:{config.preset}" if name == "convlstm" and config.preset else name


def _by_head(rows: Sequence[HeadRow]) -> dict[tuple[int, str], list[HeadRow]]:
    """Output dimension and head to the rows of all lengths."""
    return {key: list(of) for key, of in groupby(rows, lambda row: (row.output, row.head))}
