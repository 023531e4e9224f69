"""Every frame once, at its own time, upright, with its tags and its sound."""

import resource
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageChops

from egofeat.errors import MediaError, RequestError
from egofeat.extract.video import open_video
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.annotated.captions import Label, Tag, colour, draw_overlay
from egofeat.pipelines.annotated.video import TimedTags, check_place, write_annotated
from egofeat.segments import Media

QUIET = {"x264-params": "log-level=none"}
IRREGULAR = [0, *np.cumsum(np.random.default_rng(5).integers(10, 200, 39)).tolist()]


def film(
    path,
    *,
    size=(96, 64),
    pts=range(40),
    unit=Fraction(1, 20),
    sound=None,
    turn=0,
    rate=8000,
    aspect=None,
):
    """A video whose frames grow lighter, and 2 s of a tone by the codec `sound`."""
    width, height = size
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=1 / unit, options=QUIET)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = unit
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        heard = output.add_stream(sound, rate=rate, layout="mono") if sound else None
        for number, tick in enumerate(pts):
            picture = np.full((height, width, 3), 40 + 4 * number, np.uint8)
            picture[: height // 2, : width // 2, 0] = 250  # red where it is upright: top left
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if heard:
            wave = 0.5 * np.sin(2 * np.pi * 440 / rate * np.arange(2 * rate))
            wanted = heard.codec_context.format.name
            data = (wave * 32767).astype(np.int16)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            step = heard.codec_context.frame_size or 1024
            for part in av.AudioResampler(wanted, "mono", rate, frame_size=step).resample(frame):
                output.mux(heard.encode(part))
            output.mux(heard.encode(None))
    return path


def write(video, out, timed_tags=()):
    with open_video(Media(video)) as source:
        return write_annotated(source, timed_tags, out)


def frames_of(path):
    with open_video(Media(path)) as source:
        return source.times, source.stop, source.frames(range(len(source.times)))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_keeps_its_own_time(tmp_path, suffix):
    video = film(tmp_path / "vfr.mp4", pts=IRREGULAR, unit=Fraction(1, 1000))
    out = tmp_path / "new" / f"out{suffix}"
    written = write(video, out)
    times, stop, frames = frames_of(video)
    new_times, new_stop, new_frames = frames_of(out)
    assert (written.frames, written.lost) == (40, 0)
    assert np.abs(new_times - times).max() < 1e-6, "Matroska counts milliseconds, as these do"
    assert new_stop == pytest.approx(stop, abs=2e-3)
    assert np.abs(new_frames.astype(int) - frames).mean() < 3
    assert not [path for path in out.parent.iterdir() if path != out]


def test_odd_sides_are_padded_and_turned_video_is_upright(tmp_path):
    made = film(tmp_path / "made.mp4", size=(96, 64), turn=90)
    _, _, upright = frames_of(made)
    assert upright.shape[1:3] == (96, 64)
    write(made, tmp_path / "out.mp4")
    _, _, frames = frames_of(tmp_path / "out.mp4")
    assert frames.shape == upright.shape
    assert np.abs(frames.astype(int) - upright).mean() < 3
    odd = tmp_path / "odd.mkv"
    with av.open(str(odd), "w") as output:
        stream = output.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 33, 21, "bgr0"
        picture = np.random.default_rng(0).integers(0, 255, (21, 33, 1)).repeat(3, 2)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24")))
        output.mux(stream.encode(None))
    write(odd, tmp_path / "even.mp4")
    _, _, (even,) = frames_of(tmp_path / "even.mp4")
    assert even.shape == (22, 34, 3)
    assert np.abs(even[:21, :33].astype(int) - picture).mean() < 12
    assert np.abs(even[21].astype(int) - even[20]).mean() < 12


@pytest.mark.parametrize(("turn", "aspect"), [(0, Fraction(3, 2)), (90, Fraction(2, 3))])
def test_pixels_keep_their_shape(tmp_path, turn, aspect):
    made = film(tmp_path / "made.mp4", size=(96, 64), turn=turn, aspect=Fraction(3, 2))
    write(made, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as output:
        assert output.streams.video[0].sample_aspect_ratio == aspect


@pytest.mark.parametrize(
    ("suffix", "codec", "kept"),
    [
        (".mp4", "aac", "aac"),
        (".mkv", "libmp3lame", "mp3float"),
        (".ts", "aac", "aac"),
    ],
)
def test_sound_is_kept(tmp_path, suffix, codec, kept):
    video = film(tmp_path / f"heard{suffix}", sound=codec, rate=16000)
    out = tmp_path / "out.mp4"
    assert write(video, out).sound_left_out == ()
    with av.open(str(out)) as output:
        (stream,) = output.streams.audio
        assert stream.codec_context.name == kept
        heard = np.concatenate([f.to_ndarray().mean(0) for f in output.decode(stream)])
    loud = np.flatnonzero(np.abs(heard) > 0.2)
    assert (loud[-1] - loud[0]) / 16000 == pytest.approx(2, abs=0.1)
    assert loud[0] / 16000 < 0.1, "it does not slip against the picture"
    assert np.array_equal(frames_of(out)[0], frames_of(video)[0])


@pytest.mark.parametrize(("suffix", "early"), [(".mkv", 0.5), (".mp4", 0.0)])
def test_sound_that_begins_before_the_picture_stays_beside_it(tmp_path, suffix, early):
    """MP4 passes over what is heard before the first picture, Matroska lets that wait."""
    video = film(tmp_path / "late.mkv", pts=range(10, 50), sound="libmp3lame", rate=16000)
    out = tmp_path / f"out{suffix}"
    write(video, out)
    first, last = {}, {}
    for kind in ("video", "audio"):
        with av.open(str(out)) as output:
            times = [frame.time for frame in output.decode(output.streams.best(kind))]
            first[kind], last[kind] = times[0], times[-1]
    assert first["video"] - first["audio"] == pytest.approx(early, abs=0.05)
    assert last["audio"] - first["video"] == pytest.approx(1.5, abs=0.1)


def test_sound_that_the_file_does_not_take_is_left_out_and_said(tmp_path):
    video = film(tmp_path / "heard.avi", sound="pcm_u8", rate=16000)
    assert write(video, tmp_path / "out.mp4").sound_left_out == ("pcm_u8",)
    assert write(video, tmp_path / "out.mkv").sound_left_out == ()


def test_sound_of_an_unknown_codec_is_left_out_and_said(tmp_path):
    video = film(tmp_path / "heard.mkv", sound="libmp3lame", rate=16000)
    data = video.read_bytes()
    assert data.count(b"A_MPEG/L3") == 1
    video.write_bytes(data.replace(b"A_MPEG/L3", b"A_NOBODY!"))
    written = write(video, tmp_path / "out.mp4")
    assert written.sound_left_out == ("an unknown codec",)
    assert written.frames == 40


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "made/rot90.mp4",
        "made/vfr_30then10.mp4",
        "made/editlist_cut_bframes.mp4",
        "made/resolution_change.ts",
        "made/negative_ts_cut.mkv",
        "made/raw_elementary.h264",
        "made/odd161x91_444.mp4",
    ],
)
def test_odd_files_keep_their_frames_and_times(real_data, tmp_path, name):
    video, out = real_data / "data" / "odd" / name, tmp_path / "out.mp4"
    written = write(video, out)
    with open_video(Media(video)) as given, open_video(Media(out)) as made:
        assert written.frames == len(given.times)
        assert made.times == pytest.approx(given.times, abs=1e-6)
        first, kept = given.frames([0])[0], made.frames([0])[0]
    height, width = first.shape[:2]
    assert kept.shape[:2] == (height + height % 2, width + width % 2)
    assert np.abs(kept[:height, :width].astype(int) - first).mean() < 6


