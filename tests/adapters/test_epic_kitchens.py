"""EPIC-KITCHENS-100: a small made annotation folder, and the real one."""

import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


def row(id_, start, stop, first, last, verb, noun):
    video = id_.rpartition("_")[0]
    return (
        f"{id_},{video[:3]},{video},00:00:00,{start},{stop},{first},{last},say,"
        f"v,{verb},n,{noun},['n'],[{noun}]\n"
    )


FILES = {
    "EPIC_100_train.csv": HEADER
    + row("P01_01_0", "00:00:00.14", "00:00:03.37", 8, 202, 0, 2)
    + row("P01_101_0", "00:01:00.00", "00:01:02.00", 3000, 3100, 1, 0),
    "EPIC_100_validation.csv": HEADER + row("P18_01_0", "00:00:00.00", "00:00:01.89", 1, 113, 2, 1),
    "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,[],retrieve\n"
    "1,put,[],leave\n2,get,[],retrieve\n",
    "EPIC_100_noun_classes.csv": "id,key,instances,category\n0,tap,[],b\n1,cup,[],a\n2,mug,[],a\n",
    "EPIC_100_tail_verbs.csv": "verb\n1\n2\n",
    "EPIC_100_tail_nouns.csv": "noun\n2\n",
    "EPIC_100_unseen_participant_ids_validation.csv": "participant_id\nP18\nP32\n",
}


class Place:
    def __init__(self, root):
        self.root = root
        (root / "media").mkdir()
        (root / "notes").mkdir()
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        (self.root / "notes" / name).write_text(text)
        return self

    def media(self, *names):
        for name in names:
            path = self.root / "media" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return self

    def read(self, frames="videos", annotations="notes", more=""):
        manifest = self.root / "m.yaml"
        manifest.write_text(
            "version: 1\ndatasets:\n  epic:\n    format: epic-kitchens-100\n    media: media\n"
            f"    annotations: {annotations}\n    frames: {frames}\n{more}"
        )
        return load_manifest(manifest).dataset()

    def error(self, frames="videos"):
        with pytest.raises(ManifestError) as caught:
            self.read(frames)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"{self.root / 'm.yaml'}, data set 'epic': ")
        return text


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_targets_categories_tail_and_unseen(place):
    data = place.read()
    assert data.classes == {
        "verb": ("take", "put", "get"),
        "noun": ("tap", "cup", "mug"),
        "verb_category": ("retrieve", "leave"),
        "noun_category": ("b", "a"),
    }
    assert [dict(s.labels) for s in data.segments] == [
        {"verb": 0, "verb_category": 0, "noun": 2, "noun_category": 1},
        {"verb": 1, "verb_category": 1, "noun": 0, "noun_category": 0},
        {"verb": 2, "verb_category": 0, "noun": 1, "noun_category": 1},
    ]
    assert [(s.split, s.group) for s in data.segments] == [
        ("train", "P01"),
        ("train", "P01"),
        ("val", "P18"),
    ]
    assert data.tail == {"verb": {1, 2}, "noun": {2}}
    assert data.unseen == {"P18", "P32"}


def test_videos_use_timestamps(place):
    data = place.read()
    assert [(s.start, s.stop) for s in data.segments] == [(0.14, 3.37), (60.0, 62.0), (0.0, 1.89)]
    assert [s.source_frames for s in data.segments] == [(8, 202), (3000, 3100), (1, 113)]
    assert {media.fps for media in data.media.values()} == {None}


@pytest.mark.parametrize("frames", ["folders", "tars"])
def test_images_use_frame_numbers(place, frames):
    data = place.read(frames)
    assert [(s.start, s.stop) for s in data.segments] == [
        (7 / 60, 201 / 60),
        (2999 / 50, 3099 / 50),
        (0.0, 112 / 60),
    ]
    assert [s.source_frames for s in data.segments] == [(8, 202), (3000, 3100), (1, 113)]
    assert {key: (m.fps, m.first_frame) for key, m in data.media.items()} == {
        "P01_01": (60.0, 1),
        "P01_101": (50.0, 1),
        "P18_01": (60.0, 1),
    }


