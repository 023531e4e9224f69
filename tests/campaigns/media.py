"""Videos, frames, tars and weights that were spoiled, or made to do harm: read or refused."""

import contextlib
import io
import math
import os
import pickle
import random
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaigns.mutate import mutate_bytes
from tests.campaigns.process import Child, Verdict, in_one_child, resident, run_here
from tests.campaigns.scene import KINDS, NETWORK, RATE
from tests.campaigns.stage import Stage, Trial

TOGETHER = 50
LIMIT, MEMORY, GROWTH = 30.0, 4 << 30, 1 << 30
"""Seconds an input, bytes of addresses a child, bytes of memory that one input may add."""


@dataclass(frozen=True)
class Target:
    """A file that is spoiled, and who reads it."""

    name: str
    file: Path
    probe: Callable[[Path], None]
    count: int


def trials(stage: Stage) -> Iterator[Trial]:
    """Spoiled ones of each kind, then those that somebody made on purpose."""
    for target in _targets(stage):
        row = f"spoiled {target.name}"
        count = max(4, round(target.count * stage.scale))
        for first in range(0, count, TOGETHER):
            inputs = range(first, min(first + TOGETHER, count))
            yield Trial(row, f"{inputs[0]} to {inputs[-1]}", partial(_some, stage, target, inputs))
    for name in stage.thin(list(HOSTILE), "hostile"):
        yield Trial("hostile media", name, partial(_hostile, stage, name))


def _targets(stage: Stage) -> Iterator[Target]:
    videos = stage.scene.folder / "videos"
    for kind, count in (("mp4", 450), ("mkv", 350), ("ts", 350), ("avi", 350), ("tar", 200)):
        yield Target(kind, videos / KINDS[kind], read_video, count)
    yield Target("jpeg", videos / "e" / "frame_000020.jpg", _frame, 200)
    for file in _weight_files(stage):
        yield Target(f"weights {file.suffix}", file, _weights, 100)


def _some(stage: Stage, target: Target, inputs: Sequence[int]) -> Iterator[Verdict]:
    shutil.rmtree(stage.place, ignore_errors=True)
    stage.place.mkdir()
    judge = partial(_judge, target=target, folder=stage.place)
    yield from in_one_child(inputs, judge, limit=LIMIT, memory=MEMORY, output=stage.output)


def _judge(number: int, target: Target, folder: Path) -> Verdict:
    rng = random.Random(f"{target.name} {number}")
    path = folder / target.file.name
    path.write_bytes(mutate_bytes(target.file.read_bytes(), rng))
    return _probed(path, target.probe, f"input {number}")


def _probed(path: Path, probe: Callable[[Path], None], what: str) -> Verdict:
    from egofeat.errors import EgofeatError

    before = resident()
    try:
        probe(path)
        kind = "opened"  # each frame may be refused by itself
    except EgofeatError:
        kind = "refused"
    except BaseException as error:
        error.add_note(what)
        raise
    grown = resident() - before
    if grown > GROWTH:
        return Verdict("memory", bad=True, detail=f"{what}: {grown >> 20} MiB more")
    return Verdict(kind)


def read_video(path: Path) -> None:
    """Read all frames in one pass, then some at random; what can be planned is finite."""
    from egofeat.errors import MediaError
    from egofeat.extract.video import open_video
    from egofeat.segments import Media

    with open_video(Media(path, fps=float(RATE))) as source:
        times = source.times.tolist()
        assert all(map(math.isfinite, [*times, source.stop])), "times that are not finite"
        assert times == sorted(times), "times that go back"
        count = min(len(times), 400)
        try:
            for _, frame in source.scan(range(count)):
                assert frame.ndim == 3
        except MediaError:
            pass
        for index in {0, count // 2, count - 1}:
            with contextlib.suppress(MediaError):
                source.frames([index])


def _frame(path: Path) -> None:
    """Read a folder of frames of which one is spoiled."""
    folder = path.parent / "frames"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "frame_1.jpg")
    read_video(folder)


def _weights(path: Path) -> None:
    from egofeat.extract import backbones

    backbones.load("mobilenetv2", weights=str(path), taps=["gap"], device="cpu")


def _weight_files(stage: Stage) -> list[Path]:
    folder = stage.folder / "weights"
    files = [folder / name for name in ("zip.pth", "old.pt", "plain.safetensors")]

    def save() -> int:
        import torch
        import torchvision
        from safetensors.torch import save_file

        torch.manual_seed(0)
        state = torchvision.models.mobilenet_v2(num_classes=10).state_dict()
        torch.save(state, files[0])
        torch.save(state, files[1], _use_new_zipfile_serialization=False)
        save_file(state, files[2])
        return 0

    if not all(file.exists() for file in files):
        folder.mkdir(exist_ok=True)
        assert Child(save, stage.output).wait().code == 0
    return files


def _hostile(stage: Stage, name: str) -> Iterator[Verdict]:
    shutil.rmtree(stage.place, ignore_errors=True)
    stage.place.mkdir()
    make = HOSTILE[name]

    def judge(_: int) -> Verdict:
        path = make(stage.place)
        probe = _weights if name.startswith("weights") else read_video
        if make is _jump:
            probe = _in_windows
        return _probed(path, probe, name)

    yield from in_one_child([0], judge, limit=LIMIT, memory=MEMORY, output=stage.output)


