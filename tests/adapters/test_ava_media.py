"""Which clip of Kinetics a second of a video is looked for in."""

import pytest

from egofeat.adapters.ava_media import AvaMedia


@pytest.mark.parametrize(
    ("second", "key", "begin"),
    [
        (10, "05Mc_000010_000020", 10),
        (19.999, "05Mc_000010_000020", 10),
        (20, "05Mc_000020_000030", 20),
        (30, "05Mc", 0),
    ],
)
def test_a_clip_has_its_first_second_and_not_its_last(tmp_path, second, key, begin):
    for name in ("05Mc_000010_000020.mp4", "05Mc_000020_000030.mp4"):
        (tmp_path / name).touch()
    media = AvaMedia(tmp_path, fps=None, begin=900)
    assert media.place("05Mc", second) == (key, begin)
    assert media.media[key].path == tmp_path / f"{key}.mp4"
