"""Class folders, with split folders or with the split lists of UCF-101 and HMDB-51."""

import os
import re

import pytest

from egofeat.adapters.reading import patterns
from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest


class Place:
    """A folder with clips, and a manifest that has one entry for it."""

    def __init__(self, root):
        self.root = root
        (root / "clips").mkdir()

    def clips(self, *names):
        for name in names:
            self.write(f"clips/{name}", "")
        return self

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def read(self, extra=""):
        manifest = self.root / "m.yaml"
        manifest.write_text(
            f"version: 1\ndatasets: {{mine: {{format: folder, media: clips{extra}}}}}"
        )
        return load_manifest(manifest).dataset()

    def error(self, extra=""):
        with pytest.raises(ManifestError) as caught:
            self.read(extra)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"{self.root / 'm.yaml'}, data set 'mine': ")
        return text


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_split_class_clip(place):
    data = place.clips("val/b/z.MP4", "train/b/x.avi", "train/a/y.mkv", "train/a/.hid.mp4").read()
    assert [(s.id, s.split, dict(s.labels)) for s in data.segments] == [
        ("train/a/y", "train", {"action": 0}),
        ("train/b/x", "train", {"action": 1}),
        ("val/b/z", "val", {"action": 1}),
    ]
    assert data.splits == ("train", "val")
    assert data.classes == {"action": ("a", "b")}
    media = data.media[data.segments[0].video]
    assert media.path == place.root / "clips/train/a/y.mkv"
    assert media.fps is None


def test_what_is_no_clip_is_left_out(place):
    (place.root / "clips/train/folder.mp4").mkdir(parents=True)
    place.clips(".git/a/x.mp4", "train/.a/x.mp4", "train/empty/notes.txt", "manifest.csv")
    data = place.clips("train/a/x.mp4", "train/a/deep/er/x.mp4").read()
    assert [s.id for s in data.segments] == ["train/a/x"]
    assert data.classes == {"action": ("a",)}


def test_class_clip_alone_is_all_train(place):
    data = place.clips("b/x.mp4", "a/y.mp4").read(", target: step")
    assert {s.split for s in data.segments} == {"train"}
    assert data.classes == {"step": ("a", "b")}


def test_links_are_followed(place, tmp_path):
    (tmp_path / "far/wash").mkdir(parents=True)
    (tmp_path / "far/wash/x.mp4").touch()
    (place.root / "clips/train").symlink_to(tmp_path / "far")
    (tmp_path / "far/wash/broken.mp4").symlink_to(tmp_path / "nowhere")
    assert [s.id for s in place.read().segments] == ["train/wash/broken", "train/wash/x"]


def test_layouts_are_not_mixed(place):
    text = place.clips("train/a/x.mp4", "b/y.mp4").error()
    assert "mixes <class>/<clip> (b/y.mp4) with <split>/<class>/<clip> (train/a/x.mp4)" in text


def test_a_folder_without_videos(place):
    assert "holds no videos: expected <split>/<class>/<clip>" in place.error()


def test_two_files_of_one_name(place):
    text = place.clips("train/a/x.mp4", "train/a/x.avi").error()
    assert "the segment id 'train/a/x' is at" in text
    assert text.endswith("keep one of them")


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff.mp4"), "two\nlines.mp4"])
def test_a_name_that_cannot_be_written_down_costs_that_clip_alone(place, name):
    place.clips(f"train/a/{name}")
    assert "control characters, or is not UTF-8, and is left out: rename it" in place.error()
    data = place.clips("train/a/other.mp4").read()
    assert [s.id for s in data.segments] == ["train/a/other"]
    assert len(data.remarks) == 1
    assert "is left out: rename it" in data.remarks[0]
    assert data.remarks[0].isprintable()


def test_folders_of_images_are_for_a_csv(place):
    place.clips("train/a/clip/frame_1.jpg")
    assert "holds folders of images and no videos" in place.error()
    assert "`format: csv` with `fps:`" in place.error()


def test_an_expression_without_end_is_ended(place, monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 1.0)
    place.clips("train/x/" + "a" * 40 + "!.mp4")
    text = place.error(", group: '^(a+)+$'")
    assert "the regular expression '^(a+)+$' takes more than 1 s" in text
    assert "is no regular expression" in place.error(f", group: '{'(' * 2000 + ')' * 2000}'")


def test_groups_and_resplit_by_session(place):
    place.clips(*(f"{s}/a/W_{n:03d}_{s}.mp4" for s in ("train", "val") for n in range(1, 9)))
    data = place.read(r", group: 'W_(\d+)', resplit: {val: ['002', '005']}")
    assert {s.group for s in data.segments if s.split == "val"} == {"002", "005"}
    assert {s.group for s in data.segments if s.split == "train"}.isdisjoint({"002", "005"})
    assert place.read(r", group: '\d+'").segments[0].group == "001"
    assert "finds nothing in the clip name 'W_001_train'" in place.error(", group: 'X(.)'")
    assert "widen the expression" in place.error(", group: 'W(X)?'")


