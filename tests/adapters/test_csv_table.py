"""A table of segments: columns by name, labels as names or integers, times as clocks or seconds."""

import math

import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

LABELS = "columns: {labels: {verb: verb}}"


class Place:
    def __init__(self, root):
        self.root = root
        (root / "media").mkdir()

    def read(self, table, extra=LABELS):
        (self.root / "t.csv").write_text(table, encoding="utf-8")
        manifest = self.root / "m.yaml"
        manifest.write_text(
            "version: 1\ndatasets:\n"
            f"  log: {{format: csv, media: media, annotations: t.csv, {extra}}}\n"
        )
        return load_manifest(manifest).dataset()

    def error(self, table, extra=LABELS):
        with pytest.raises(ManifestError) as caught:
            self.read(table, extra)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"{self.root / 'm.yaml'}, data set 'log': ")
        return text


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_columns_by_name(place):
    data = place.read(
        "file,t0,t1,part,who,key,verb,thing\n"
        "P1/a.mp4,00:01:02.50,65,train,P1,one,cut,knife\n"
        "P1/a.mp4,70,,val,P1,two,wash,\n"
        "b.mkv,,3,val,P2,three,cut,cup\n",
        "columns: {video: file, start: t0, stop: t1, split: part, group: who, id: key,"
        " labels: {verb: verb, noun: thing}}",
    )
    assert data.classes == {"verb": ("cut", "wash"), "noun": ("cup", "knife")}
    assert [(s.id, s.video, s.start, s.stop, s.split, s.group) for s in data.segments] == [
        ("one", "P1/a.mp4", 62.5, 65.0, "train", "P1"),
        ("two", "P1/a.mp4", 70.0, math.inf, "val", "P1"),
        ("three", "b.mkv", 0.0, 3.0, "val", "P2"),
    ]
    assert [dict(s.labels) for s in data.segments] == [
        {"verb": 0, "noun": 1},
        {"verb": 1},
        {"verb": 0, "noun": 0},
    ]
    assert data.media["P1/a.mp4"].path == place.root / "media/P1/a.mp4"


def test_columns_of_the_keys_own_names_need_no_mention(place):
    data = place.read("video,start,stop,split,group\na.mp4,1,2,val,g\n", "obtain: x")
    (segment,) = data.segments
    assert (segment.start, segment.stop, segment.split, segment.group) == (1.0, 2.0, "val", "g")
    assert segment.id == "a@1.000-2.000"
    assert data.classes == {}


def test_ids_do_not_hang_on_the_order_of_rows(place):
    rows = ["d/a.mp4,1,2.5", "d/a.mp4,2,", "b.mp4,1,2.5"]
    ids = [s.id for s in place.read("\n".join(["video,start,stop", *rows]), "obtain: x").segments]
    assert ids == ["d/a@1.000-2.500", "d/a@2.000-inf", "b@1.000-2.500"]
    turned = place.read("\n".join(["video,start,stop", *rows[::-1]]), "obtain: x")
    assert [s.id for s in turned.segments] == ids[::-1]


def test_whole_clips_take_the_videos_name(place):
    data = place.read("video,verb\nx/a.mp4,cut\nb.mp4,\n")
    assert [(s.id, s.start, s.stop, s.split) for s in data.segments] == [
        ("x/a", 0.0, math.inf, "train"),
        ("b", 0.0, math.inf, "train"),
    ]


