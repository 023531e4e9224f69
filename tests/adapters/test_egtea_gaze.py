"""Gaze of EGTEA Gaze+: made files of both layouts, and real ones against a plain reading."""

import pickle
import time

import numpy as np
import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

HEADER = ["## [BeGaze]", *["##"] * 31, "## Subject:\tRené", "Time\tType\tTrial"]
KINDS = {"Fixation": 1, "Saccade": 2, "Blink": 3, "-": 3}


def old(frame, x, y, kind):
    return f"{frame * 41667}\tSMP\t1\t{x:.2f}\t{y:.2f}\t{frame}\t\t{kind}"


def new(frame, x, y, kind):
    clock = f"{frame // 86400:02d}:{frame // 1440 % 60:02d}:{frame // 24 % 60:02d}:{frame % 24:02d}"
    return "\t".join(["1", "SMP", "1", "0", "0", f"{x}", f"{y}", *["0.5"] * 17, "", clock, kind])


class Sessions:
    """Two sessions with a clip each, and gaze for those that are written."""

    def __init__(self, root):
        self.root = root
        for folder in ("media", "notes", "gaze"):
            (root / folder).mkdir()
        (root / "notes/train_split1.txt").write_text(
            "P01-R01-Pizza-0-500-F001500-F001512 1 1 1\nP02-R01-Pizza-0-500-F000010-F000020 2 1 1\n"
        )
        (root / "notes/test_split1.txt").write_text("P01-R01-Pizza-9-99-F000002-F000004 1 1 1\n")
        (root / "m.yaml").write_text(
            "version: 1\ndatasets:\n  egtea: {format: egtea-gaze+, media: media, "
            "annotations: notes, gaze: gaze}\n"
        )

    def gaze(self, lines, name="P01-R01-Pizza.txt", header=HEADER, end="\r\n"):
        text = end.join([*header, *lines, ""])
        (self.root / "gaze" / name).write_text(text, encoding="latin-1", newline="")
        return self

    def read(self):
        return load_manifest(self.root / "m.yaml").dataset()


@pytest.fixture
def sessions(tmp_path):
    return Sessions(tmp_path)


SAMPLES = [
    (1499, 5, 5, "Fixation"),
    (1500, 640, 240, "Fixation"),
    (1500, 320, 480, "Saccade"),
    (1503, 0, 0, "Blink"),
    (1504, -3.5, 480, "Fixation"),
    (1505, 640, 960, "Saccade"),
    (1506, 1279.9, 959.9, "-"),
    (1511, 640, 480, "Fixation"),
    (1512, 640, 480, "Fixation"),
]


@pytest.mark.parametrize("line", [old, new])
def test_samples_are_found_by_the_frame_numbers_of_the_clip(sessions, line):
    dataset = sessions.gaze([line(*sample) for sample in SAMPLES]).read()
    assert list(dataset.gaze) == [
        "P01-R01-Pizza-0-500-F001500-F001512",
        "P01-R01-Pizza-9-99-F000002-F000004",
    ]
    gaze = dataset.gaze["P01-R01-Pizza-0-500-F001500-F001512"]
    np.testing.assert_allclose(gaze.times * 24, [0, 0, 3, 4, 5, 6, 11])
    # Outside the frame is truncated whatever is written; BeGaze's (0, 0) is no point.
    assert gaze.kinds.tolist() == [1, 2, 0, 4, 4, 3, 1]
    assert gaze.points[:2].tolist() == [[0.5, 0.25], [0.25, 0.5]]
    assert gaze.size == (1280, 960)
    assert len(dataset.gaze["P01-R01-Pizza-9-99-F000002-F000004"]) == 0


def test_sessions_without_gaze_are_counted(sessions):
    dataset = sessions.gaze([old(*sample) for sample in SAMPLES]).read()
    (remark,) = dataset.remarks
    assert remark.startswith("1 of 2 sessions have no gaze file in ")
    assert remark.endswith(": 1 of 3 clips are without gaze")
    assert "P02-R01-Pizza-0-500-F000010-F000020" not in dataset.gaze
    sessions.gaze([old(10, 640, 480, "Fixation")], name="p02-r01-Pizza.txt")
    dataset = sessions.read()
    assert not dataset.remarks
    assert len(dataset.gaze["P02-R01-Pizza-0-500-F000010-F000020"]) == 1


