"""EPIC-KITCHENS-55 as it is published."""

import pytest

from egofeat.errors import ManifestError
from egofeat.manifest import load_manifest

HEAD = "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame"
TRAIN = (
    f"{HEAD},verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
    "0,P01,P01_01,open door,00:00:00.14,00:00:03.37,8,202,open,1,door,0,['door'],[0]\n"
)
TEST = "uid,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame\n"


@pytest.mark.parametrize(("frames", "start"), [("videos", 0.14), ("folders", 7 / 60)])
def test_it_is_read_as_published(tmp_path, frames, start):
    (tmp_path / "media").mkdir()
    of = tmp_path / "annotations"
    of.mkdir()
    (of / "EPIC_verb_classes.csv").write_text("verb_id,class_key,verbs\n0,take,[]\n1,open,[]\n")
    (of / "EPIC_noun_classes.csv").write_text("noun_id,class_key,nouns\n0,door,[]\n")
    (of / "EPIC_train_action_labels.csv").write_text(TRAIN)
    (of / "EPIC_test_s2_timestamps.csv").write_text(
        f"{TEST}7,P09,P09_08,00:00:00.00,00:00:02.00,1,121\n"
    )
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "version: 1\ndatasets: {e: {format: epic-kitchens-55, media: media, annotations: "
        f"annotations, frames: {frames}}}}}\n"
    )
    dataset = load_manifest(manifest).dataset()
    first, other = dataset.segments
    assert (first.id, first.video, first.split, first.group) == ("0", "P01_01", "train", "P01")
    assert first.start == pytest.approx(start)
    assert first.source_frames == (8, 202)
    assert dataset.classes == {"verb": ("take", "open"), "noun": ("door",)}
    assert dict(first.labels) == {"verb": 1, "noun": 0}
    assert (other.split, dict(other.labels), dataset.unseen) == ("test-s2", {}, {"P09"})
    (of / "EPIC_noun_classes.csv").write_text("noun_id,class_key,nouns\n1,door,[]\n")
    with pytest.raises(ManifestError, match="has id '1' where 0 is next"):
        load_manifest(manifest).dataset()
