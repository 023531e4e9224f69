"""Frame folders and tars: numbers, times, and what can be wrong with them."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from egofeat import console
from egofeat.errors import MediaError, MissingMediaError, UnreadableMediaError
from egofeat.extract.video import open_video
from egofeat.segments import Media


def save(path: Path, level: int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    Image.new(mode, size, (level,) * len(mode) if len(mode) > 1 else level).save(path)
    return path


def pack(folder: Path, tar: Path, mode: str = "w") -> Path:
    with tarfile.open(tar, mode) as archive:  # type: ignore[call-overload]
        for file in sorted(folder.iterdir(), reverse=True):
            archive.add(file, arcname=f"./P01_01/{file.name}")
    return tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 1, 2, 9, 10 and 11, beside other things."""
    folder = tmp_path / "P01_01"
    folder.mkdir()
    for number in (10, 9, 1, 11, 2):
        save(folder / f"frame_{number}.png", number)
    (folder / "readme.txt").write_text("7")
    (folder / "notes7.md").write_text("no image")
    (folder / "cover.jpg").write_bytes(b"no number")
    (folder / "._frame_5.png").write_bytes(b"left by a Mac")
    return folder


@pytest.fixture(params=["folder", "tar"])
def path(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    return folder if request.param == "folder" else pack(folder, tmp_path / "P01_01.tar")


def test_order_is_that_of_numbers_and_gaps_are_no_frames(path: Path) -> None:
    with open_video(Media(path, fps=50.0)) as source:
        np.testing.assert_allclose(source.times, [0, 0.02, 0.16, 0.18, 0.2])
        assert source.stop == pytest.approx(0.22)
        assert source.frames(range(5))[:, 0, 0, 0].tolist() == [1, 2, 9, 10, 11]
        assert source.frames([4, 0, 4])[:, 0, 0, 0].tolist() == [11, 1, 11]


def test_first_frame_is_shown_at_zero(path: Path) -> None:
    with open_video(Media(path, fps=10.0, first_frame=0)) as source:
        assert source.times[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("numbers", "first_frame", "times"),
    [
        ((0, 1, 2), None, [0, 0.1, 0.2]),
        ((1, 2, 3), None, [0, 0.1, 0.2]),
        ((0, 1, 2), 1, [-0.1, 0, 0.1]),
        ((101, 102), None, [10, 10.1]),
        ((101, 102), 101, [0, 0.1]),
        ((101, 103), "lowest", [0, 0.2]),
    ],
)
def test_which_number_is_second_zero(tmp_path, numbers, first_frame, times) -> None:
    for number in numbers:
        save(tmp_path / f"img_{number:05}.png", number)
    with open_video(Media(tmp_path, fps=10.0, first_frame=first_frame)) as source:
        np.testing.assert_allclose(source.times, times)
        assert source.frames([0])[0, 0, 0, 0] == numbers[0]


def test_a_first_number_that_nobody_declared_is_said_once(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(console, "_noted", set())
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "img_00000.png", 0)
        open_video(Media(tmp_path / folder, fps=10.0)).close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a: its images are numbered from 0, and image 0 is taken as second 0" in said


def test_tar_is_closed_and_closes_twice(folder: Path, tmp_path: Path) -> None:
    source = open_video(Media(pack(folder, tmp_path / "a.tar"), fps=1.0))
    source.close()
    source.close()
    with pytest.raises(MediaError, match="cannot be read"):
        source.frames([0])


def test_frame_rate_must_be_given(path: Path) -> None:
    with pytest.raises(UnreadableMediaError, match="no `fps:` in the manifest: add it"):
        open_video(Media(path))


def test_two_images_of_one_frame(folder: Path) -> None:
    save(folder / "again_0009.png", 1)
    with pytest.raises(MediaError, match=r"again_0009\.png and frame_9\.png"):
        open_video(Media(folder, fps=1.0))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_broken_image_is_named(folder: Path, content: bytes) -> None:
    (folder / "frame_9.png").write_bytes(content)
    with open_video(Media(folder, fps=1.0)) as source:
        assert source.frames([0, 1]).shape == (2, 6, 8, 3)
        with pytest.raises(MediaError, match=r"frame_9\.png cannot be read") as caught:
            source.frames([0, 2])
        assert source.frames([3])[0, 0, 0, 0] == 10
    assert "\n" not in str(caught.value)


def test_a_cut_off_jpeg_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "1.jpg")
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    with (
        open_video(Media(tmp_path, fps=1.0)) as source,
        pytest.raises(MediaError, match=r"1\.jpg cannot be read"),
    ):
        source.frames([0])


