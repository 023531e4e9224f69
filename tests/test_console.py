"""What a long job says: without a terminal, and on one of 80 columns."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from egofeat import console


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("egofeat.console.time.monotonic", clock)
    return clock


def windows_of_two_videos(clock, said: list[str], read) -> None:
    """The first of 100 windows and the second of 300, four a second."""
    with console.progress("extracting", 2, "videos", "windows") as advance:
        for windows in (100, 300):
            for _ in range(windows):
                clock.now += 0.25
                advance(1 / windows, 1)
                said.append(read())


def test_without_a_terminal_a_line_now_and_then_inside_of_a_video(clock, capsys):
    said: list[str] = []
    windows_of_two_videos(clock, said, lambda: capsys.readouterr().err)
    lines = [line for line in said if line]
    assert lines == [
        "extracting: 120 windows of 1/2 videos, 4.0 windows/s, about 26 s left\n",
        "extracting: 240 windows of 1/2 videos, 4.0 windows/s, about 22 s left\n",
        "extracting: 360 windows of 1/2 videos, 4.0 windows/s, about 6 s left\n",
    ]
    assert capsys.readouterr().err == "extracting: 400 windows of 2/2 videos in 100.0 s\n"


def test_units_alone_are_counted_as_they_are_settled(clock, capsys):
    with console.progress("extracting", 3, "segments") as advance:
        for _ in range(3 * 7):
            clock.now += 10
            advance(1 / 7)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "extracting: 0/3 segments, 0.0 segments/s, about 180 s left"
    assert lines[-1] == "extracting: 3/3 segments in 210.0 s"


def test_how_fast_it_goes_leaves_out_what_was_before_work_began(clock, capsys):
    with console.progress("extracting", 100, "segments", since=lambda: 50.0) as advance:
        clock.now = 60.0
        advance(20)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "extracting: 20/100 segments, 2.0 segments/s, about 40 s left",
        "extracting: 20/100 segments in 60.0 s",
    ]


def test_time_left_follows_the_pace_that_is_told(clock, capsys, monkeypatch):
    with console.progress("training", 800, "epochs", pace=lambda: 0.2) as advance:
        clock.now += 40
        advance(1)
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "training: 1/800 epochs, 0.2 epochs/s, about 3995 s left"
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", terminal)
    with console.progress("training", 800, "epochs", pace=lambda: 0.2) as advance:
        assert "-:--:--" in terminal.file.getvalue()
        clock.now += 40
        advance(1)
    assert "1:06:35" in terminal.file.getvalue()


def test_of_nothing_nothing_is_said(capsys):
    with console.progress("extracting", 0, "segments"):
        pass
    assert capsys.readouterr().err == ""


def test_a_bar_fits_a_narrow_terminal(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", terminal)
    with console.progress("extracting", 2, "videos", "windows") as advance:
        for _ in range(1500):
            advance(1 / 1000, 1)
    shown = terminal.file.getvalue()
    assert "1/2" in shown
    assert "75%" in shown
    assert "windows/s" in shown
    assert "…" not in shown


def test_how_many_are_done_stands_on_a_narrow_terminal_whatever_else_there_is(clock, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", terminal)
    more = "8 workers, 1630 frames/s, 12 failed"
    with console.progress("extracting", 67217, "segments", more=lambda: more) as advance:
        clock.now += 443
        advance(36120)
    *_, last, _ = terminal.file.getvalue().splitlines()
    assert "36120/67217" in last
    assert ", 12 failed" in last
    assert "…" not in last


def test_paths_with_spaces_are_not_broken(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    folder = tmp_path / "my new videos"
    there, other = folder / "of a day" / "P 01.mp4", tmp_path / "a b"
    for path in (there, other):
        path.mkdir(parents=True)
    missing = folder / "of" / "none.mp4"
    (folder / "of").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (there, folder, other, missing, Path("my new videos/of"), Path("a b")):
        console.say(f"the pages are in {path}: see what of {path} is there, or choose another path")
        said = capsys.readouterr().out
        assert said.count(str(path)) == 2
        assert max(map(len, said.replace(str(path), "").splitlines())) <= 40


LINE = (
    "seed 0, epoch 12/100: loss 0.324, on validation 0.879, verb top-1 100.0 %, noun top-1 93.9 %"
)


def test_a_line_is_broken_between_words_on_a_terminal_alone(monkeypatch, capsys):
    path = "/a/" + "long" * 30
    monkeypatch.setenv("COLUMNS", "80")
    console.say(LINE)
    assert capsys.readouterr().out == f"{LINE}\n"
    terminal = Console(
        file=io.StringIO(), force_terminal=True, width=80, soft_wrap=True, highlight=False
    )
    monkeypatch.setattr(console, "stderr", terminal)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for shown in (console.note, console.say):
        shown(f"{LINE}\n{path} is short\n\nverb  top-1")
    noted = [line.rstrip() for line in terminal.file.getvalue().splitlines()]
    broken = LINE.rindex(" ", 0, 81)
    expected = [LINE[:broken], f"  {LINE[broken + 1 :]}", path, "  is short", "", "verb  top-1"]
    assert noted == capsys.readouterr().out.splitlines() == expected
