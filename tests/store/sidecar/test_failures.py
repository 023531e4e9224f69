"""failures-*.jsonl: a line a video and reason, and lines that are none."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import CAUSES, StoreError
from egofeat.store import Failure, list_stores
from egofeat.store.sidecar.failures import (
    all_failures,
    append_failures,
    read_failures,
    write_failures,
)

GOOD = {"id": "a", "video": "v", "start": 0.0, "stop": None, "reason": "torn"}


def line(**change: object) -> bytes:
    return json.dumps(GOOD | change).encode()


BAD = {
    "rubbish": b"rubbish",
    "number": b"1",
    "null": b"null",
    "list": b"[]",
    "empty": b"{}",
    "unknown key": line(x=1),
    "number for text": line(id=1),
    "text for number": line(start="0"),
    "truth for number": line(start=True),
    "not a number": line(start=math.nan),
    "infinite": line(stop=math.inf),
    "beyond doubles": line().replace(b"0.0", b"1e999"),
    "too many digits": line().replace(b"0.0", b"9" * 5000),
    "unknown cause": line(cause="odd"),
    "fewer than none": line(windows=-1),
    "other of two": line(also=[["b", 0.0]]),
    "no UTF-8": b'{"id": "\xff\xfe"}',
    "half of a pair": b'{"id": "\\ud800", "video": "v", "start": 0, "stop": null, "reason": ""}',
    "deep": b"[" * 100_000,
    "long": b"x" * 10_000_000,
    "torn": line()[:-7],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_told_and_passed_over(tmp_path, name):
    path = tmp_path / "failures-1of1.jsonl"
    path.write_bytes(b"\n".join([line(id="before"), BAD[name], b"", line(id="after")]) + b"\n")
    told: list[str] = []
    assert [one.id for one in read_failures(path, told.append)] == ["after", "before"]
    assert len(told) == 1
    assert told[0].startswith(f"{path}: 1 line that is not a failure")
    assert len(told[0]) < 300


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*GOOD, "cause", "windows", "also", "x"]), inner, max_size=8
    ),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_line_whatsoever_ends_in_anything_but_failures(tmp_path_factory, junk):
    path = tmp_path_factory.getbasetemp() / "failures-fuzz.jsonl"
    path.write_bytes(junk + b"\n" + line() + b"\n")
    assert any(one.reason == "torn" for one in read_failures(path))


def test_what_is_no_file_is_passed_over(tmp_path):
    (tmp_path / "failures-1of1.jsonl").mkdir()
    told: list[str] = []
    assert all_failures(tmp_path, (), None, told.append) == []
    assert "is not a file" in told[0]


failures = st.builds(
    Failure,
    id=st.text(max_size=3),
    video=st.sampled_from("vw"),
    start=st.floats(0, 9, allow_nan=False),
    stop=st.floats(9, 20, allow_nan=False) | st.just(math.inf),
    reason=st.text(max_size=2),
    cause=st.sampled_from(CAUSES),
    windows=st.integers(0, 2),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(failures, unique_by=lambda one: (one.key, one.windows > 0)), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, given_failures, appended):
    path = tmp_path_factory.getbasetemp() / "failures-1of1.jsonl"
    path.unlink(missing_ok=True)
    if appended:
        append_failures(path, given_failures)
    else:
        write_failures(path, given_failures, "1of1")
    found = read_failures(path) if path.exists() else []
    assert sorted(found, key=repr) == sorted(given_failures, key=repr)


def test_a_video_of_many_segments_that_is_not_there_takes_a_line(tmp_path):
    path = tmp_path / "failures-1of1.jsonl"
    many = [Failure(f"v_{k}", "v", k, k + 1.0, "v is not there", "missing") for k in range(1000)]
    append_failures(path, many)
    (only,) = path.read_text().splitlines()
    assert len(only) < 30_000
    assert read_failures(path) == many


def test_a_line_without_a_cause_is_of_damage_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "failures-1of1.jsonl"
    gone = "v.mp4 does not exist: check the path, or 'media' of the manifest"
    path.write_bytes(line(id="gone", reason=gone) + b"\n" + line(id="torn") + b"\n")
    assert {one.id: one.cause for one in read_failures(path)} == {
        "gone": "missing",
        "torn": "damaged",
    }


def test_of_two_workers_reasons_the_one_that_lasts_is_told(tmp_path):
    for worker, cause in enumerate(("missing", "damaged", "unreadable")):
        one = Failure("a", "v", 0.0, 1.0, cause, cause)
        append_failures(tmp_path / f"failures-{worker}.jsonl", [one])
    assert [one.cause for one in all_failures(tmp_path, (), None)] == ["damaged"]


def test_a_disk_that_fails_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "failures-1of1.jsonl"
    path.write_bytes(line() + b"\n")

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(StoreError, match=r"failures-1of1\.jsonl cannot be read \(Input/output"):
        read_failures(path)


def test_a_listing_tells_of_bad_lines_and_goes_on(make, tmp_path):
    rows = make.rows(["a", "b"])
    writer = make.writer(tmp_path, make.dataset(rows))
    writer.write_shard("s", make.rows(["a"]))
    (writer.path / "failures-1of1.jsonl").write_bytes(b"1\n")
    (store,) = list_stores(tmp_path)
    assert (store.problem, store.segments, store.failures) == ("", 1, 0)
    assert "1 line that is not a failure" in store.remarks[0]
