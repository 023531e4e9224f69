"""What a terminal shows of trainings at work, beneath the bar of a sweep."""

import io
import os
import re
from dataclasses import replace

import pytest
from rich.console import Console

from egofeat import console
from egofeat.pipelines.sweeping import under_way
from egofeat.pipelines.sweeping.fitting import make_fit
from egofeat.pipelines.sweeping.planning import plan_sweep
from egofeat.pipelines.sweeping.sweep import sweep
from egofeat.pipelines.sweeping.under_way import UnderWay

HEADER = "epoch,iteration,lr,train/loss,val/loss,val/verb/top1,val/verb/mean_class_accuracy\n"


@pytest.fixture
def terminal(monkeypatch):
    """Standard error, as a terminal of 80 columns and 12 lines."""
    seen = Console(
        file=io.StringIO(), force_terminal=True, width=80, height=12, soft_wrap=True, _environ={}
    )
    monkeypatch.setattr(console, "stderr", seen)
    monkeypatch.setattr(under_way, "_LOOK_EVERY_S", 0.0)
    return seen


@pytest.fixture
def fits(study):
    plan = plan_sweep(study(heads=[{"head": "linear"}, {"head": "lstm"}], seeds=6))
    (part,) = plan.parts
    made = [make_fit(part, one, seed, {}) for one in part.candidates for seed in range(6)]
    for fit in made:
        fit.path.mkdir(parents=True)
    return made


def shown(terminal, seen):
    """Lines of the table, without colours."""
    table = seen.table()
    if table is None:
        return None
    with terminal.capture() as captured:
        terminal.print(table)
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", captured.get()).splitlines()]


def test_a_training_has_a_line_while_it_writes_its_history(terminal, fits):
    left_behind = fits[0].path / "history.csv"
    left_behind.write_text(HEADER + "1,4,0.1,0.5,0.6,0.25,0.2\n")
    seen = UnderWay()
    seen.watch(fits)
    assert shown(terminal, seen) is None, "one that another sweep has begun need not be at work"
    history = fits[3].path / "history.csv"
    history.write_text(HEADER + "1,4,0.1,1.2345,0.6,0.25,0.2\n2,8,0.1,0.9")  # and a torn line
    os.utime(history, (100, 100))
    heading, line = shown(terminal, seen)
    assert heading.split() == ["training", "seed", "done", "loss", "val", "%", "left"]
    assert line.split() == ["linear", "toy/gap", "3", "1/3", "1.234", "25.0", "–"]
    history.write_text(HEADER + "1,4,0.1,1.2345,0.6,0.25,0.2\n2,8,0.1,0.9,0.6,0.5,0.2\n")
    os.utime(history, (130, 130))
    _, line = shown(terminal, seen)
    assert line.split()[3:6] == ["2/3", "0.900", "50.0"]
    assert line.endswith(" 30 s"), "one epoch more, as long as the last one"
    seen.done(fits[3].name)
    assert shown(terminal, seen) is None


def test_it_has_room_on_a_small_terminal(terminal, fits):
    seen = UnderWay()
    named = replace(
        fits[0].candidate, stated={"filters": "64", "tanh": "true", "width": "128" * 20}
    )
    seen.watch([replace(fit, candidate=named) for fit in fits])
    for fit in fits:
        (fit.path / "history.csv").write_text(HEADER + "1,4,0.1,0.5,0.6,0.25,0.2\n")
    lines = shown(terminal, seen)
    assert len(lines) <= 12 - 3
    assert lines[-1] == "and 6 more"
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("linear toy/gap, filters 64, ")
    assert "…" in lines[1]


def test_what_is_interrupted_leaves_its_bar_alone_and_the_cursor(terminal, fits):
    seen = UnderWay()
    seen.watch(fits)
    (fits[0].path / "history.csv").write_text(HEADER + "1,4,0.1,0.5,0.6,0.25,0.2\n")
    with (
        pytest.raises(KeyboardInterrupt),
        console.progress("training", 12, "fits", beneath=seen.table),
    ):
        raise KeyboardInterrupt
    said = terminal.file.getvalue()
    assert "linear toy/gap" in said, "it was drawn"
    last = said[said.rindex("training ") :]
    assert "linear" not in last
    assert last.count("\x1b[?25h") == 1, "the cursor is there again"


def test_a_sweep_shows_it_on_a_terminal_alone(study, terminal, monkeypatch, capsys):
    drawn = []
    table = UnderWay.table
    monkeypatch.setattr(UnderWay, "table", lambda self: drawn.append(1) or table(self))
    sweep(study())
    assert drawn
    monkeypatch.setattr(console, "stderr", Console(stderr=True, soft_wrap=True))
    drawn.clear()
    sweep(study(seeds=3))
    assert not drawn
    assert "training: 6/6 fits" in capsys.readouterr().err
