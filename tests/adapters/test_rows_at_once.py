"""Tables are parsed hundreds or thousands of rows at a time: read, or refused, as row by row."""

from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.test_epic_kitchens import FILES, HEADER, row

from egofeat.adapters.reading import columns, table
from egofeat.adapters.reading.times import parse_time, parse_times
from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest
from egofeat.segments import Segment, Segments

GOOD = ["0", "12.5", "7", "3.", "1:02.50", "00:01:05.1", "1e1", ""]
BAD = ["x", "1:60", "1e300", ".", "1.2.3", "00:00:.5", "1:2:3:4", "-1", "9" * 400]
TIMES = st.sampled_from(GOOD * 4 + BAD)
NAMES = st.sampled_from(["a.mp4", "P1/b.mkv", "./a.mp4", "c"] * 5 + ["../a", ""])
LABELS = st.sampled_from(["cut", "wash", "0", "1", "", "nan", "-1", "1.0"])
MORE = st.sampled_from(["", " ", ' "two\nlines"', " x ", '"q, x"', '"a""b"', 'a"b', '"c" '])


@st.composite
def csv_tables(draw):
    """Rows of a csv data set, most of which are right."""
    cells = st.tuples(NAMES, TIMES, TIMES, MORE, LABELS)
    rows = draw(st.lists(cells, min_size=1, max_size=8))
    ids = draw(st.sampled_from([True, True, False]))
    lines = [f"{','.join(cells)}{f',{k}' * ids}" for k, cells in enumerate(rows)]
    odd = draw(st.sampled_from(["", "", "", "one\n", ",,,,\n", "\n"]))
    lines.insert(draw(st.integers(0, len(lines))), odd.rstrip("\n"))
    text = f"video,start,stop,group,verb{',id' * ids}\n" + "\n".join(lines)
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])))


@st.composite
def epic_tables(draw):
    rows = draw(st.lists(st.tuples(*[st.integers(0, 9)] * 6), min_size=1, max_size=6))
    text = HEADER
    for number, (video, start, more, first, verb, noun) in enumerate(rows):
        name = f"P0{video}_{'1' * (2 + video % 2)}_{number}" if video else f"Q_{number}"
        clock = [f"00:0{start % 6}:0{start}.{start}", f"00:0{start % 6}:{10 * more:02d}.5"]
        text += row(name, *clock, first, first + more, verb % 4, noun % 4)
    return text


def read(manifest, at_once, whole=False):
    """The data set, or why there is none; perhaps as of a file that is large."""
    with (
        mock.patch.object(table, "ROWS_AT_ONCE", at_once),
        mock.patch.object(columns, "LEAST_BYTES", 0 if whole else 10**9),
    ):
        try:
            return load_manifest(manifest).dataset()
        except ManifestError as error:
            return str(error)


anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@anywhere
@given(text=csv_tables())
def test_of_a_csv_file(tmp_path, text):
    (tmp_path / "media").mkdir(exist_ok=True)
    (tmp_path / "t.csv").write_bytes(text.encode())
    keys = "media: media, annotations: t.csv, columns: {labels: {verb: verb}}"
    (tmp_path / "m.yaml").write_text(f"version: 1\ndatasets: {{log: {{format: csv, {keys}}}}}")
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 3)
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 512)
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 512, whole=True)


@anywhere
@given(text=epic_tables(), frames=st.sampled_from(["videos", "tars"]))
def test_of_epic_kitchens(tmp_path, text, frames):
    for name, content in {**FILES, "EPIC_100_train.csv": text}.items():
        (tmp_path / name).write_text(content)
    keys = f"media: ., annotations: ., frames: {frames}"
    manifest = f"version: 1\ndatasets: {{e: {{format: epic-kitchens-100, {keys}}}}}"
    (tmp_path / "m.yaml").write_text(manifest)
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 4)
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 512)
    assert read(tmp_path / "m.yaml", 1) == read(tmp_path / "m.yaml", 512, whole=True)


def said(make):
    """What `make` gives, or why it does not."""
    try:
        return make()
    except ValueError as error:
        return str(error)


@given(st.lists(TIMES, max_size=6))
def test_a_column_of_times(texts):
    each = said(lambda: [parse_time(text) if text else 99.0 for text in texts])
    assert said(lambda: parse_times(texts, 99.0).tolist()) == each


@given(
    st.lists(
        st.builds(
            Segment,
            id=st.text(max_size=3),
            video=st.sampled_from("ab"),
            start=st.floats(0, 9),
            stop=st.floats(10, 19) | st.just(float("inf")),
            split=st.sampled_from(["", "train"]),
            labels=st.dictionaries(st.sampled_from(["verb", "noun"]), st.integers(0, 5)),
            group=st.sampled_from(["", "g"]),
            source_frames=st.none() | st.just((0, 7)),
        )
    ),
    st.integers(0, 5),
)
def test_segments_as_columns_are_the_same_segments(segments, place):
    columns = Segments.of(segments)
    assert list(columns) == segments
    assert [columns[k] for k in range(len(segments))] == segments
    assert list(columns[place:]) == segments[place:]
    assert Segments.join([segments[:place], segments[place:]]) == segments
    assert list(columns.where(one.split == "train" for one in segments)) == [
        one for one in segments if one.split
    ]


def test_a_large_table_is_read_by_columns_where_it_is_plain():
    with mock.patch.object(columns, "LEAST_BYTES", 0):
        (both,) = columns.read_columns(b'a,b,c\r\n1,"x, y",\r\n 1 ,z,NA', [2, 1, 1], 3)
        assert [list(column) for column in both] == [["", "NA"], ["x, y", "z"], ["x, y", "z"]]
        for odd in (b'a\n"b\nc"\n', b"a\rb\r", b'a\nb"c\n', b"a", b"a\n", b"a\n \n", b"a\nb,c\n"):
            with pytest.raises(columns.UnreadError):
                list(columns.read_columns(odd, [0], 1))
