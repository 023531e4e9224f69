"""AVA: small made annotations and media, every mistake's sentence, and the real files."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.adapters.reading.label_map import AVA_EVALUATED
from egofeat.boxes import stamp_of
from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest
from egofeat.segments import Media

MAP = 'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "run/jog"\n  id: 3\n}\n'
TRAIN = (
    "-5KQ,0902,0.077,0.151,0.283,0.811,3,1\n"
    "-5KQ,0902,0.077,0.151,0.283,0.811,1,1\n"
    "-5KQ,0902,0.005,0.1,0.4,1.000,1,0\n"
    "-5KQ,0903,0.5,0.1,0.6,0.2,2,\n"
    "0f_3,0902.5,0,0,1,1,1\n"
)


class Release:
    def __init__(self, root):
        self.root = root
        (root / "media").mkdir()
        self.write("map.pbtxt", MAP).write("train.csv", TRAIN)

    def write(self, name, text):
        (self.root / name).write_text(text)
        return self

    def clip(self, *names):
        for name in names:
            path = self.root / "media" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return self

    def read(self, **keys):
        keys = {
            "media": "media",
            "annotations": "{train: train.csv}",
            "label_map": "map.pbtxt",
        } | keys
        lines = "".join(f"    {key}: {value}\n" for key, value in keys.items() if value != "")
        manifest = self.root / "m.yaml"
        manifest.write_text(f"version: 1\ndatasets:\n  a:\n    format: ava\n{lines}")
        return load_manifest(manifest).dataset()


@pytest.fixture
def release(tmp_path):
    return Release(tmp_path)


def test_each_video_and_stamp_is_a_key_frame(release):
    dataset = release.read(begin=900)
    assert dataset.key_frames
    assert [segment.id for segment in dataset.segments] == ["-5KQ_0902", "-5KQ_0903", "0f_3_0902.5"]
    last = dataset.segments[-1]
    assert (last.video, last.group, last.split, last.labels) == ("0f_3", "0f_3", "train", {})
    assert (last.start, last.stop) == (2.5, 3.5)
    assert stamp_of(last.id) == "0902.5"
    assert release.read().segments[0].start == 902.0
    assert not dataset.remarks


def test_rows_of_one_box_are_one_person_with_several_actions(release):
    boxes = release.read().boxes
    assert list(boxes) == ["-5KQ_0902", "-5KQ_0903", "0f_3_0902.5"]
    first = boxes["-5KQ_0902"]
    assert first.corners.dtype == first.scores.dtype == "float32"
    expected = [[0.005, 0.1, 0.4, 1.0], [0.077, 0.151, 0.283, 0.811]]
    assert (first.corners == np.float32(expected)).all()
    assert first.scores.tolist() == [1, 1]
    assert first.actions == ((0,), (0, 2))
    assert boxes["-5KQ_0903"].actions == ((1,),)


def test_classes_are_numbered_by_id_and_the_maps_own_ids_count(release):
    dataset = release.read()
    assert dataset.classes == {"action": ("sit", "(2)", "run/jog")}
    assert dataset.evaluated == {0, 2}


def test_both_layouts_of_label_maps(release):
    for text in (
        "label {\n  name: 'sit'\n  label_id: 1\n  label_type: PERSON_MOVEMENT\n}\n"
        'label { name: "id: 7 }" label_id: 3 }\n',
        '# AVA\nitem { id: 3 name: "id: 7 }" } item { name: "sit" id: 1 }',
    ):
        dataset = release.write("map.pbtxt", text).read()
        assert dataset.classes == {"action": ("sit", "(2)", "id: 7 }")}


def test_a_small_own_map_without_gaps_counts_whole(release):
    text = "".join(f'item {{ name: "a{id_}" id: {id_} }}' for id_ in range(1, 81))
    assert release.write("map.pbtxt", text).read().evaluated == set(range(80))


def test_of_avas_own_80_actions_60_count(release):
    names = {1: "bend/bow (at the waist)", 80: "watch (a person)"}
    text = "".join(
        f'item {{ name: "{names.get(id_, f"a{id_}")}" id: {id_} }}' for id_ in range(1, 81)
    )
    dataset = release.write("map.pbtxt", text).read()
    assert len(dataset.classes["action"]) == 80
    assert dataset.evaluated == {id_ - 1 for id_ in AVA_EVALUATED}
    release.write("few.pbtxt", 'item { name: "sit" id: 11 }')
    assert release.read(evaluated="few.pbtxt").evaluated == {10}


def test_a_row_without_a_box_is_a_key_frame_without_persons(release):
    release.write("train.csv", "a,1.010000,.1,.1,.2,.2,1\nb,12.345678\nc,3,,,,,,\n")
    dataset = release.read()
    assert [segment.id for segment in dataset.segments] == ["a_1.010000", "b_12.345678", "c_3"]
    assert [len(dataset.boxes[segment.id]) for segment in dataset.segments] == [1, 0, 0]
    assert dataset.boxes["b_12.345678"].corners.shape == (0, 4)


def test_a_file_without_any_box_is_unlabelled(release):
    release.write("test.csv", "x,1.5\ny,7\n")
    dataset = release.read(annotations="{train: train.csv, test: test.csv}")
    assert dataset.splits == ("train", "test")
    assert "x_1.5" not in dataset.boxes
    assert dataset.remarks == (
        "split 'test': key frames of files without any box: 2, taken as unlabelled",
    )


def test_a_split_may_have_several_files(release):
    release.write("kinetics.csv", "zz,1.010000,.1,.1,.2,.2,1\nzz,8\n-5KQ,902.0,0.9,0,1,1,1\n")
    dataset = release.read(annotations="{train: [train.csv, kinetics.csv]}")
    assert len(dataset.segments) == 5
    assert len(dataset.boxes["-5KQ_0902"]) == 3  # the same second, written in another way


def test_excluded_stamps_are_no_key_frames(release):
    release.write("out.csv", "-5KQ,902\nnobody,0001\n\n").write("none.csv", "")
    release.write("train.csv", TRAIN + "-5KQ,0902,7,7,7,7,1\n")
    dataset = release.read(excluded="{train: [out.csv, none.csv]}")
    assert [segment.id for segment in dataset.segments] == ["-5KQ_0903", "0f_3_0902.5"]
    assert dataset.boxes.keys() == {segment.id for segment in dataset.segments}
    assert dataset.remarks == ("split 'train': key frames at excluded time stamps: 1, left out",)


def test_boxes_just_out_of_the_frame_are_cut_and_counted(release):
    release.write(
        "train.csv", "a,1,-0.01,0.2,1.01,0.8,1\na,1,-0.005,.2,1,.8,3\na,2,-.001,0,.5,.5,1\n"
    )
    dataset = release.read()
    assert dataset.boxes["a_1"].corners.tolist() == [pytest.approx([0, 0.2, 1, 0.8])]
    assert dataset.boxes["a_1"].actions == ((0, 2),)
    assert dataset.remarks == (
        "split 'train': boxes that reach out of the frame by at most 0.01: 2, cut to it",
    )


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(tmp_path_factory, rnd: random.Random):
    lines = TRAIN.splitlines(keepends=True)
    release = Release(tmp_path_factory.mktemp("ava"))
    before = release.read()
    rnd.shuffle(lines)
    after = release.write("train.csv", "".join(lines)).read()
    assert after.segments == before.segments
    for id_, boxes in before.boxes.items():
        assert after.boxes[id_].corners.tolist() == boxes.corners.tolist()
        assert after.boxes[id_].actions == boxes.actions


def test_tabs_and_windows_line_ends(release):
    expected = release.read()
    release.root.joinpath("train.csv").write_bytes(
        TRAIN.replace(",", "\t").replace("\n", " \r\n").encode()
    )
    assert release.read().segments == expected.segments


def test_where_videos_lie(release):
    release.clip("-5KQ.mkv", "-5KQ.json", "0f_3/0f_3_000001.jpg", "other.mp4", "other/x.jpg")
    media = release.read(fps=30).media
    assert media["-5KQ"].path == release.root / "media/-5KQ.mkv"
    assert media["-5KQ"].fps is None
    assert media["0f_3"].path == release.root / "media/0f_3"
    assert (media["0f_3"].fps, media["0f_3"].first_frame) == (30, None)
    assert release.read().media["0f_3"] == Media(release.root / "media/0f_3")  # told when opened


def test_videos_that_are_not_there_are_looked_for_at_extraction(release):
    assert release.read().media["0f_3"].path == release.root / "media/0f_3.mp4"
    assert release.read(fps=25).media["0f_3"].path == release.root / "media/0f_3"
    release.write("train.csv", "deep/a,1\n")
    assert release.read().media["deep/a"].path == release.root / "media/deep/a.mp4"


def test_clips_of_kinetics_begin_where_their_name_says(release):
    release.write("train.csv", "05Mc,9.007000\n05Mc,94.02\n07_B,0902\n")
    release.clip("05Mc_000004_000014.mp4", "05Mc_000090_000100.webm", "07_B.mp4")
    dataset = release.read(begin=900)
    first, second, third = dataset.segments
    assert (first.id, first.video, first.group) == ("05Mc_9.007000", "05Mc_000004_000014", "05Mc")
    assert first.start == pytest.approx(5.007)
    assert (second.video, second.start) == ("05Mc_000090_000100", pytest.approx(4.02))
    assert dataset.media[second.video].path.name == "05Mc_000090_000100.webm"
    assert (third.video, third.start) == ("07_B", 2)


def test_a_moment_that_no_clip_has(release):
    release.write("train.csv", "05Mc,50\n").clip("05Mc_000004_000014.mp4")
    dataset = release.read(begin=900)
    (segment,) = dataset.segments
    assert (segment.video, segment.start) == ("05Mc", 50)
    assert not dataset.media["05Mc"].path.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,1,0.1,0.1,0.2\n", r"train.csv line 1 has 5 cells: write video, time stamp, x1"),
        ("a,1,0.1,0.1,0.2,0.2,\n", r"line 1: the action is '': write a whole number"),
        ("\na,1,0.1,0.1,0.2,0.2,x\n", r"line 2: the action is 'x'"),
        ("a,1,.1,.1,.2,.2,4\n", r"the action 4 is not among those of 'label_map', 1 to 3: correct"),
        ("a,1,.1,.1,.2,.2,0\n", r"the action 0 is not among"),
        ("a,1,.1,oops,.2,.2,1\n", r"line 1: y1 is 'oops': write a number"),
        ("a,1,.1,.1,nan,.2,1\n", r"line 1: x2 is 'nan': write a number"),
        ("a,1,.1,.1,,.2,1\n", r"line 1: x2 is '': write a number"),
        ("a,1,.1,.1,.2,.2,1\na,2,.3,.1,.3,.2,1\n", r"line 2: the box 0.3, 0.1, 0.3, 0.2 has no ar"),
        ("a,1,.1,.2,.2,.1,1\n", r"has no area: write x1 < x2 and y1 < y2, or remove the row"),
        ("a,1,12,40,200,300,1\n", r"line 1: the box 12, 40, 200, 300 reaches out of the frame by"),
        ("a,1,.1,-0.0101,.2,.2,1\n", r"more than 0.01: write fractions of its sides, 0 to 1"),
        ("a,b,.1,.1,.2,.2,1\n", r"line 1: the time stamp is 'b': write seconds, such as 0902"),
        ("a,-1,.1,.1,.2,.2,1\n", r"the time stamp is '-1'"),
        ("a,inf,.1,.1,.2,.2,1\n", r"the time stamp is 'inf'"),
        ("../a,1\n", r"line 1: the video '../a' does not stay inside 'media'"),
        (",1\n", r"line 1: the video '' does not stay inside 'media'"),
        ('"a,1\n', r"train.csv line 1 is not CSV \(unexpected end of data\): correct the line"),
        ("", r"key 'annotations.train': there is no key frame to use in .*train.csv: correct"),
    ],
)
def test_mistakes_in_annotations_name_file_and_line(release, text, says):
    with pytest.raises(ManifestError, match=says) as error:
        release.write("train.csv", text).read()
    assert "data set 'a'" in str(error.value)
    assert "train.csv" in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"map.pbtxt is no label map: write an `item \{"),
        ("1: sit\n", r"is no label map"),
        (MAP + "rest", r"is no label map"),
        ('item { name: "sit" }', r"has the entry 'name: \"sit\"': give it a `name` and an `id`"),
        ('item { name: "id: 3" }', r"give it a `name` and an `id` from 1 on"),
        ("item { id: 3 }", r"has the entry 'id: 3'"),
        ('item { name: "sit" id: 0 }', r"an `id` from 1 on"),
        ('item { name: "sit" id: 99999 }', r"an `id` from 1 on"),
        (MAP + 'item { name: "x" id: 3 }', r"has the action 'x' or its id 3 twice: keep one"),
        (MAP + 'item { name: "sit" id: 4 }', r"has the action 'sit' or its id 4 twice"),
    ],
)
def test_mistakes_in_label_maps(release, text, says):
    with pytest.raises(ManifestError, match=says):
        release.write("map.pbtxt", text).read()


def test_mistakes_between_keys(release):
    release.write("val.csv", "-5KQ,902,.1,.1,.2,.2,1\n")
    with pytest.raises(
        ManifestError, match=r"the key frame '-5KQ_0902' of split 'train' \(.*train"
    ) as e:
        release.read(annotations="{train: train.csv, val: val.csv}")
    assert "line 1) is also in split 'val'" in str(e.value)
    assert str(e.value).endswith("line 1): remove it from one")
    release.clip("-5KQ.mp4")
    with pytest.raises(
        ManifestError, match=r"train.csv line 1: .* is at second 902 of a video that"
    ):
        release.read(begin=1000)
    with pytest.raises(
        ManifestError, match=r"key 'excluded.vall': 'annotations' has no such split"
    ):
        release.read(excluded="{vall: val.csv}")
    with pytest.raises(
        ManifestError, match=r"val.csv line 1 has 7 cells: write the video and time"
    ):
        release.read(excluded="{train: val.csv}")
    release.write("few.pbtxt", 'item { name: "stand" id: 2 }')
    with pytest.raises(
        ManifestError, match=r"few.pbtxt has the action 2, which is not in .*map.pbtxt"
    ):
        release.read(evaluated="few.pbtxt")
    with pytest.raises(ManifestError, match=r"none.csv does not exist: put the file there"):
        release.read(annotations="{train: none.csv}")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"label_map": ""}, r"key 'label_map' is missing: add `label_map:`, the .pbtxt that names"),
        ({"annotations": ""}, r"key 'annotations' is missing: add `annotations:`, a mapping of"),
        ({"annotations": "{}"}, r"key 'annotations'"),
        ({"annotations": "{train: 3}"}, r"takes the name of a CSV file or a list of them, not 3"),
        ({"begin": -1}, r"key 'begin'"),
        ({"fps": 0}, r"key 'fps'"),
        ({"boxes": "x"}, r"unknown key 'boxes'"),
    ],
)
def test_mistakes_in_the_entry(release, keys, says):
    with pytest.raises(ManifestError, match=says):
        release.read(**keys)


def test_mistakes_in_media(release):
    release.clip("-5KQ.mp4", "-5KQ.AVI")
    with pytest.raises(ManifestError, match=r"the video '-5KQ' twice, as -5KQ.AVI and -5KQ.mp4: k"):
        release.read(fps=30)


@pytest.mark.real_data
def test_the_real_sample(release, real_data):
    folder = real_data / "data/annotations/ava"
    keys = {
        "annotations": f"{{train: {folder}/ava_sample.csv}}",
        "label_map": folder / "ava_action_list_v2.1.pbtxt",
        "begin": 900,
    }
    dataset = release.read(**keys)
    assert {segment.id: segment.start for segment in dataset.segments} == {
        "0f39OWEqJ24_0902": 2,
        "0f39OWEqJ24_0903": 3,
        "_-Z6wFjXtGQ_0902": 2,
    }
    assert dataset.segments[-1].group == "_-Z6wFjXtGQ"
    # Ids 12 stand, 17 carry/hold, 79 talk to.
    assert dataset.boxes["0f39OWEqJ24_0902"].actions == ((11, 16, 78),)
    names = dataset.classes["action"]
    assert len(names) == 80
    assert [names[index] for index in (11, 16, 15)] == ["stand", "carry/hold (an object)", "(16)"]
    assert dataset.evaluated == {id_ - 1 for id_ in AVA_EVALUATED}
    assert len(dataset.evaluated) == 60
    without = release.read(
        **keys, excluded=f"{{train: {folder}/ava_excluded_timestamps_sample.csv}}"
    )
    # Of the two excluded stamps the sample has both.
    assert [segment.id for segment in without.segments] == ["0f39OWEqJ24_0902"]
    assert without.remarks == ("split 'train': key frames at excluded time stamps: 2, left out",)


@pytest.mark.real_data
def test_the_real_small_set(release, real_data):
    folder = real_data / "data/annotations/ava/small"
    dataset = release.read(
        media=real_data / "data/frames/ava_small/yasmine_video_rawframes",
        annotations=f"{{train: {folder}/ava_train_v2.2.csv, val: {folder}/ava_val_v2.2.csv}}",
        label_map=folder / "ava_action_list_v2.2.pbtxt",
        excluded=f"{{train: {folder}/ava_train_excluded_timestamps_v2.2.csv, "
        f"val: {folder}/ava_val_excluded_timestamps_v2.2.csv}}",
        fps=2,
    )
    splits = [segment.split for segment in dataset.segments]
    assert (splits.count("train"), splits.count("val")) == (88, 22)
    assert all(len(boxes) == 1 for boxes in dataset.boxes.values())
    assert sum(len(actions) for boxes in dataset.boxes.values() for actions in boxes.actions) == 220
    assert dataset.remarks == (
        "split 'train': boxes that reach out of the frame by at most 0.01: 1, cut to it",
    )
    assert dataset.boxes["IMG_0130_9"].corners[0, 1] == 0
    assert dataset.evaluated == set(range(8))
    assert dataset.classes["action"][7] == "EggTurning"
    assert dataset.media["IMG_0110"].path.is_dir()
    assert dataset.media["IMG_0110"].fps == 2


@pytest.mark.real_data
def test_the_real_evaluation_pair(release, real_data):
    folder = real_data / "data/annotations/ava/eval"
    dataset = release.read(
        annotations=f"{{val: {folder}/gt.csv}}", label_map=folder / "action_list.txt"
    )
    assert {id_: len(boxes) for id_, boxes in dataset.boxes.items()} == {
        "3reY9zJKhqN_1774": 4,
        "HmR8SmNIoxu_1384": 4,
        "5HNXoce1raG_1097": 4,
    }
    assert dataset.evaluated == {0, 1, 2}
