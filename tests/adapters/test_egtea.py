"""EGTEA Gaze+: small made split files and clips, and the real ones."""

import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

FILES = {
    "train_split1.txt": (
        "P01-R01-PastaSalad-1000-2000-F000022-F000051 1 1 1\n"
        "P01-R02-Pizza-0-500-F000000-F000013 3 2 2 1\n"
        "OP02-R01-Pizza-0-500-F000000-F000013 2 2 3 1 2\n"
        "P03-R01-Pizza-0-500-F000000-F000013 2 2 3\n"
    ),
    "test_split1.txt": "P01-R01-PastaSalad-5000-6000-F000118-F000147 2 2 3\n",
    "train_split2.txt": "P01-R02-Pizza-0-500-F000000-F000013 1 1 1\n",
    "test_split2.txt": "P01-R01-PastaSalad-1000-2000-F000022-F000051 1 1 1\n",
    "action_idx.txt": "Open fridge 1\nTake cup,spoon 3\nTake cup 2\n",
    "verb_idx.txt": "Open 1\nTake 2\n",
    "noun_idx.txt": "fridge 1\nspoon 2\ncup 3\n",
}


class Release:
    def __init__(self, root):
        self.root = root
        (root / "media").mkdir()
        (root / "notes").mkdir()
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        (self.root / "notes" / name).write_text(text)
        return self

    def read(self, **keys):
        keys = {"media": "media", "annotations": "notes"} | keys
        lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
        manifest = self.root / "m.yaml"
        manifest.write_text(f"version: 1\ndatasets:\n  egtea:\n    format: egtea-gaze+\n{lines}")
        return load_manifest(manifest).dataset()


@pytest.fixture
def release(tmp_path):
    return Release(tmp_path)


def test_each_clip_is_a_video_and_a_segment(release):
    dataset = release.read()
    assert dataset.splits == ("train", "test")
    segment = dataset.segments[1]
    assert segment.id == segment.video == "P01-R02-Pizza-0-500-F000000-F000013"
    assert (segment.start, segment.stop) == (0.0, float("inf"))
    assert segment.source_frames == (0, 13)
    assert segment.group == "P01-R02-Pizza"
    assert segment.labels == {"action": 2, "verb": 1, "noun": 1}
    assert dataset.classes == {
        "action": ("Open fridge", "Take cup", "Take cup,spoon"),
        "verb": ("Open", "Take"),
        "noun": ("fridge", "spoon", "cup"),
    }
    assert dataset.benchmark == ("action",)
    assert not dataset.gaze
    assert not dataset.remarks


@pytest.mark.parametrize("below", ["media/cropped_clips", "media"])
def test_clips_lie_in_folders_of_sessions(release, below):
    (release.root / below).mkdir(exist_ok=True)
    media = release.read().media["P01-R02-Pizza-0-500-F000000-F000013"]
    place = release.root / below / "P01-R02-Pizza" / "P01-R02-Pizza-0-500-F000000-F000013.mp4"
    assert media.path == place


def test_the_split_is_chosen(release):
    dataset = release.read(split=2)
    assert [(s.group, s.split) for s in dataset.segments] == [
        ("P01-R02-Pizza", "train"),
        ("P01-R01-PastaSalad", "test"),
        ("OP02-R01-Pizza", ""),  # of split 1 alone: kept for it
        ("P03-R01-Pizza", ""),
        ("P01-R01-PastaSalad", ""),
    ]
    assert dataset.published == {
        "1": ("train", "train", "train", "train", "test"),
        "2": ("train", "test", "", "", ""),
    }
    assert set(dataset.media) == {s.video for s in dataset.segments}


def test_a_validation_part_is_of_every_published_split(release):
    dataset = release.read(resplit="{val: [OP02-R01-Pizza]}")
    assert dataset.published["1"] == tuple(s.split for s in dataset.segments)
    assert dataset.published["2"] == ("test", "train", "", "", "")


def test_without_the_lists_classes_are_numbers(release):
    for target in ("action", "verb", "noun"):
        (release.root / "notes" / f"{target}_idx.txt").unlink()
    classes = release.read().classes
    assert [len(classes[t]) for t in ("action", "verb", "noun")] == [106, 19, 53]
    assert classes["verb"][:3] == ("1", "2", "3")


