"""Kinetics as it is published: CSVs, cut clips, many of them absent."""

import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

ROWS = """label,youtube_id,time_start,time_end,split,is_cc
zumba,0wR5jVB-WPk,417,427,val,0
zumba,-aR_jVB-WPk,7,17,validate,0
abseiling,3caPS4FHFF8,36,46,val,0
abseiling,3xaPS4FHFF8,36,46,train,0
yawning,4xaPS4FHFF8,36,46,train,0
"""


@pytest.fixture
def read(tmp_path):
    (tmp_path / "clips/val/zumba").mkdir(parents=True)
    (tmp_path / "clips/val/zumba/-aR_jVB-WPk_000007_000017.mkv").touch()
    (tmp_path / "clips/3caPS4FHFF8_000036_000046.mp4").touch()
    (tmp_path / "k.csv").write_text(ROWS)

    def read(**keys):
        more = "".join(f", {key}: {value}" for key, value in keys.items())
        (tmp_path / "m.yaml").write_text(
            "version: 1\ndatasets: {k: {format: kinetics, media: clips, annotations: "
            f"k.csv{more}}}}}\n"
        )
        return load_manifest(tmp_path / "m.yaml").dataset()

    return read


def test_absent_clips_stay_and_are_told(read, tmp_path):
    dataset = read()
    assert dataset.classes == {"action": ("abseiling", "yawning", "zumba")}
    assert [(one.id, one.split, one.labels["action"]) for one in dataset.segments][:3] == [
        ("0wR5jVB-WPk_000417_000427", "val", 2),
        ("-aR_jVB-WPk_000007_000017", "val", 2),
        ("3caPS4FHFF8_000036_000046", "val", 0),
    ]
    assert dataset.segments[1].group == "-aR_jVB-WPk"
    found = dataset.media["-aR_jVB-WPk_000007_000017"].path
    assert found == tmp_path / "clips/val/zumba/-aR_jVB-WPk_000007_000017.mkv"
    usual = dataset.media["0wR5jVB-WPk_000417_000427"].path
    assert usual == tmp_path / "clips/0wR5jVB-WPk_000417_000427.mp4"
    assert dataset.remarks == ("clips of 'k' that are not there: 3 of 5",)


def test_some_classes_and_so_many_clips_of_each(read):
    some = read(classes="[zumba, abseiling]")
    assert some.classes == {"action": ("zumba", "abseiling")}
    assert [one.labels["action"] for one in some.segments] == [0, 0, 1, 1]
    few = read(classes="[zumba, abseiling]", per_class=1)
    assert [one.id[:3] for one in few.segments] == ["-aR", "3ca"]
    with pytest.raises(ManifestError, match="no clip is of 'zumbaa': did you mean 'zumba'"):
        read(classes="[zumbaa]")
    for none, told in (("[]", "'classes' leaves no clip: name"), ("[yawning]", "holds none of")):
        with pytest.raises(ManifestError, match=told):
            read(classes=none, per_class=1)


def test_a_clip_that_ends_before_it_begins_is_named(read, tmp_path):
    (tmp_path / "k.csv").write_text(ROWS.replace("7,17", "17,7"))
    with pytest.raises(ManifestError, match=r"k\.csv.*3.*time_end 7 is not after time_start 17"):
        read()
