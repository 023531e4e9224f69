"""Tables: whatever the width of the screen, every figure is whole."""

import io

import pytest
from rich.console import Console

from egofeat.pipelines.bench import tables as module
from egofeat.pipelines.bench.tables import tables, tables_with_key

HEADINGS = ["head", "tried", "multiply-adds", "ms of head", "kept a clip", "verb top-1 %"]
ROWS = [
    ["conv1d mobilenetv2/gap", "12", "1234567.8 M", "0.0123", "123.4 kB", "98.7 ± 0.3"],
    ["lstm filters=64 slowfast_8x8_r50/gap", "1", "65.7 G", "12345678", "999.9 MB", "7.1 ± 10.2"],
]


def shown(parts, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    for part in parts:
        console.print(part)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    return lines


@pytest.mark.parametrize("width", [32, 40, 60, 80, 81, 100, 200])
def test_no_figure_and_no_word_of_a_heading_is_divided(width):
    parts = list(tables(HEADINGS, ROWS, width))
    lines = shown(parts, width)
    said = {word for line in lines for word in line.split()}
    assert {word for heading in HEADINGS for word in heading.split()} <= said
    for row in ROWS:
        for cell in row[1:]:
            assert any(cell in line for line in lines), cell
    assert (len(parts) == 1) == (width >= 80)
    assert sum(len(part.columns) - 1 for part in parts) == len(HEADINGS) - 1
    assert all(part.columns[0].header == "head" for part in parts)


def test_names_beside_the_figures_that_leave_them_room(monkeypatch):
    monkeypatch.setattr(module, "Console", lambda: Console(width=200))
    (alone,) = tables_with_key(HEADINGS, ROWS)
    assert all(row[0] in "\n".join(shown([alone], 200)) for row in ROWS)


@pytest.mark.parametrize("width", [40, 80])
def test_names_that_take_the_figures_room_stand_below(monkeypatch, width):
    monkeypatch.setattr(module, "Console", lambda: Console(width=width))
    *parts, first, second = tables_with_key(HEADINGS, ROWS)
    assert (first, second) == (f"1  {ROWS[0][0]}", f"2  {ROWS[1][0]}")
    lines = shown(parts, width)
    assert all(any(cell in line for line in lines) for row in ROWS for cell in row[1:])


def test_a_long_text_leaves_room():
    rows = [["a", "word " * 30, "1.5"]]
    (part,) = tables(["run", "features", "top-1"], rows, 60)
    lines = shown([part], 60)
    assert any("1.5" in line for line in lines)
    (part,) = tables(["run", "features", "top-1"], rows, 300)
    assert len(shown([part], 300)) == 2
