"""An MP4's own tables say what its packets say, or are not believed."""

import tracemalloc
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from egofeat.errors import MediaError
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.packets import Packets, packets_in
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.extract.video.sample_tables import tables_of

Encode = Callable[..., Path]
Files = dict[str, tuple[Path, list[int]]]
X264 = {"g": "12", "bf": "3", "x264-params": "scenecut=0:log-level=none"}
UNEVEN = [0, *np.cumsum(np.random.default_rng(7).integers(10, 200, 59)).tolist()]


@pytest.fixture(scope="module")
def films(
    encoder: Encode, media: Files, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")

    def made(name: str, codec: str = "libx264", flags: str = "", **how: object) -> Path:
        container = {"movflags": flags} if flags else {}
        return encoder(folder / name, codec, **{"options": X264, "container": container, **how})

    return {
        "negative": made("negative.mp4", flags="negative_cts_offsets"),
        "faststart": made("faststart.mp4", flags="faststart"),
        "flat": made("flat.mov", options={"bf": "0"}),
        "late": made("late.mp4", pts=list(range(100, 160))),
        "mpeg4": made("mpeg4.mp4", "mpeg4", options={"g": "12", "bf": "2"}),
        "uneven": made("uneven.mp4", pts=UNEVEN, unit=Fraction(1, 1000)),
        "fragmented": made("fragmented.mp4", flags="frag_keyframe+empty_moov"),
        "matroska": made("a.mkv"),
        "mpeg2": made("mpeg2.mp4", "mpeg2video", options={"g": "12", "bf": "2"}),
        "hevc": media["hevc"][0],
        "open": media["open_gop"][0],
        "cut": media["edit_list"][0],
    }


def told(path: Path) -> tuple[Packets, Packets, bool] | None:
    """What is told of a file, what its packets say, and whether not all of them were read.

    None where both say that packets have no times.
    """
    with closing(MediaFile(path)) as file:
        with VideoReader(file) as reader:
            found = packets_in(reader, file)
            left = sum(1 for _ in reader.packets())
        with VideoReader(file) as reader:
            packets = Packets.of(reader.packets())
    if found is None or packets is None:
        assert found is packets
        return None
    return found, packets, left > 0


def check(path: Path) -> bool:
    """Hold what is told to the packets; returns whether not all of them were read."""
    found, packets, saved = told(path) or (None, None, False)
    if packets is None:
        return False
    for name, values in vars(packets).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=f"{name} of {path}")
    return saved


def changed(path: Path, out: Path, table: bytes, changes: dict[int, int]) -> Path:
    """A copy with other bytes in the first table of a kind, counted from its kind's name."""
    content = bytearray(path.read_bytes())
    begin = content.index(table)
    for offset, value in changes.items():
        if begin + offset < len(content):
            content[begin + offset] = value
    out.write_bytes(content)
    return out


TABLED = ("negative", "faststart", "flat", "late", "mpeg4", "uneven", "hevc", "open", "cut")


@pytest.mark.parametrize("kind", TABLED)
def test_tables_say_what_packets_say(kind: str, films: dict[str, Path]) -> None:
    assert check(films[kind]), "all packets were read"


@pytest.mark.parametrize("kind", ["fragmented", "matroska", "mpeg2"])
def test_packets_are_read_where_tables_do_not_say_all(kind: str, films: dict[str, Path]) -> None:
    assert not check(films[kind])


def test_a_cut_off_film_has_the_packets_that_are_left(
    films: dict[str, Path], tmp_path: Path
) -> None:
    whole = films["faststart"].read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert not check(path)


@pytest.mark.parametrize(
    ("table", "place", "value"),
    [(b"elst", 21, 2), (b"elst", 11, 2), (b"stsz", 15, 59), (b"stts", 15, 2), (b"ctts", 15, 9)],
    ids=["another pace", "two edits", "a size less", "more times", "more delays"],
)
def test_tables_that_do_not_agree_are_not_believed(
    table: bytes, place: int, value: int, films: dict[str, Path], tmp_path: Path
) -> None:
    path = changed(films["uneven"], tmp_path / "a.mp4", table, {place: value})
    assert path.read_bytes() != films["uneven"].read_bytes()
    assert not check(path)


def test_tables_that_say_of_very_many_samples_take_no_memory(
    films: dict[str, Path], tmp_path: Path
) -> None:
    """One run of equal values is eight bytes, however long it is said to be."""
    very_many = {12: 1, 13: 0, 14: 0, 15: 0}
    path = changed(films["flat"], tmp_path / "a.mov", b"stts", very_many)
    path = changed(path, tmp_path / "b.mov", b"stsz", very_many)
    with closing(MediaFile(path)) as file:
        tracemalloc.start()
        assert tables_of(file, 1, 60) is None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10**6


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from([*TABLED, "fragmented"]),
    table=st.sampled_from([b"stts", b"ctts", b"stsz", b"stco", b"stsc", b"elst", b"tkhd", b"mdhd"]),
    changes=st.dictionaries(st.integers(-4, 120), st.integers(0, 255), min_size=1, max_size=3),
)
def test_damaged_tables_give_the_times_of_the_packets(
    kind: str, table: bytes, changes: dict[int, int], films: dict[str, Path], tmp_path: Path
) -> None:
    assume(table in films[kind].read_bytes())
    path = changed(films[kind], tmp_path / "a.mp4", table, changes)
    try:
        both = told(path)
    except MediaError:
        return
    if both is None:
        return
    found, packets, _ = both
    np.testing.assert_array_equal(found.pts, packets.pts)
    np.testing.assert_array_equal(found.are_shown, packets.are_shown)
    if len(packets.pts):
        assert found.durations[found.pts.argmax()] == packets.durations[packets.pts.argmax()]


def test_key_frames_are_those_that_can_be_jumped_to(
    films: dict[str, Path],
    media: Files,
    number_of: Callable[[torch.Tensor], int],
    tmp_path: Path,
) -> None:
    """A list of key frames that leaves the last ones out, which are seen in the packets alone."""
    path, numbers = media["plain"]
    path = changed(path, tmp_path / "a.mp4", b"stss", {11: 4})
    both = told(path)
    assert both is not None
    assert both[2], "all packets were read"
    assert [of.are_keys.sum() for of in both[:2]] == [4, 7]
    np.testing.assert_array_equal(both[0].pts, both[1].pts)
    with PyavSource(path) as source:
        wanted = [2, 25, 50, 79]
        assert [number_of(frame) for _, frame in source.scan(wanted)] == [
            numbers[i] for i in wanted
        ]
        assert source.seeks == 2


@pytest.mark.real_data
def test_real_films_are_indexed_by_their_tables(real_data: Path) -> None:
    saved = 0
    for path in sorted((real_data / "data").rglob("*.m[po][4v]")):
        try:
            saved += check(path)
        except MediaError:
            continue
    assert saved > 200
