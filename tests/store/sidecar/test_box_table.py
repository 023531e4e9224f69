"""boxes.npz: annotated persons of key frames, beside the segments."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egofeat.boxes import Boxes
from egofeat.errors import StoreError
from egofeat.store import BoxTable, verify
from egofeat.store.removal import check_removable

LEFT, RIGHT = (0.0, 0.1, 0.5, 0.9), (0.5, 0.1, 1.0, 0.9)

corner_pairs = st.tuples(st.floats(0, 0.5, width=32), st.floats(0.5, 1, width=32, exclude_min=True))


@st.composite
def annotated_boxes(draw):
    """Annotated boxes of one key frame, perhaps none."""
    corners = draw(st.lists(st.tuples(corner_pairs, corner_pairs), max_size=4))
    actions = [draw(st.lists(st.integers(0, 79), max_size=4)) for _ in corners]
    return Boxes.of([(x1, y1, x2, y2) for (x1, x2), (y1, y2) in corners], actions=actions)


def key_frames(make, boxes, evaluated=frozenset()):
    """A data set of these key frames and one that nobody looked at."""
    rows = make.person_rows({id_: Boxes.of([LEFT]) for id_ in [*boxes, "other_0007"]})
    return dataclasses.replace(
        make.dataset(rows), key_frames=True, boxes=boxes, evaluated=evaluated
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    boxes=st.dictionaries(
        st.from_regex(r"[a-zé]{1,3}_[0-9]{4}", fullmatch=True), annotated_boxes()
    ),
    evaluated=st.frozensets(st.integers(0, 79), max_size=5),
)
def test_boxes_survive_their_file(make, tmp_path_factory, boxes, evaluated):
    out = tmp_path_factory.mktemp("s")
    path = make.writer(out, key_frames(make, boxes, evaluated)).path
    table = BoxTable.read(path)
    assert (table.ids, table.evaluated) == (list(boxes), evaluated)
    for id_, expected in boxes.items():
        found = table.of(id_)
        np.testing.assert_array_equal(found.corners, expected.corners)
        assert found.corners.dtype == found.scores.dtype == np.float32
        assert (found.scores == 1).all()
        assert found.actions == expected.actions
        assert len(found.scores) == len(found)
    assert len(table.of("other_0007")) == 0


def test_a_key_frame_with_nobody_is_kept_and_one_not_looked_at_is_absent(make, tmp_path):
    boxes = {"a_0001": Boxes.of([]), "a_0002": Boxes.of([LEFT], actions=[[3]])}
    table = BoxTable.read(make.writer(tmp_path, key_frames(make, boxes)).path)
    assert "a_0001" in table.ids
    assert len(table.of("a_0001")) == 0
    assert "other_0007" not in table.ids


def test_boxes_without_actions_have_none_each(make, tmp_path):
    boxes = {"a_0001": Boxes.of([LEFT, RIGHT])}
    table = BoxTable.read(make.writer(tmp_path, key_frames(make, boxes)).path)
    assert table.of("a_0001").actions == ((), ())


def test_boxes_follow_the_manifest_and_are_written_once(make, tmp_path):
    boxes = {"a_0001": Boxes.of([LEFT], actions=[[3]])}
    path = make.writer(tmp_path, key_frames(make, boxes)).path
    file = path / "boxes.npz"
    before = file.stat().st_ino
    make.writer(tmp_path, key_frames(make, boxes))
    assert file.stat().st_ino == before
    corrected = {"a_0001": Boxes.of([LEFT], actions=[[4]])}
    make.writer(tmp_path, key_frames(make, corrected))
    assert BoxTable.read(path).of("a_0001").actions == ((4,),)
    check_removable(path)
    make.writer(tmp_path, make.dataset())
    assert not file.exists()
    assert BoxTable.read(path) is None


@pytest.mark.parametrize("harm", ["truncate", "empty", "column", "folder"])
def test_damaged_boxes_are_told_with_the_mend(make, tmp_path, harm):
    path = make.writer(tmp_path, key_frames(make, {"a_0001": Boxes.of([LEFT])})).path
    file = path / "boxes.npz"
    if harm == "truncate":
        file.write_bytes(file.read_bytes()[:-50])
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "column":
        np.savez(file, ids=np.array(["a_0001"]))
    else:
        file.unlink()
        file.mkdir()
    with pytest.raises(StoreError, match=r"boxes\.npz is damaged .*`egofeat roi`.*writes it again"):
        BoxTable.read(path)
    (problem,) = verify(path)
    assert "boxes.npz is damaged" in problem.message