@pytest.mark.parametrize(
    ("header", "verbs", "named"),
    [
        ("video,start,end,person", "end", "`columns.stop`"),
        ("video,start_frame,stop_frame,verb", "begin and end", "`columns.start` or `columns.stop`"),
        ("video,t,stop,recorded_timestamp", "begin", "`columns.start`"),
        ("video,segStart,endtime,verb", "begin and end", "`columns.start` or `columns.stop`"),
        ("video,t0,t1,verb", "begin and end", "`columns.start` or `columns.stop`"),
        ("video,onset,to,verb", "begin and end", "`columns.start` or `columns.stop`"),
    ],
)
def test_times_that_are_not_read_are_told(place, header, verbs, named):
    """Whoever calls them otherwise would have features of whole videos, without a word."""
    (remark,) = place.read(f"{header}\na.mp4,1,2,3\n", "").remarks
    assert f"segments {verbs} with their videos, and " in remark
    assert remark.endswith(f": name what holds seconds as {named}")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("video,start,stop,frame_time", "1,2,3"),
        ("video,friend,extended,attend", "1,2,3"),
        ("video,plastic,lifetime,restart", "1,2,3"),
        ("video,tool,total,fromage", "1,2,3"),
        ("video,first_name,time_of_day,last_seen", "Ann,noon,2020-01-02"),
        ("video,time,time,verb", "1,2,3"),
    ],
)
def test_of_other_columns_nothing_is_said(place, header, cells):
    assert place.read(f"{header}\na.mp4,{cells}\n", "").remarks == ()


def test_integers_are_labels(place):
    data = place.read("video,verb\na.mp4,3\nb.mp4,01\n")
    assert data.classes == {"verb": ("0", "1", "2", "3")}
    assert [s.labels["verb"] for s in data.segments] == [3, 1]
    text = place.error("video,verb\na.mp4,1600000000\n")
    assert "the column of target 'verb' holds '1600000000', which is no label" in text
    assert "holds '-2', which is no label" in place.error("video,verb\na.mp4,-2\nb.mp4,1\n")


def test_what_tables_write_for_no_label_is_none(place):
    cells = ["3.0", "-1", "", "NaN", "nan", "-1.0", "2", "-1.00"]
    rows = [f"{number}.mp4,{cell}" for number, cell in enumerate(cells)]
    data = place.read("\n".join(["video,verb", *rows]))
    assert data.classes == {"verb": ("0", "1", "2", "3")}
    assert [s.labels.get("verb") for s in data.segments] == [3, *[None] * 5, 2, None]
    named = place.read("video,verb\na.mp4,cut\nb.mp4,-1\nc.mp4,NAN\n")
    assert named.classes == {"verb": ("cut",)}
    listed = place.read(
        "video,verb\na.mp4,nan\nb.mp4,-1\n", f"{LABELS}, classes: {{verb: [cut, nan]}}"
    )
    assert [s.labels.get("verb") for s in listed.segments] == [1, None]


def test_blank_rows_and_blanks_before_quotes(place):
    data = place.read('video,verb\n,\n   \na.mp4, "put, down"\n , \n')
    assert data.classes == {"verb": ("put, down",)}
    assert len(data.segments) == 1


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ("video;verb\na.mp4;cut", "obtain: x", "separated by ';': save it with commas"),
        ("video\tverb\na.mp4\tcut", "obtain: x", "separated by '\\t': save it with commas"),
        (f"video,verb\na.mp4,{HUGE}", LABELS, "which is no label"),
        (f"video,verb\na.mp4,{HUGE}", f"{LABELS}, classes: {{verb: [a]}}", "not among its 1"),
        (f"video,verb\na.mp4,{'x' * 100_000}", f"{LABELS}, classes: {{verb: [a]}}", "not among"),
        (f"video,start\na.mp4,{HUGE}:00:00", "obtain: x", "is no time"),
        ("video,start\na.mp4,1e300", "obtain: x", "is no time"),
        (f"video,{'h' * 200_000}\na.mp4,1", "obtain: x", "is not CSV (field larger"),
        (f"{'h' * 100_000},b\na.mp4,1", "obtain: x", "has no column 'video'"),
        ("video\na.mp4", "classes: {verb: [on, off]}", "quote the names that YAML takes"),
        ("video\na.mp4", "fps: 0x" + "f" * 9000, "key 'fps'"),
        ("video\na.mp4", f"fps: 1{':0' * 4000}", "key 'fps'"),
        ("video\na.mp4", "fps: .inf", "key 'fps'"),
        ("video\na.mp4", f"first_frame: {'9' * 400}", "key 'first_frame'"),
    ],
)
def test_what_nobody_should_write_is_one_readable_sentence(place, text, more, says):
    said = place.error(text, more)
    assert says in said
    assert len(said) < 1200


