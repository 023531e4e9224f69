"""The gaze of EGTEA Gaze+: BeGaze's text, one file a session, cut to the clips by frame number.

BeGaze samples at about 30 Hz and says with each sample which frame of the session's video, at
24 fps, was on show. Samples are found by these numbers: the milliseconds in a clip's name leave
out the margin that was cut with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.files import read_text
from egofeat.errors import ManifestError
from egofeat.gaze import Gaze, Kind
from egofeat.words import quoted

FPS = 24
SIZE = (1280, 960)
"""Width and height of the frame that gaze is measured in; the clips are smaller, of that ratio."""
HEADER_LINES = 34
_FAR = 1e9
"""Pixels; further outside is no place."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Where a trimmed clip lies in its session."""

    session: str
    frames: tuple[int, int]
    """Frame numbers `[first, last)` of the session's video, counted from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Gaze of a whole session."""

    frames: NDArray[np.int64]
    """[n] frame number of each sample, not falling."""
    pixels: NDArray[np.float64]
    """[n, 2] x and y."""
    kinds: NDArray[np.uint8]

    def cut(self, first: int, last: int) -> Gaze:
        """Gaze of the frames `[first, last)`, of which the first is shown at 0 s."""
        begin, end = np.searchsorted(self.frames, (first, last))
        times = (self.frames[begin:end] - first) / FPS
        return Gaze.from_pixels(times, self.pixels[begin:end], self.kinds[begin:end], SIZE)


class ClipGaze(Mapping[str, Gaze]):
    """Gaze of the clips whose session has a file, read when it is asked for.

    Clips come in the order of their ids, so that going through all reads each file once.

    Raises:
        ManifestError: on reading, when a file is not as BeGaze writes it.
    """

    def __init__(self, files: Mapping[str, Path], clips: Mapping[str, Clip]) -> None:
        self._files = files
        self._clips = {id_: clips[id_] for id_ in sorted(clips) if clips[id_].session in files}
        self._last: tuple[str, _Samples] | None = None

    def __getitem__(self, id_: str) -> Gaze:
        clip = self._clips[id_]
        if self._last is None or self._last[0] != clip.session:
            self._last = clip.session, _read_samples(self._files[clip.session])
        return self._last[1].cut(*clip.frames)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._clips

    def __iter__(self) -> Iterator[str]:
        return iter(self._clips)

    def __len__(self) -> int:
        return len(self._clips)


def locate_gaze(folder: Path, clips: Mapping[str, Clip]) -> tuple[ClipGaze, tuple[str, ...]]:
    """Gaze of the clips, and what a person should know of it.

    Files are named after sessions, in any case: a published one is `P16-r03-BaconAndEggs.txt`.

    Raises:
        ManifestError: no session has a file there.
    """
    there = {path.stem.lower(): path for path in sorted(folder.glob("*.txt"))}
    sessions = sorted({clip.session for clip in clips.values()})
    files = {name: there[name.lower()] for name in sessions if name.lower() in there}
    if not files:
        raise ManifestError(
            f"'gaze' {folder} holds the gaze of no session, such as {sessions[0]}.txt: "
            "name the folder of the published gaze files"
        )
    gaze = ClipGaze(files, clips)
    without = len(sessions) - len(files)
    if not without:
        return gaze, ()
    return gaze, (
        f"{without} of {len(sessions)} sessions have no gaze file in {folder}: "
        f"{len(clips) - len(gaze)} of {len(clips)} clips are without gaze",
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns of a version of BeGaze, as blanks part them."""

    columns: int
    x: int
    y: int
    frame: int
    timecode: bool
    """Whether a frame is `H:M:S:F` in place of its number."""
    kind: int

    def dtype(self) -> np.dtype[np.void]:
        """One field a column; what is not needed keeps a letter."""
        kinds = dict.fromkeys((self.x, self.y), "f8")
        kinds |= {self.frame: "S16" if self.timecode else "i8", self.kind: "S16"}
        return np.dtype([(f"f{i}", kinds.get(i, "S1")) for i in range(self.columns)])


LAYOUTS = {
    7: _Layout(7, x=3, y=4, frame=5, timecode=False, kind=6),
    26: _Layout(26, x=5, y=6, frame=24, timecode=True, kind=25),
}


def _read_samples(path: Path) -> _Samples:
    # Only names of people and paths in the header may be other than ASCII.
    lines = read_text(path, encoding="latin-1").splitlines()
    body = [line for line in lines[HEADER_LINES:] if line.strip()]
    if not body or not lines[0].startswith("## [BeGaze]"):
        raise ManifestError(
            f"{path} is no gaze file of BeGaze, {HEADER_LINES} lines of header and a line a "
            "sample: restore the published file"
        )
    columns = len(body[0].split())
    if columns not in LAYOUTS:
        raise ManifestError(
            f"{path} has samples of {columns} columns, and BeGaze writes 7 or 26: "
            "restore the published file"
        )
    try:
        return _parse(body, LAYOUTS[columns])
    except (ValueError, OverflowError):
        number, line = _first_mistake(lines, LAYOUTS[columns])
        raise ManifestError(
            f"{path} line {number} is {quoted(line)}, no sample in {columns} columns as the first "
            "is: restore the published file"
        ) from None


def _parse(body: list[str], layout: _Layout) -> _Samples:
    """Columns of the samples; numpy's reader takes a sixth of the time of a loop over lines."""
    table = np.loadtxt(body, layout.dtype(), comments=None, ndmin=1)
    x, y, frames, said = (table[f"f{i}"] for i in (layout.x, layout.y, layout.frame, layout.kind))
    if layout.timecode:
        clock = np.loadtxt(frames.astype(np.str_), np.int64, delimiter=":", ndmin=2)
        if clock.shape[1] != 4:
            raise ValueError("a timecode is not H:M:S:F")
        frames = clock @ np.array([3600 * FPS, 60 * FPS, FPS, 1])
    kinds = np.full(len(table), Kind.UNKNOWN, np.uint8)
    kinds[said == b"Fixation"] = Kind.FIXATION
    kinds[said == b"Saccade"] = Kind.SACCADE
    kinds[(x == 0) & (y == 0)] = Kind.UNTRACKED  # BeGaze has no point, and writes this one
    order = np.argsort(frames, kind="stable")
    pixels = np.stack([x, y], axis=1).clip(-_FAR, _FAR)
    return _Samples(frames[order], pixels[order], kinds[order])


def _first_mistake(lines: list[str], layout: _Layout) -> tuple[int, str]:
    """Number and text of the first line that is not of the layout: slow, for the error only."""

    def parses(line: str) -> bool:
        try:
            return len(_parse([line], layout).frames) == 1
        except (ValueError, OverflowError):
            return False

    body = enumerate(lines[HEADER_LINES:], start=HEADER_LINES + 1)
    wrong = ((number, line) for number, line in body if line.strip() and not parses(line))
    return next(wrong, (HEADER_LINES + 1, lines[HEADER_LINES]))