def _in_folder(folder: Path, make: Callable[[Path], object]) -> Path:
    frames = folder / "frames"
    frames.mkdir()
    make(frames / "frame_1.jpg")
    return frames


def _png(side: int) -> Callable[[Path], None]:
    """A grey picture of `side` squared pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    def write(path: Path) -> None:
        packer = zlib.compressobj(9)
        line = bytes(side + 1)
        body = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        pieces = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + pieces)

    return write


def _tar(
    headers: Mapping[str, str] | None = None, size: bytes | None = None
) -> Callable[[Path], Path]:
    """A tar whose member has such headers, or whose size field says such a thing."""

    def make(folder: Path) -> Path:
        path = folder / "f.tar"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("frame_000001.jpg")
            member.size, member.pax_headers = 4, dict(headers or {})
            tar.addfile(member, io.BytesIO(b"jpeg"))
        data = bytearray(buffer.getvalue())
        if size is not None:
            data[124 : 124 + len(size)] = size
            total = sum(data[:148]) + 8 * 32 + sum(data[156:512])
            data[148:156] = b"%06o\0 " % total
        path.write_bytes(bytes(data))
        return path

    return make


def _made(name: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def at(folder: Path) -> Path:
        make(folder / name)
        return folder / name

    return at


def _written(name: str, data: bytes) -> Callable[[Path], Path]:
    return _made(name, lambda path: path.write_bytes(data))


def _jump(folder: Path) -> Path:
    """Ten frames, the last two some weeks later, asked for in windows."""
    import av
    from tests.campaigns.scene import HEIGHT, WIDTH, picture

    path = folder / "jump.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts = number + 60_000_000 * (number > 7)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (folder / "t.csv").write_text("video\njump.mkv\n")
    entry = "{format: csv, media: ., annotations: t.csv}"
    (folder / "m.yaml").write_text(f"version: 1\ndatasets: {{jump: {entry}}}\n")
    return path


def _in_windows(path: Path) -> None:
    """Plan dense windows over a video, and extract them."""
    from egofeat.errors import EgofeatError

    read_video(path)
    windows = ("--windows", "1", "--stride", "1", "--fps", "30", "--out", str(path.parent / "out"))
    command = ("extract", *NETWORK, "--manifest", str(path.parent / "m.yaml"), *windows)
    for arguments in ((*command, "--dry-run"), command):
        code, text = run_here(arguments)
        if code:
            raise EgofeatError(text)


def _bomb() -> bytes:
    """Weights that are mostly nothing, packed."""
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(2048):
                member.write(bytes(1 << 20))
    return buffer.getvalue()


HOSTILE: Mapping[str, Callable[[Path], Path]] = {
    "frame of 169 million pixels": lambda f: _in_folder(f, _png(13_000)),
    "frame that is a pipe": lambda f: _in_folder(f, os.mkfifo),
    "frame that is a device": lambda f: _in_folder(f, lambda p: p.symlink_to("/dev/zero")),
    "frame that is a folder": lambda f: _in_folder(f, os.mkdir),
    "frame that leads nowhere": lambda f: _in_folder(f, lambda p: p.symlink_to("nowhere")),
    "frame that leads to itself": lambda f: _in_folder(f, lambda p: p.symlink_to(p)),
    "video that is a pipe": _made("v.mp4", os.mkfifo),
    "video that is a device": _made("v.mp4", lambda p: p.symlink_to("/dev/zero")),
    "video that is empty": _written("v.mp4", b""),
    "video that is a playlist": _written("v.mp4", b"ffconcat version 1.0\nfile other.mp4\n"),
    "video whose times jump": _jump,
    "tar of a size of 5,000 digits": _tar({"size": "9" * 5000}),
    "tar of a negative size": _tar({"size": "-1"}),
    "tar of a size that is none": _tar(size=b"\xff" * 12),
    "tar of a vast size": _tar(size=b"\x80\x00\x00\x00" + b"\x7f" * 8),
    "tar of a sparse map that is none": _tar({"GNU.sparse.map": "1,2,3", "GNU.sparse.size": "x"}),
    "tar of vast sparse numbers": _tar(
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 30}
    ),
    "tar of a time that is none": _tar({"mtime": "nan", "uid": "9" * 5000}),
    "weights that ask for 256 MiB": _written("w.pth", b"\x80\x02\x8b" + struct.pack("<i", 1 << 28)),
    "weights that ask for 2 GiB": _written(
        "w.pth", b"\x80\x02\x8b" + b"\xff\xff\xff\x7f" + b"...."
    ),
    "weights that run a command": _written("w.pth", b"cos\nsystem\n(S'touch owned'\ntR."),
    "weights of 2 GiB of nothing": _written("w.pth", _bomb()),
    "weights that are a pipe": _made("w.pth", os.mkfifo),
    "weights with a vast header": _written("w.safetensors", struct.pack("<Q", 1 << 60) + b"{}"),
}