def test_given_classes(place):
    classes = f"{LABELS}, classes: {{verb: [wash, cut, '7']}}"
    data = place.read("video,verb\na.mp4,cut\nb.mp4,0\nc.mp4,7\n", classes)
    assert data.classes == {"verb": ("wash", "cut", "7")}
    assert [s.labels["verb"] for s in data.segments] == [1, 0, 2]
    (place.root / "verbs.txt").write_text("wash\n\ncut up\n")
    data = place.read("video,verb\na.mp4,cut up\n", f"{LABELS}, classes: {{verb: verbs.txt}}")
    assert data.classes == {"verb": ("wash", "cut up")}


@pytest.mark.parametrize(
    ("table", "extra", "says"),
    [
        ("video,verb\na.mp4,cutt", "classes: {verb: [cut, wash]}", "verb 'cutt' is not among its"),
        ("video,verb\na.mp4,cutt", "classes: {verb: [cut, wash]}", "line 2: verb 'cutt'"),
        ("video,verb\na.mp4,cutt", "classes: {verb: [cut, wash]}", "did you mean 'cut'?"),
        ("video,verb\na.mp4,2", "classes: {verb: [cut, wash]}", "known are 'cut', 'wash'"),
        ("video,verb\na.mp4,-2", "classes: {verb: [cut, wash]}", "'-2' is not among its 2 classes"),
        ("video,verb\na.mp4,cut", "classes: {verb: [cut, cut]}", "names 'cut' twice: remove one"),
        ("video,verb\na.mp4,cut", "classes: {noun: [cup]}", "has no such target: add it there"),
        ("video,verb\na.mp4,cut", "classes: {verb: no.txt}", "no.txt does not exist"),
        ("video,verbs\na.mp4,cut", "fps: 30", "has no column 'verb': did you mean 'verbs'?"),
        ("vid,verb\na.mp4,cut", "fps: 30", "has no column 'video'"),
        (
            "video,verb\n../a.mp4,cut",
            "fps: 30",
            "line 2: the video '../a.mp4' does not stay inside",
        ),
        ("video,verb\n/a.mp4,cut", "fps: 30", "write its path relative to that folder"),
        ("video,verb\n,cut", "fps: 30", "line 2: the video '' does not stay inside 'media'"),
        ("video,verb,start,stop\na.mp4,cut,3,2", "fps: 30", "line 2: the stop '2' is not after"),
        (
            "video,verb,start,stop\na.mp4,cut,x,2",
            "fps: 30",
            "line 2: 'x' is no time: write seconds",
        ),
        ("video,verb\na.mp4,cut\na.mp4,cut", "fps: 30", "'a' is at"),
        ("video,verb\na.mp4,cut\na.avi,cut", "fps: 30", "line 2 and again at"),
        ("video,verb\na.mp4,cut\na.mp4,cut", "fps: 30", "name a column of unique ids"),
        ("video,verb\n", "fps: 30", "holds no segments: add a row below its header"),
        ("", "fps: 30", "its first line must name them"),
        ("video,verb\na.mp4,cut", "resplit: {val: 0.5}", "leaves nothing to train on"),
    ],
)
def test_mistakes_name_the_line_and_the_mend(place, table, extra, says):
    assert says in place.error(table, f"{LABELS}, {extra}")


def test_annotations_that_are_not_there(place):
    (place.root / "m.yaml").write_text(
        "version: 1\ndatasets: {log: {format: csv, media: media, annotations: no.csv}}"
    )
    with pytest.raises(ManifestError, match=r"'annotations' is .*no.csv, which does not exist"):
        load_manifest(place.root / "m.yaml").dataset()


def test_segments_of_a_video_stay_together(place):
    rows = [f"v{i % 4}.mp4,{i},{i + 1},train" for i in range(16)]
    table = "\n".join(["video,start,stop,split", *rows])
    data = place.read(table, "resplit: {val: 0.25}")
    train, val = ({s.video for s in data.segments if s.split == x} for x in ("train", "val"))
    assert len(val) == 1
    assert not train & val


def test_frame_folders_have_a_rate(place):
    assert place.read("video\nP01_01\n", "fps: 24").media["P01_01"].fps == 24.0