def test_scenes_hold_for_their_half_open_time(tmp_path):
    video = film(tmp_path / "plain.mp4")
    box = Tag((), (0.25, 0.25, 0.75, 0.75))
    timed_tags = [TimedTags(0.5, 1.0, (box,)), TimedTags(1.0, 1.2, ()), TimedTags(1.5, 9.0, (box,))]
    write(video, tmp_path / "out.mp4", iter(timed_tags))
    times, _, frames = frames_of(tmp_path / "out.mp4")
    edge = frames[:, 40, 24:26].mean(axis=1) - frames[:, 60, 90]
    drawn = np.ptp(edge, axis=1) > 40
    assert drawn.tolist() == [0.5 <= t < 1.0 or t >= 1.5 for t in np.round(times, 3)]


def test_nothing_half_is_left_and_the_old_file_stays(tmp_path):
    video, out = film(tmp_path / "plain.mp4"), tmp_path / "out" / "out.mp4"
    out.parent.mkdir()
    out.write_bytes(b"what was there")

    def interrupted():
        yield TimedTags(0.0, 1.0, ())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(video, out, interrupted())
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]
    assert out.read_bytes() == b"what was there"
    write(video, out)
    assert len(frames_of(out)[0]) == 40


def test_frames_that_cannot_be_decoded_are_missing_and_counted(tmp_path):
    class Torn:
        """A source that cannot decode some of its frames."""

        def __init__(self, source, lost):
            self.path, self.times, self.stop = source.path, source.times, source.stop
            self.stream, self.origin = source.stream, source.origin
            self.source, self.lost = source, lost

        def scan(self, wanted):
            for index in wanted:
                if index in self.lost:
                    raise MediaError(f"frame {index} is damaged")
                yield index, self.source.frames([index])[0]

    video = film(tmp_path / "plain.mp4")
    with open_video(Media(video)) as source:
        written = write_annotated(Torn(source, {0, 7, 8, 39}), [], tmp_path / "out.mp4")
        with pytest.raises(MediaError, match="not one of its frames"):
            write_annotated(Torn(source, set(range(40))), [], tmp_path / "none.mp4")
    assert (written.frames, written.lost) == (36, 4)
    assert len(frames_of(tmp_path / "out.mp4")[0]) == 36
    assert not (tmp_path / "none.mp4").exists()