def test_a_validation_part_leaves_the_test_part_alone(release):
    dataset = release.read(resplit="{val: [OP02-R01-Pizza]}")
    assert [s.split for s in dataset.segments] == ["train", "train", "val", "train", "test"]
    dataset = release.read(resplit="{val: 0.5}")
    assert sorted(s.split for s in dataset.segments) == ["test", "train", "train", "val", "val"]


def test_a_resplit_that_names_test_deals_out_all(release):
    dataset = release.read(resplit="{test: [P01-R01-PastaSalad]}")
    assert [s.split for s in dataset.segments] == ["test", "train", "train", "train", "test"]


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("test_split1.txt", "P01-R01-Pizza-0-500-F0-F13 1 1\n", r"line 1 is .*: expected '<clip>"),
        ("test_split1.txt", "\nP01-R01-Pizza-0-500-F0-F13 1 x 1\n", r"line 2: the verb is 'x'"),
        (
            "test_split1.txt",
            "P01-R01-Pizza-0-500-F0-F13 4 1 1\n",
            r"test_split1.txt line 1: action 4 is not among the 3 .* action_idx.txt",
        ),
        ("test_split1.txt", "P01-R01-Pizza-0-500-F0-F13 0 1 1\n", "action 0 is not among"),
        ("test_split1.txt", "P01-R01-Pizza-0-500-F0-F13 1 1 1 9\n", "noun 9 is not among the 3"),
        (
            "test_split1.txt",
            "P01-R01-Pizza-0-500 1 1 1\n",
            "line 1: the clip 'P01-R01-Pizza-0-500'",
        ),
        ("test_split1.txt", "P01-R01-Pizza-0-500-F13-F13 1 1 1\n", "is not like <session>"),
        ("test_split1.txt", "../x-0-500-F0-F13 1 1 1\n", "is not like <session>"),
        (
            "test_split1.txt",
            "P01-R02-Pizza-0-500-F000000-F000013 1 1 1\n",
            r"is at .*train_split1.txt line 2 and again at .*test_split1.txt line 1",
        ),
        ("verb_idx.txt", "Open 1\nTake 1\n", r"verb_idx.txt line 2 is 'Take 1': expected"),
        ("verb_idx.txt", "Open 1\nTake\n", r"line 2: the verb's number is 'Take'"),
        ("verb_idx.txt", "Open 1\nTake 3\n", r"verb_idx.txt does not number its classes"),
        ("verb_idx.txt", "", r"verb_idx.txt does not number its classes"),
    ],
)
def test_mistakes_name_file_and_line(release, file, text, says):
    with pytest.raises(ManifestError, match=says) as error:
        release.write(file, text).read()
    assert file in str(error.value)


def test_a_split_that_is_not(release):
    with pytest.raises(ManifestError, match=r"key 'split': .* not 4"):
        release.read(split=4)
    with pytest.raises(ManifestError, match=r"train_split3\.txt does not exist"):
        release.read(split=3)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("split", "train", "test"), [(1, 8299, 2022), (2, 8299, 2022), (3, 8300, 2021)]
)
def test_the_real_splits(release, real_data, split, train, test):
    folder = real_data / "data/annotations/egtea"
    dataset = release.read(annotations=folder, split=split)
    splits = [segment.split for segment in dataset.segments]
    assert (splits.count("train"), splits.count("test")) == (train, test)
    for target, count in {"action": 106, "verb": 19, "noun": 53}.items():
        assert len(dataset.classes[target]) == count
        # Two nouns are never the first of an action.
        never = {43, 15} if target == "noun" else set()
        assert {s.labels[target] for s in dataset.segments} == set(range(count)) - never
    assert len({segment.group for segment in dataset.segments}) == 86
    held_out = release.read(annotations=folder, split=split, resplit="{val: 0.1}")
    sides = {s: {g.group for g in held_out.segments if g.split == s} for s in ("train", "val")}
    assert not sides["train"] & sides["val"]
    assert sum(segment.split == "test" for segment in held_out.segments) == test