@pytest.fixture
def ucf(place):
    place.write("lists/classInd.txt", "1 Zoo\r\n2 Archery Bow\r\n\r\n")
    place.write("lists/trainlist01.txt", "Zoo/v_g01.avi 1\r\nArchery Bow/v (2).avi 2\r\n")
    return place.write("lists/testlist01.txt", "Zoo/v_g02.avi\r\n")


def test_ucf_lists(ucf):
    data = ucf.read(", annotations: lists")
    assert data.classes == {"action": ("Zoo", "Archery Bow")}
    assert [(s.id, s.split, s.labels["action"]) for s in data.segments] == [
        ("Zoo/v_g01", "train", 0),
        ("Archery Bow/v (2)", "train", 1),
        ("Zoo/v_g02", "test", 0),
    ]
    assert data.media["Zoo/v_g01.avi"].path == ucf.root / "clips/Zoo/v_g01.avi"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("trainlist01.txt", "Zo/v.avi 1", "line 1: the class 'Zo' is not in classInd.txt: did you"),
        ("trainlist01.txt", "Zoo/v.avi 2", "line 1: the label '2' is not that of 'Zoo': write 1"),
        ("trainlist01.txt", "Zoo/../../v.avi 1", "line 1: the video 'Zoo/../../v.avi' does not"),
        ("testlist01.txt", "Zoo/v_g01.avi", "the segment id 'Zoo/v_g01' is at"),
        ("testlist01.txt", "Zoo", "line 1: 'Zoo' names no clip: write <class>/<clip>"),
        ("classInd.txt", "0 Zoo", "line 1 is '0 Zoo': expected '1 <class>'"),
    ],
)
def test_bad_ucf_lists(ucf, file, text, says):
    ucf.write(f"lists/{file}", text)
    assert says in ucf.error(", annotations: lists")


def test_other_published_splits_are_kept_beside(ucf):
    ucf.write("lists/trainlist02.txt", "Zoo/v_g02.avi 1\n")
    ucf.write("lists/testlist02.txt", "Archery Bow/v (2).avi\nZoo/v_g03.avi\n")
    data = ucf.read(", annotations: lists")
    assert data.published == {
        "1": ("train", "train", "test", ""),
        "2": ("", "test", "train", "test"),
    }
    assert [s.split for s in data.segments] == ["train", "train", "test", ""]
    assert data.media["Zoo/v_g03.avi"].path == ucf.root / "clips/Zoo/v_g03.avi"
    second = ucf.read(", annotations: lists, lists: 2")
    assert {s.id for s in second.segments} == {s.id for s in data.segments}


def test_lists_that_are_not_there(ucf):
    assert "trainlist02.txt does not exist" in ucf.error(", annotations: lists, lists: 2")
    (ucf.root / "lists/classInd.txt").unlink()
    text = ucf.error(", annotations: lists")
    assert "holds neither classInd.txt (as UCF-101) nor <class>_test_split1.txt" in text


def test_hmdb_lists(place):
    place.write("lists/wave_test_split1.txt", "a b!_0.avi 1 \nc.avi 2 \nd.avi 0 \n")
    place.write("lists/brush_hair_test_split1.txt", "e.avi 2 \n")
    data = place.read(", annotations: lists")
    assert data.classes == {"action": ("brush_hair", "wave")}
    assert [(s.id, s.split, s.labels["action"]) for s in data.segments] == [
        ("brush_hair/e", "test", 0),
        ("wave/a b!_0", "train", 1),
        ("wave/c", "test", 1),
    ]
    place.write("lists/wave_test_split1.txt", "c.avi 3")
    assert re.search("line 1: the mark is 3: write 1 train", place.error(", annotations: lists"))
    place.write("lists/wave_test_split1.txt", "c.avi")
    assert "write a whole number" in place.error(", annotations: lists")


@pytest.mark.real_data
def test_real_ucf_and_hmdb_lists(place, real_data):
    annotations = real_data / "data/annotations"
    ucf = place.read(f", annotations: {annotations / 'ucf101'}")
    assert [s.split for s in ucf.segments].count("train") == 9537
    assert [s.split for s in ucf.segments].count("test") == 3783
    assert len(ucf.classes["action"]) == 101
    hmdb = place.read(f", annotations: {annotations / 'hmdb51'}")
    assert [s.split for s in hmdb.segments].count("train") == 140
    assert [s.split for s in hmdb.segments].count("test") == 60


@pytest.mark.real_data
def test_real_handwashing_splits_by_session(place, real_data):
    (place.root / "clips").rmdir()
    (place.root / "clips").symlink_to(real_data / "data/handwash12")
    published = place.read(r", group: 'HandWash_(\d+)'")
    assert len(published.segments) == 260
    assert len(published.classes["action"]) == 12
    assert published.splits == ("train", "val")
    by_split = {x: {s.group for s in published.segments if s.split == x} for x in published.splits}
    assert by_split["train"] & by_split["val"] == {"006", "007"}
    fair = place.read(r", group: 'HandWash_(\d+)', resplit: {val: 0.3}")
    by_split = {x: {s.group for s in fair.segments if s.split == x} for x in fair.splits}
    assert len(by_split["val"]) == 3
    assert not by_split["train"] & by_split["val"]