def test_a_video_that_changes_its_size_keeps_that_of_its_first_frame(tmp_path):
    class Growing(PyavSource):
        def scan(self, wanted):
            for index in wanted:
                yield index, np.full((64 + 32 * index, 96, 3), 90, np.uint8)

    with Growing(film(tmp_path / "plain.mp4", pts=range(2))) as source:
        write_annotated(source, [], tmp_path / "out.mp4")
    assert frames_of(tmp_path / "out.mp4")[2].shape == (2, 64, 96, 3)


def test_places_where_nothing_can_be_written(tmp_path):
    video = film(tmp_path / "plain.mp4", pts=range(2))
    with pytest.raises(RequestError, match=r"neither .mp4 nor .mkv"):
        check_place(tmp_path / "out.avi", video)
    with pytest.raises(RequestError, match="is the video itself"):
        check_place(tmp_path / "plain.mp4", video)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(RequestError, match="is a folder"):
        check_place(tmp_path / "folder.mp4", video)


def test_labels_are_written_in_the_colour_of_their_box():
    tags = [
        Tag(
            (Label("sit", 0.9), Label("talk to (e.g., self, a person)", 0.4)), (0.6, 0.4, 0.9, 0.9)
        ),
        Tag((Label("stand", 0.8),), (0.1, 0.4, 0.4, 0.9)),
    ]
    overlay = draw_overlay(tags, (320, 240))
    assert overlay.left_out == 0
    assert (
        ImageChops.difference(
            overlay.picture, draw_overlay(tags[::-1], (320, 240)).picture
        ).getbbox()
        is None
    )
    colours = {c for _, c in overlay.picture.getcolors(10_000)}
    assert {colour(0), colour(1)} <= colours
    assert len({colour(rank) for rank in range(40)}) == 40
    frame = Image.new("RGB", (320, 240), (200, 200, 200))
    overlay.paint(frame)
    assert frame.getpixel((0, 239)) == (200, 200, 200)
    light, dark = frame.convert("L").getextrema()[::-1]
    assert light > 240
    assert dark < 90


def test_what_has_no_room_is_counted():
    tags = [Tag(tuple(Label(f"action {k}", 0.9 - k / 10) for k in range(3)), (0, 0, 1, 1))] * 4
    assert draw_overlay(tags, (96, 64)).left_out == 12 - 3
    long = Tag((Label("a name that is longer than the frame is wide", 0.5),))
    assert draw_overlay([long], (96, 64)).left_out == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    video, out = film(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # as a disk that is full
    try:
        with pytest.raises(MediaError, match=r"b\.mp4 cannot be written \(File too large\): make"):
            write(video, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]