def test_grey_and_alpha_become_rgb_and_deep_samples_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 77, mode="L")
    save(tmp_path / "2.png", 99, mode="RGBA")
    Image.fromarray(np.full((6, 8), 40000, np.uint16)).save(tmp_path / "3.png")
    with open_video(Media(tmp_path, fps=1.0)) as source:
        assert source.frames([0, 1])[:, 2, 3].tolist() == [[77] * 3, [99] * 3]
        with pytest.raises(MediaError, match="more than 8 bits"):
            source.frames([2])


def test_frames_of_several_sizes_scan_but_do_not_stack(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    save(tmp_path / "2.png", 2, size=(4, 4))
    with open_video(Media(tmp_path, fps=1.0)) as source:
        assert [frame.shape for _, frame in source.scan([0, 1])] == [(6, 8, 3), (4, 4, 3)]
        with pytest.raises(MediaError, match="changes its frame size at frame 1"):
            source.frames([0, 1])


def test_nothing_numbered(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no numbered"):
        open_video(Media(tmp_path, fps=1.0))


@pytest.mark.parametrize("damage", ["absent", "garbage", "compressed", "cut"])
def test_a_bad_tar(folder: Path, tmp_path: Path, damage: str) -> None:
    tar = tmp_path / "bad.tar"
    if damage == "garbage":
        tar.write_bytes(b"x" * 3000)
    elif damage == "compressed":
        pack(folder, tar, "w:gz")
    elif damage == "cut":
        whole = pack(folder, tar).read_bytes()
        tar.write_bytes(whole[:1100])
    error = MissingMediaError if damage == "absent" else MediaError
    with pytest.raises(error, match=r"bad\.tar (does not exist|is not a whole)"):
        open_video(Media(tar, fps=1.0))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("P01/a.MP4", "a.mp4"),
        ("P01/A.mp4", "a.mp4"),
        ("P01/a", "a.mp4"),
        ("P01\\a.mp4", "P01/a.mp4"),
        ("P01/frames.tar", "frames"),
        ("P01/b.mp4", None),
        ("P02/a.mp4", None),
    ],
)
def test_a_missing_video_with_a_near_name(tmp_path: Path, written, meant) -> None:
    (tmp_path / "P01/frames").mkdir(parents=True)
    (tmp_path / "P01/a.mp4").touch()
    with pytest.raises(MissingMediaError) as caught:
        open_video(Media(tmp_path / written))
    mend = f"did you mean {meant!r}?" if meant else "check the path"
    assert f"{written} does not exist: {mend}" in str(caught.value)


@pytest.mark.real_data
def test_epic_frames(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "data/frames/epic_P01_01/P01_01"
    tar = pack(folder, tmp_path / "P01_01.tar")
    with (
        open_video(Media(folder, fps=60.0)) as loose,
        open_video(Media(tar, fps=60.0)) as packed,
    ):
        assert len(loose.times) == 100
        assert loose.frames([0]).shape == (1, 256, 456, 3)
        np.testing.assert_array_equal(loose.times, packed.times)
        wanted = [99, 0, 41]
        np.testing.assert_array_equal(loose.frames(wanted), packed.frames(wanted))
