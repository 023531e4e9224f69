"""Splits by group: never a group on both sides, the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.adapters.resplit import resplit
from egofeat.errors import ManifestError
from egofeat.segments import Segment


def segments(groups):
    return [Segment(f"s{i}", video=f"v{i}", split="old", group=g) for i, g in enumerate(groups)]


def sides(parts):
    found = {}
    for segment in parts:
        found.setdefault(segment.group or segment.video, set()).add(segment.split)
    return found


GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40)


@given(GROUPS, st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_a_group_is_never_on_both_sides(groups, val, test):
    names = set(groups)
    try:
        parts = resplit(segments(groups), {"val": val, "test": test})
    except ManifestError:
        wanted = [max(1, round(share * len(names))) for share in (val, test)]
        assert sum(wanted) >= len(names)
        return
    found = sides(parts)
    assert all(len(splits) == 1 for splits in found.values())
    assert [s.id for s in parts] == [f"s{i}" for i in range(len(groups))]
    counted = [split for splits in found.values() for split in splits]
    assert counted.count("val") == max(1, round(val * len(names)))
    assert counted.count("test") == max(1, round(test * len(names)))
    assert "train" in counted


@given(st.permutations(list("abcdefgh")))
def test_the_order_of_segments_changes_nothing(order):
    reference = sides(resplit(segments("abcdefgh"), {"val": 0.3}))
    assert sides(resplit(segments(order), {"val": 0.3})) == reference


def test_the_choice_is_frozen():
    found = sides(resplit(segments("abcdefgh"), {"val": 0.25}))
    # `printf LETTER | sha256sum` begins 18ac3e for d and 252f10 for f, and higher for the others.
    assert {group for group, splits in found.items() if splits == {"val"}} == {"d", "f"}


@given(st.sets(st.text("abcdefgh", min_size=1, max_size=3), min_size=4, max_size=20), st.data())
def test_a_group_added_moves_one_other_at_most(groups, data):
    added = data.draw(st.text("xyz", min_size=1, max_size=3))
    before = sides(resplit(segments(sorted(groups)), {"val": 0.3}))
    after = sides(resplit(segments(sorted(groups | {added})), {"val": 0.3}))
    assert sum(before[group] != after[group] for group in groups) <= 1


def test_groups_by_name_and_the_rest_by_fraction():
    parts = resplit(segments("aabbccdd"), {"test": ["a"], "val": 0.25})
    found = sides(parts)
    assert found["a"] == {"test"}
    assert sorted(min(s) for s in found.values()) == ["test", "train", "train", "val"]


def test_without_a_group_the_video_is_the_group():
    parts = resplit(segments(["", "", "", ""]), {"val": ["v2"]})
    assert [s.split for s in parts] == ["train", "train", "val", "train"]


def test_every_group_may_be_named():
    assert sides(resplit(segments("ab"), {"train": ["a"], "val": ["b"]})) == {
        "a": {"train"},
        "b": {"val"},
    }


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"val": ["006a"]}, "'resplit.val' names the group '006a', .*did you mean '006'"),
        ({"val": ["006"], "test": ["006"]}, "gives the group '006' to 'val' and to 'test'"),
        ({"val": ["006", "007"]}, "leaves nothing to train on"),
        ({"val": 0.5, "test": 0.5}, "leaves nothing to train on"),
    ],
)
def test_mistakes(shares, says):
    with pytest.raises(ManifestError, match=says):
        resplit(segments(["006", "007"]), shares)
