"""Numbers and time stamps of tables of boxes: plain decimals, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.adapters.reading.box_table import BoxRows, parse_stamp
from egofeat.errors import ManifestError

PLAIN = {"0902": 902, "12.345": 12.345, "+.5": 0.5, "7.": 7, "1e2": 100, "2.5E-1": 0.25, "-0": 0}
OTHER = ["", ".", "1_000", "1 0", "nan", "inf", "Infinity", "1e999", "0x10", "1e", "\u0661", "+-1"]


@pytest.mark.parametrize(("text", "value"), PLAIN.items())
def test_plain_decimals_are_numbers_and_stamps(text, value):
    rows = BoxRows(("x1",))
    rows.add(0, Path("v.csv"), 1, [text])
    assert rows.values().tolist() == [[value]]
    assert parse_stamp(text, "v.csv line 1") == value


@pytest.mark.parametrize("text", OTHER)
def test_whatever_else_float_takes_is_refused(text):
    with pytest.raises(ManifestError) as refused:
        BoxRows(("x1", "y1")).add(0, Path("v.csv"), 3, ["0", text])
    assert str(refused.value) == f"v.csv line 3: y1 is {text!r}: write a number"
    with pytest.raises(ManifestError) as refused:
        parse_stamp(text, "v.csv line 3")
    assert str(refused.value) == (
        f"v.csv line 3: the time stamp is {text!r}: write seconds, such as 0902 or 12.345"
    )


@given(st.floats(0, allow_infinity=False))
def test_every_number_as_python_writes_it_is_taken(value):
    assert parse_stamp(repr(value), "v.csv line 1") == value
