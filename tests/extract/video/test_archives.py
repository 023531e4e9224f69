"""Tars and zips of frames, of every kind that people pack and that nobody should."""

import io
import os
import tarfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from egofeat.errors import MediaError, UnreadableMediaError
from egofeat.extract.video import FlowSource, files, open_video
from egofeat.segments import Media


def image(level: int, size: tuple[int, int] = (8, 6)) -> bytes:
    encoded = io.BytesIO()
    Image.new("L", size, level).save(encoded, "PNG")
    return encoded.getvalue()


FRAMES = {f"v/frame_{number:010}.png": image(number) for number in (1, 2, 3)}


def tar_of(members: dict[str, bytes], path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_of(members: dict[str, bytes], path: Path, method: int = ZIP_STORED) -> Path:
    with ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def levels(path: Path) -> list[int]:
    with open_video(Media(path, fps=60.0)) as source:
        np.testing.assert_allclose(source.times, np.arange(len(source.times)) / 60)
        found: list[int] = source.frames(range(len(source.times)))[:, 0, 0, 0].tolist()
        return found


@pytest.mark.parametrize("name", ["a.tar", "UP.TAR", "a.Tar", "a", "a.mp4"])
def test_a_tar_is_one_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    assert levels(tar_of(FRAMES, tmp_path / name)) == [1, 2, 3]


@pytest.mark.parametrize("name", ["a.zip", "UP.ZIP", "a.mp4"])
@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED])
def test_a_zip_is_read_in_place(tmp_path: Path, name: str, method: int) -> None:
    assert levels(zip_of(FRAMES, tmp_path / name, method)) == [1, 2, 3]


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_flow_in_an_archive(tmp_path: Path, pack) -> None:
    members = {
        f"{axis}/frame_{n:010}.png": image(n + 9 * (axis == "v")) for axis in "uv" for n in (1, 2)
    }
    with open_video(Media(pack(members, tmp_path / "a.bin"), fps=30.0)) as source:
        assert isinstance(source, FlowSource)
        assert source.frames([0, 1])[:, 0, 0, :2].tolist() == [[1, 10], [2, 11]]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.TAR.XZ", "a.tar.bz2", "a.7z"])
def test_compressed_archives_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(MediaError, match=r"is compressed.*pack the frames as a plain \.tar"):
        open_video(Media(tmp_path / name, fps=60.0))


