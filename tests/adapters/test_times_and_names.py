"""Laws of the small parsers: times, and names that stay in their folder."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.adapters.files import confined, read_lines
from egofeat.adapters.reading.columns import Column
from egofeat.adapters.reading.table import Table
from egofeat.adapters.reading.times import parse_intervals, parse_time
from egofeat.errors import ManifestError


@given(st.integers(0, 10**7))
def test_clock_times_round_trip(centiseconds):
    seconds, rest = divmod(centiseconds, 100)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    expected = centiseconds / 100
    full = parse_time(f"{hours:02d}:{minute:02d}:{second:02d}.{rest:02d}")
    assert full == pytest.approx(expected, abs=1e-9)
    assert parse_time(f"{minutes}:{second:02d}.{rest:02d}") == pytest.approx(expected, abs=1e-9)


@given(st.floats(0, 1e9, allow_nan=False))
def test_plain_seconds_round_trip(seconds):
    assert parse_time(repr(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "nan", "inf", "1e999", "1:60", "0:60:00", "0:00:60.0", "1:2:3:4", "٣", "1 2"],
)
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is no time: write seconds"):
        parse_time(text)


def test_intervals_are_half_open_and_not_empty():
    begins, ends = parse_intervals(
        Column.of(["", "1:00", "3"]), Column.of(["", "61.5", "4"]), "here"
    )
    assert begins.tolist() == [0.0, 60.0, 3.0]
    assert ends.tolist() == [math.inf, 61.5, 4.0]
    for start, stop in (("2", "2"), ("3", "2"), ("", "0")):
        with pytest.raises(ManifestError, match=r"here: the stop '.' is not after the start"):
            parse_intervals(Column.of([start]), Column.of([stop]), "here")
    with pytest.raises(ManifestError, match="here: 'soon' is no time"):
        parse_intervals(Column.of(["soon"]), Column.of([""]), "here")


PARTS = st.sampled_from(["a", "b.mp4", "..", ".", "", "/", "\\", "...", "~", "c d", "..x", "\0"])


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_a_name_that_is_accepted_stays_inside(name):
    root = Path("/data/media")
    try:
        accepted = confined(name)
    except ManifestError:
        return
    inside = os.path.normpath(root / accepted)
    assert inside.startswith(f"{root}{os.sep}")


@given(st.text(min_size=1))
def test_any_text_as_a_name_is_confined_or_refused(name):
    try:
        accepted = Path("/data/media") / confined(name)
    except ManifestError:
        return
    assert accepted.is_relative_to("/data/media")
    assert ".." not in accepted.parts


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.mp4", "a/../../b", "/etc/passwd", "a\\..\\b"]
)
def test_names_that_climb_are_refused(name):
    with pytest.raises(ManifestError, match="does not stay inside 'media'"):
        confined(name)


def test_links_and_odd_names_are_the_users_own():
    for name in ("a/b.mp4", "..a/b", "a..b", "./a.mp4", "~/x.mp4", "1:30.mp4"):
        assert confined(name) == name


def test_tables_name_the_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffa,b\r\n1,"x\ny"\r\n\r\n 2 ,z\r\n'.encode())
    assert list(Table(path).rows(["b", "a"])) == [(3, ("x\ny", "1")), (5, ("z", "2"))]
    assert list(Table(path).rows(["b"])) == [(3, ("x\ny",)), (5, ("z",))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1\n", "line 2 has 1 cells where the header has 2: complete the row"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells"),
        ("a,a\n1,2\n", "has 2 columns named 'a': rename one"),
        ("aa,b\n1,2\n", "has no column 'a': did you mean 'aa'?"),
        ("x,b\n1,2\n", "has no column 'a': known are 'x', 'b'"),
        ("", "has no column 'a': its first line must name them"),
        ('a\n"x"y\n', "line 2 is not CSV"),
    ],
)
def test_bad_tables(tmp_path, text, says):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        list(Table(path).rows(["a"]))
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_lines_carry_their_place(tmp_path):
    path = tmp_path / "l.txt"
    path.write_bytes(b"a \r\n\r\n b\r\n")
    assert read_lines(path) == [(f"{path} line 1", "a"), (f"{path} line 3", "b")]