def test_flow_has_the_segments_of_the_frames_at_half_their_rate(place):
    colours, flow = place.read("tars"), place.read("flow", more="    dataset: epic\n")
    assert {key: (m.fps, m.first_frame) for key, m in flow.media.items()} == {
        "P01_01": (30.0, 1),
        "P01_101": (25.0, 1),
        "P18_01": (30.0, 1),
    }
    for name in ("name", "segments", "classes", "tail", "unseen"):
        assert getattr(flow, name) == getattr(colours, name)


def test_an_entry_can_be_of_the_data_set_of_another(place):
    assert place.read("flow", more="    dataset: kitchens\n").name == "kitchens"
    with pytest.raises(ManifestError, match="key 'dataset': the name becomes that of a folder"):
        place.read("flow", more="    dataset: ../out\n")


def test_images_numbered_otherwise(place):
    media = place.read("folders", more="    first_frame: 0\n").media
    assert {one.first_frame for one in media.values()} == {0}
    with pytest.raises(ManifestError, match="key 'first_frame': takes the number of the image"):
        place.read("folders", more="    first_frame: one\n")


@pytest.mark.parametrize(
    ("frames", "path"),
    [
        ("videos", "P01/videos/P01_01.MP4"),
        ("videos", "videos/train/P01/P01_01.MP4"),
        ("videos", "videos/P01_01.mp4"),
        ("videos", "P01_01.MP4"),
        ("tars", "P01/rgb_frames/P01_01.tar"),
        ("tars", "rgb/train/P01/P01_01.tar"),
        ("tars", "rgb_frames/P01_01.tar"),
        ("tars", "P01_01.tar"),
        ("folders", "P01/rgb_frames/P01_01/frame_0000000001.jpg"),
        ("folders", "rgb/P01_01/frame_0000000001.jpg"),
        ("folders", "P01/P01_01/frame_0000000001.jpg"),
        ("folders", "P01_01/frame_0000000001.jpg"),
        ("flow", "P01/flow_frames/P01_01.tar"),
        ("flow", "P01/flow_frames/P01_01/u/frame_0000000001.jpg"),
        ("flow", "flow/train/P01/P01_01.tar"),
        ("flow", "flow_frames/P01_01/u/frame_0000000001.jpg"),
        ("flow", "P01_01.tar"),
    ],
)
def test_layouts(place, frames, path):
    data = place.media(path).read(frames)
    expected = place.root / "media" / path
    while expected.suffix == ".jpg" or expected.name == "u":
        expected = expected.parent
    assert data.media["P01_01"].path == expected
    assert not data.media["P18_01"].path.exists()


def test_a_missing_video_is_expected_where_the_release_has_it(place):
    media = place.root / "media"
    assert place.read().media["P18_01"].path == media / "P18/videos/P18_01.MP4"
    assert place.read("tars").media["P18_01"].path == media / "P18/rgb_frames/P18_01.tar"
    assert place.read("folders").media["P18_01"].path == media / "P18/rgb_frames/P18_01"


def test_new_files_are_seen_by_the_next_reading(place):
    assert not place.read().media["P01_01"].path.exists()
    place.media("P01_01.mp4")
    assert place.read().media["P01_01"].path.exists()


def test_another_kind_of_frames_is_pointed_out(place):
    place.media("P01/rgb_frames/P01_01.tar")
    assert "holds tars, but the entry reads videos: write `frames: tars`" in place.error()
    assert "write `frames: tars`" in place.error("folders")
    says = (
        "holds tars, but the entry reads flow: put the flow there, such as P01/flow_frames/P01_01"
    )
    assert says in place.error("flow")
    place.media("P01_01.mp4")
    assert place.read().media["P01_01"].path.exists()


def test_the_test_split_has_no_labels(place):
    columns = HEADER.split(",narration,", maxsplit=1)[0]
    line = "P01_11_0,P01,P01_11,00:00:01,00:00:01.5,00:00:02.5,90,150"
    place.write("EPIC_100_test_timestamps.csv", f"{columns}\n{line}\n")
    data = place.read()
    assert data.splits == ("train", "val", "test")
    assert data.segments[-1].labels == {}
    assert (data.segments[-1].start, data.segments[-1].source_frames) == (1.5, (90, 150))


def test_the_second_version_of_a_class_file_stands_in(place):
    (place.root / "notes/EPIC_100_noun_classes.csv").rename(
        place.root / "notes/EPIC_100_noun_classes_v2.csv"
    )
    assert place.read().classes["noun"] == ("tap", "cup", "mug")


GOOD = ("P01_01_0", "00:00:00.14", "00:00:03.37", 8, 202, 0, 2)