def test_any_numbers_in_a_zip_are_damage_at_worst(tmp_path: Path) -> None:
    good, path = zip_of(FRAMES, tmp_path / "a.zip").read_bytes(), tmp_path / "bad.zip"
    causes = set()
    for place in range(len(good) - 200, len(good) - 4):
        for number in (b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"):
            path.write_bytes(good[:place] + number + good[place + 4 :])
            try:
                with open_video(Media(path, fps=1.0, first_frame=1)) as source:
                    source.frames(range(len(source.times)))
            except MediaError as error:
                causes.add(error.cause)
    assert causes == {"damaged"}


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty"])
def test_a_bad_zip(tmp_path: Path, damage: str) -> None:
    path = zip_of(FRAMES, tmp_path / "bad.zip")
    whole = path.read_bytes()
    path.write_bytes({"garbage": b"x" * 900, "cut": whole[:300], "empty": b""}[damage])
    with pytest.raises(MediaError, match=r"bad\.zip is not a whole zip"):
        open_video(Media(path, fps=1.0))


def test_a_damaged_member_of_a_zip_costs_its_own_frame(tmp_path: Path) -> None:
    path = zip_of(FRAMES, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.index(FRAMES["v/frame_0000000002.png"]) + 30] ^= 255
    path.write_bytes(content)
    with open_video(Media(path, fps=1.0)) as source:
        assert source.frames([0, 2]).shape[0] == 2
        with pytest.raises(MediaError, match=r"frame_0000000002\.png cannot be read"):
            source.frames([1])


def test_links_inside_a_tar_lead_to_images_inside_it(tmp_path: Path) -> None:
    path = tar_of(FRAMES, tmp_path / "a.tar")
    with tarfile.open(path, "a") as archive:
        for number, kind, target in [
            (4, tarfile.LNKTYPE, "v/frame_0000000002.png"),
            (5, tarfile.SYMTYPE, "../v/frame_0000000003.png"),
        ]:
            info = tarfile.TarInfo(f"v/frame_{number:010}.png")
            info.type, info.linkname = kind, target
            archive.addfile(info)
    assert levels(path) == [1, 2, 3, 2, 3]
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("v/frame_0000000006.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(MediaError, match="is a link to a file outside the tar"):
        open_video(Media(path, fps=60.0))


def test_a_tar_that_is_cut_between_its_members_is_not_whole(tmp_path: Path) -> None:
    path = tar_of(FRAMES, tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(MediaError, match="it has no end"):
        open_video(Media(path, fps=60.0))


def header(name: bytes, kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    """A tar header of any size field, with a right checksum."""
    block = bytearray(512)
    block[: len(name)], block[100:108] = name, b"0000644\0"
    block[124 : 124 + len(size)], block[148:156], block[156:157] = size, b" " * 8, kind
    block[257:265] = b"ustar\00" + b"0"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + body + bytes(-len(body) % 512)


def pax(record: bytes) -> bytes:
    body = b"%d %s\n" % (len(record) + 1 + len(str(len(record) + 4)), record)
    return header(b"pax", b"x", b"%011o" % len(body), body)


PLAIN = header(b"frame_1.png", b"0", b"%011o" % len(FRAMES["v/frame_0000000001.png"]))
NEGATIVE = b"\xff" * 12
HOSTILE = {
    "pax size no number": pax(b"size=abc") + PLAIN,
    "pax size of 5000 digits": pax(b"size=" + b"9" * 5000) + PLAIN,
    "pax size negative": pax(b"size=-512") + PLAIN,
    "size negative": header(b"frame_1.png", b"0", NEGATIVE) + PLAIN,
    "size of exabytes": header(b"frame_1.png", b"0", b"\x80" + b"\x7f" * 11),
    "unknown kind of exabytes": header(b"x", b"Q", b"\x80" + b"\x00" * 3 + b"\x7f" * 8) + PLAIN,
    "long name of exabytes": header(b"n", b"L", b"\x80" + b"\x00" * 3 + b"\x7f" * 8) + PLAIN,
    "pax header of exabytes": header(b"n", b"x", b"\x80" + b"\x00" * 3 + b"\x7f" * 8) + PLAIN,
    "long names without end": header(b"n", b"L", b"%011o" % 1, b"n") * 3000 + PLAIN,
    "sparse": pax(b"GNU.sparse.map=0,x") + pax(b"GNU.sparse.size=9") + PLAIN,
    "sparse of exabytes": pax(b"GNU.sparse.realsize=" + b"9" * 30) + PLAIN,
    "number of 5000 digits": tarfile.TarInfo("9" * 5000 + ".png").tobuf(tarfile.PAX_FORMAT),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_tar_made_to_harm_is_a_bad_video(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(HOSTILE[kind] + bytes(1024))
    with pytest.raises(MediaError) as caught:
        open_video(Media(path, fps=60.0))
    assert caught.value.cause == "damaged"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("claimed", [(10_000, 10_000), (60_000, 60_000), (1, 2**31 - 1)])
def test_an_image_of_a_hundred_million_pixels_is_refused_by_its_header(
    tmp_path, claimed: tuple[int, int]
) -> None:
    small = bytearray(image(1))
    small[16:24] = b"".join(side.to_bytes(4, "big") for side in claimed)
    small[29:33] = crc32(bytes(small[12:29])).to_bytes(4, "big")
    (tmp_path / "frame_1.png").write_bytes(small)
    with (
        open_video(Media(tmp_path, fps=1.0)) as source,
        pytest.raises(MediaError, match=r"claims more than 67 million pixels"),
    ):
        source.frames([0])


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frame_1.png")
    (tmp_path / "frame_2.png").symlink_to("/dev/zero")
    (tmp_path / "frame_3.png").mkdir()
    with open_video(Media(tmp_path, fps=1.0)) as source:
        for index in range(3):
            with pytest.raises(MediaError, match=r"is a (pipe, a device or a socket|folder)"):
                source.frames([index])
    os.mkfifo(tmp_path / "a.tar")
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.tar", tmp_path / "a.mp4", Path("/dev/zero")):
        with pytest.raises(MediaError, match="is a pipe, a device or a socket"):
            open_video(Media(path, fps=1.0))


def test_what_the_disk_fails_to_give_is_not_damage(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "frame_1.png").write_bytes(FRAMES["v/frame_0000000001.png"])

    def fails(*_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error")

    with open_video(Media(tmp_path, fps=1.0)) as source:
        monkeypatch.setattr(files.Path, "open", fails)
        with pytest.raises(UnreadableMediaError, match="cannot be read"):
            source.frames([0])


@pytest.mark.parametrize("content", [b"", b"garbage", b"GIF89a" + bytes(99)])
def test_an_image_that_is_none_has_the_same_reason_each_time(tmp_path: Path, content) -> None:
    (tmp_path / "frame_1.png").write_bytes(content)
    with open_video(Media(tmp_path, fps=1.0)) as source:
        reasons = []
        for _ in range(2):
            with pytest.raises(MediaError, match="it is no JPEG or PNG") as caught:
                source.frames([0])
            reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
