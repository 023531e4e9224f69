"""Single frames of videos: which, in which batches, and what becomes of those that are missing."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from egofeat.errors import MediaError
from egofeat.extract.stills import Finished, Stills, Unread, Wanted, every, read, read_all
from egofeat.extract.video import FrameSource
from egofeat.segments import Media


def by_kind(events):
    kinds = {Stills: [], Unread: [], Finished: []}
    for event in events:
        kinds[type(event)].append(event)
    return kinds[Stills], kinds[Unread], kinds[Finished]


@pytest.fixture(scope="module")
def film(encoder, tmp_path_factory):
    """40 numbered frames, 1.6 s."""
    options = {"x264-params": "keyint=12:log-level=none"}
    return encoder(tmp_path_factory.mktemp("film") / "film.mp4", frames=40, options=options)


def test_the_frame_on_show_at_each_moment_in_batches(film, number_of):
    moments = {"v_0": 0.0, "v_0.4": 0.4, "v_0.41": 0.41, "v_1": 1.0, "v_1.59": 1.59}
    stills, unread, finished = by_kind(read(Wanted("v", Media(film), moments), "pyav", 3))
    assert not unread
    assert finished == [Finished("v")]
    assert [one.ids for one in stills] == [
        (("v_0",), ("v_0.4", "v_0.41"), ("v_1",)),
        (("v_1.59",),),
    ]
    assert [[number_of(f) for f in one.frames_HWC] for one in stills] == [[0, 10, 25], [39]]


def test_moments_outside_the_video_are_told_and_the_others_read(film):
    moments = {"v_0": 0.0, "v_1.6": 1.6, "v_9": 9.0}
    stills, unread, _ = by_kind(read(Wanted("v", Media(film), moments), "pyav", 4))
    assert [one.ids for one in stills] == [(("v_0",),)]
    assert [one.moments for one in unread] == [{"v_1.6": 1.6}, {"v_9": 9.0}]
    assert unread[1].reason == (f"{film}: the key frame is at 9.000 s, past the end at 1.600 s")


def test_a_whole_video_is_read_at_its_seconds(film):
    stills, _, _ = by_kind(read(Wanted("a/b.mp4", Media(film), 0.5), "pyav", 8))
    assert stills[0].ids == (
        ("a/b.mp4_0",),
        ("a/b.mp4_0.5",),
        ("a/b.mp4_1",),
        ("a/b.mp4_1.5",),
    )


@pytest.mark.parametrize("content", [None, b"", b"not a video"])
def test_a_video_that_cannot_be_opened_is_unread_as_a_whole(tmp_path, content):
    path = tmp_path / "v.mp4"
    if content is not None:
        path.write_bytes(content)
    ((unread), (finished)) = read(Wanted("v", Media(path), {"v_0": 0.0}), "pyav", 8)
    assert unread.moments is None
    assert str(path) in unread.reason
    assert finished == Finished("v")


def test_flow_has_no_persons(tmp_path):
    for channel in "uv":
        (tmp_path / channel).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / f"{channel}/frame_1.jpg")
    unread, _ = read(Wanted("v", Media(tmp_path, fps=1.0), 1.0), "pyav", 8)
    assert "flow and no colours" in unread.reason


def test_frames_of_two_sizes_are_batches_of_their_own(tmp_path):
    for number in range(6):
        size = (8, 6) if number % 2 else (6, 8)
        Image.new("RGB", size, (number, 0, 0)).save(tmp_path / f"frame_{number + 1}.png")
    stills, _, _ = by_kind(read(Wanted("v", Media(tmp_path, fps=1.0), 1.0), "pyav", 2))
    assert [one.ids for one in stills] == [
        (("v_0",), ("v_2",)),
        (("v_1",), ("v_3",)),
        (("v_4",),),
        (("v_5",),),
    ]
    assert [[f.shape for f in one.frames_HWC] for one in stills][:2] == [
        [(8, 6, 3)] * 2,
        [(6, 8, 3)] * 2,
    ]


def test_images_that_begin_late_or_are_damaged_cost_their_own_moments(tmp_path):
    for number in range(2, 6):
        Image.new("RGB", (8, 6)).save(tmp_path / f"frame_{number}.png")
    (tmp_path / "frame_4.png").write_bytes(b"damaged")
    moments = {f"v_{second}": float(second) for second in range(5)}
    stills, unread, _ = by_kind(read(Wanted("v", Media(tmp_path, fps=1.0), moments), "pyav", 8))
    assert [one.ids for one in stills] == [(("v_1",), ("v_2",), ("v_4",))]
    assert [list(one.moments) for one in unread] == [["v_0"], ["v_3"]]
    assert "the first is at 1.000 s" in unread[0].reason
    assert "frame_4.png" in unread[1].reason


@settings(deadline=None)
@given(
    seconds=st.integers(1, 3000).map(lambda n: n / 1000),
    stop=st.floats(0.001, 40),
    start=st.sampled_from([0.0, 0.5]),
)
def test_every_moment_is_what_its_stamp_says_and_lies_in_the_video(seconds, stop, start):
    moments = every(seconds, "v", start, stop)
    assert all(id_ == f"v_{time:g}" or float(id_[2:]) == time for id_, time in moments.items())
    assert all(start <= time < stop for time in moments.values())
    times = list(moments.values())
    assert np.allclose(np.diff(times), seconds, atol=2e-3)
    assert len(times) == pytest.approx(max(0, stop - start) / seconds, abs=1)


CPU = torch.device("cpu")


class Endless(FrameSource):
    """Frames for ever, so to say; counts those that were made."""

    made = 0

    def __init__(self, path):
        self.path = path
        self.times = np.arange(10_000, dtype=np.float64)
        self.stop = 10_000.0

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, torch.Tensor]]:
        for index in wanted:
            Endless.made += 1
            yield index, torch.zeros(2, 2, 3, dtype=torch.uint8)

    def again(self):
        return Endless(self.path)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("turns", [True, False])
def test_few_frames_wait_and_closing_stops_the_threads(monkeypatch, turns):
    monkeypatch.setattr("egofeat.extract.stills.open_video", lambda media, _: Endless(media.path))
    monkeypatch.setattr(Endless, "made", 0)
    videos = [Wanted(name, Media(name), 1.0) for name in "abc"]
    before = threading.active_count()
    with read_all(
        videos, decoder="pyav", batch_size=4, threads=3, turns=turns, device=CPU
    ) as events:
        taken = sum(len(next(events).frames_HWC) for _ in range(10))
        assert Endless.made - taken <= 4 * (3 + 6)
    assert threading.active_count() <= before
    assert Endless.made < 200


def test_every_thread_reads_a_video(monkeypatch):
    all_at_once = threading.Barrier(8)

    def opened(media, _):
        all_at_once.wait(5)
        return Endless(media.path)

    monkeypatch.setattr("egofeat.extract.stills.open_video", opened)
    videos = [Wanted(f"v{n}", Media("v"), {f"v{n}_0": 0.0}) for n in range(16)]
    with read_all(
        videos, decoder="pyav", batch_size=4, threads=8, turns=False, device=CPU
    ) as events:
        assert len(by_kind(events)[2]) == 16


def test_a_defect_in_a_thread_is_raised_here(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("egofeat.extract.stills.open_video", broken)
    videos = [Wanted("a", Media("a"), 1.0)]
    reading = read_all(videos, decoder="pyav", batch_size=4, threads=1, turns=False, device=CPU)
    with pytest.raises(ZeroDivisionError), reading as events:
        list(events)


def test_frames_that_cannot_be_decoded_are_passed_over(monkeypatch):
    class Damaged(Endless):
        def _scan(self, wanted):
            for index in wanted:
                if index in (1, 2):
                    raise MediaError(f"frame {index} is damaged")
                yield index, torch.zeros(2, 2, 3, dtype=torch.uint8)

    monkeypatch.setattr("egofeat.extract.stills.open_video", lambda media, _: Damaged(media.path))
    moments = {f"v_{second}": float(second) for second in range(4)}
    stills, unread, _ = by_kind(read(Wanted("v", Media("v"), moments), "pyav", 8))
    assert [one.ids for one in stills] == [(("v_0",), ("v_3",))]
    assert [one.reason for one in unread] == ["frame 1 is damaged", "frame 2 is damaged"]
