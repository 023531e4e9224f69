"""Failures are summed up by what they say, without what differs from one video to the next."""

from pathlib import Path

from egofeat.pipelines.extraction.failure_sums import failure_lines, sum_up
from egofeat.segments import Media
from egofeat.store import Failure


def failure(video, reason, cause="damaged"):
    return Failure(id=video, video=video, start=0.0, stop=1.0, reason=reason, cause=cause)


def said(*failures):
    media = {one.video: Media(Path(f"/data/{one.video}.mp4")) for one in failures}
    return failure_lines(sum_up(failures, media), "segments")


def test_one_failure_keeps_its_numbers():
    lines = said(failure("tap", "/data/tap.mp4: no frame at 3.2 s of tap gap: repair it"))
    assert lines == [
        "1 segment of 1 video is damaged: tap",
        "  1: no frame at 3.2 s of … gap",
    ]


def test_several_keep_the_numbers_in_which_all_agree():
    reasons = {f"v{n}": f"tap block0 of mobilenetv2 reaches {7 * n}e+4, more" for n in (1, 2)}
    (first, second) = said(*(failure(v, why, "overflow") for v, why in reasons.items()))
    assert first == "2 segments of 2 videos are beyond what float16 holds: v1, v2"
    assert second == "  2: tap block0 of mobilenetv2 reaches …, more"