def bad(position, value):
    cells = list(GOOD)
    cells[position] = value
    return HEADER + row(*cells)


@pytest.mark.parametrize(
    ("frames", "file", "text", "says"),
    [
        ("videos", "train", bad(2, "00:00:00.14"), "line 2: the stop '00:00:00.14' is not after"),
        ("videos", "train", bad(1, "soon"), "line 2: 'soon' is no time: write seconds"),
        ("tars", "train", bad(4, 8), "line 2: the frames 8 to 8 are not a stretch"),
        (
            "tars",
            "train",
            bad(3, 0),
            "line 2: the frames 0 to 202 are not a stretch that starts at",
        ),
        ("tars", "train", bad(3, "x"), "line 2: start_frame is 'x': write a whole number"),
        ("videos", "train", bad(5, 3), "line 2: verb class 3 is not among the 3 classes of EPIC"),
        ("videos", "train", bad(6, "n"), "line 2: the noun class is 'n': write a whole number"),
        ("videos", "train", bad(0, "P1/../x_0"), "the video 'P1/../x' is not like P01_01"),
        ("videos", "train", HEADER + row(*GOOD) * 2, "id 'P01_01_0' is at"),
        ("videos", "train", HEADER + row(*GOOD) * 2, "line 2 and again at"),
        ("videos", "train", HEADER.replace("verb_class", "verb_clas"), "did you mean 'verb_clas'?"),
        ("videos", "tail_verbs", "verb\n9\n", "line 2: verb class 9 is not among the 3 classes"),
        ("videos", "verb_classes", "id,key,category\n1,take,a\n", "has id '1' where 0 is next"),
    ],
)
def test_bad_annotations(place, frames, file, text, says):
    place.write(f"EPIC_100_{file}.csv", text)
    message = place.error(frames)
    assert says in message
    assert f"EPIC_100_{file}.csv" in message


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_needed(place, name):
    (place.root / "notes" / name).unlink()
    assert f"{name} does not exist: put the file there" in place.error()


def test_an_unknown_kind_of_frames(place):
    says = "key 'frames': input should be 'videos', 'folders', 'tars' or 'flow', not 'mp4'"
    with pytest.raises(ManifestError, match=says):
        place.read("mp4")


@pytest.mark.real_data
@pytest.mark.parametrize("frames", ["videos", "folders", "tars"])
def test_the_real_annotations(place, real_data, frames):
    annotations = real_data / "data/annotations/epic100"
    data = place.read(frames, annotations)
    count = {split: sum(s.split == split for s in data.segments) for split in data.splits}
    assert count == {"train": 67217, "val": 9668, "test": 13092}
    sizes = {target: len(names) for target, names in data.classes.items()}
    assert sizes == {"verb": 97, "noun": 300, "verb_category": 13, "noun_category": 21}
    assert {target: len(labels) for target, labels in data.tail.items()} == {
        "verb": 86,
        "noun": 228,
    }
    assert data.unseen == {"P18", "P32"}
    assert not data.unseen & {s.group for s in data.segments if s.split == "train"}
    assert all(s.stop > s.start >= 0 for s in data.segments)
    assert all(set(s.labels) == set(sizes) for s in data.segments if s.split != "test")


@pytest.mark.real_data
def test_timestamps_and_frame_numbers_agree_on_the_official_validation_list(place, real_data):
    annotations = real_data / "data/annotations/epic100"
    by_time, by_frame = (place.read(kind, annotations).segments for kind in ("videos", "tars"))
    pairs = [(a, b) for a, b in zip(by_time, by_frame, strict=True) if a.split == "val"]
    # start_frame is floor(fps · t), one based: at most a frame before the time, none after.
    assert max(abs(a.start - b.start) for a, b in pairs) < 2 / 50 + 0.01
    assert max(abs(a.stop - b.stop) for a, b in pairs) < 2 / 50 + 0.01


@pytest.mark.real_data
def test_real_classes_are_the_same_from_either_version(place, real_data):
    source = real_data / "data/annotations/epic100"
    for path in source.glob("*.csv"):
        if path.name != "EPIC_100_noun_classes.csv":
            place.write(path.name, path.read_text(encoding="utf-8"))
    (place.root / "notes/EPIC_100_noun_classes.csv").unlink()
    assert place.read().classes == place.read(annotations=source).classes