def test_a_folder_without_any_is_refused(sessions):
    with pytest.raises(ManifestError, match=r"holds the gaze of no session, such as P01-R01"):
        sessions.read()


def test_gaze_travels_to_another_process(sessions):
    gaze = sessions.gaze([old(*sample) for sample in SAMPLES]).read().gaze
    there = pickle.loads(pickle.dumps(gaze))
    assert list(there) == list(gaze)
    assert all((there[id_].points == gaze[id_].points).all() for id_ in gaze)


def test_samples_out_of_order_are_put_in_order(sessions):
    dataset = sessions.gaze([old(*sample) for sample in reversed(SAMPLES)]).read()
    gaze = dataset.gaze["P01-R01-Pizza-0-500-F001500-F001512"]
    assert (np.diff(gaze.times) >= 0).all()
    assert len(gaze) == 7


GOOD_OLD, GOOD_NEW = old(1500, 640, 480, "Fixation"), new(1500, 640, 480, "Fixation")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([GOOD_OLD, "", GOOD_OLD.replace("640.00", "x")], r"line 37 is .*no sample in 7 columns"),
        ([GOOD_OLD, GOOD_OLD + "\tmore"], "line 36 is .*no sample in 7 columns"),
        ([GOOD_OLD, GOOD_NEW], "line 36 is .*no sample in 7 columns"),
        ([GOOD_OLD, GOOD_OLD.replace("1500\t\t", "1500.5\t\t")], "line 36 is "),
        ([GOOD_NEW, GOOD_NEW.replace("00:01:02:12", "00:01:02")], "line 36 is .* 26 columns"),
        ([GOOD_NEW.replace("00:01:02:12", "01:02:12")], "line 35 is .* 26 columns"),
        ([GOOD_OLD + "\tmore"], "has samples of 8 columns, and BeGaze writes 7 or 26"),
        ([], "is no gaze file of BeGaze"),
    ],
)
def test_mistakes_name_file_and_line(sessions, lines, says):
    gaze = sessions.gaze(lines).read().gaze
    with pytest.raises(ManifestError, match=says) as error:
        gaze["P01-R01-Pizza-0-500-F001500-F001512"]
    assert "P01-R01-Pizza.txt" in str(error.value)


def test_another_text_is_no_gaze(sessions):
    gaze = sessions.gaze([GOOD_OLD], header=["Time", *HEADER[1:]]).read().gaze
    with pytest.raises(ManifestError, match="is no gaze file of BeGaze"):
        gaze["P01-R01-Pizza-0-500-F001500-F001512"]


@pytest.mark.real_data
def test_the_real_gaze_is_that_of_a_plain_reading(sessions, real_data):
    notes = real_data / "data/annotations"
    manifest = sessions.root / "m.yaml"
    manifest.write_text(
        "version: 1\ndatasets:\n  egtea: {format: egtea-gaze+, media: media, "
        f"annotations: {notes / 'egtea'}, gaze: {notes / 'egtea_gaze'}}}\n"
    )
    dataset = load_manifest(manifest).dataset()
    assert len(dataset.gaze) == 319
    (remark,) = dataset.remarks
    assert remark.startswith("80 of 86 sessions have no gaze file")
    began = time.process_time()
    gaze = dict(dataset.gaze)
    assert (
        time.process_time() - began < 5
    )  # 0.1 s for 98,725 samples; a whole release has 3 million
    segments = {s.id: s for s in dataset.segments}
    lines = {}
    for id_, found in gaze.items():
        session, (first, last) = segments[id_].group, segments[id_].source_frames
        if session not in lines:
            text = (notes / "egtea_gaze" / f"{session}.txt").read_text()
            lines[session] = [line.split() for line in text.splitlines()[34:]]
        wanted = [cells for cells in lines[session] if first <= int(cells[5]) < last]
        np.testing.assert_allclose(found.times * 24 + first, [int(cells[5]) for cells in wanted])
        pixels = np.array([[float(cells[3]), float(cells[4])] for cells in wanted])
        np.testing.assert_allclose(found.points * (1280, 960), pixels, rtol=1e-5, atol=1e-3)
        inside = ((pixels >= 0) & (pixels < (1280, 960))).all(axis=1)
        assert ((found.kinds == 4) == ~inside).all()
        said = np.array([KINDS[cells[6]] for cells in wanted])
        known = inside & pixels.any(axis=1)
        assert (found.kinds[known] == said[known]).all()
