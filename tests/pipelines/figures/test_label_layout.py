"""Labels lie inside the frame, none over another, whatever the boxes."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.pipelines.figures.label_layout import Panel, Placed, place_lines, place_panels

FRAME = (120, 90)


@st.composite
def panels(draw):
    """A panel of 1 to 3 lines, at a box that may stand out of the frame."""
    left, top = draw(st.integers(-20, 110)), draw(st.integers(-20, 80))
    width, height = draw(st.integers(0, 130)), draw(st.integers(0, 100))
    lines = draw(st.integers(1, 3))
    sure = sorted((draw(st.sampled_from([0.3, 0.5, 0.7, 0.9])) for _ in range(lines)), reverse=True)
    widths = sorted(draw(st.integers(5, 140)) for _ in range(lines))
    sizes = tuple((width, 11 * (k + 1)) for k, width in enumerate(widths))
    return Panel((left, top, left + width, top + height), tuple(sure), sizes)


def overlap(one, other):
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(
        one[3], other[3]
    )


def described(wanted, placed):
    return sorted(
        (panel.rank, (done.lines, done.place) if done else (0,))
        for panel, done in zip(wanted, placed, strict=True)
    )


@settings(deadline=None)
@given(st.lists(panels(), max_size=12))
def test_no_panel_covers_another_or_leaves_the_frame(wanted):
    placed = place_lines(wanted, FRAME)
    places = [done.place for done in placed if done]
    assert not any(overlap(one, other) for one, other in combinations(places, 2))
    for panel, done in zip(wanted, placed, strict=True):
        if done:
            left, top, right, bottom = done.place
            assert 0 <= left < right <= FRAME[0]
            assert 0 <= top < bottom <= FRAME[1]
            assert (right - left, bottom - top) == panel.sizes[done.lines - 1]


@settings(deadline=None)
@given(st.lists(panels(), max_size=10).flatmap(lambda a: st.tuples(st.just(a), st.permutations(a))))
def test_the_order_of_the_panels_does_not_matter(pair):
    wanted, shuffled = pair
    first = place_lines(wanted, FRAME)
    assert place_lines(wanted, FRAME) == first
    assert described(shuffled, place_lines(shuffled, FRAME)) == described(wanted, first)


@settings(deadline=None)
@given(st.lists(panels(), max_size=10))
def test_only_the_least_confident_lines_go(wanted):
    placed = place_lines(wanted, FRAME)
    counts = [done.lines if done else 0 for done in placed]
    kept = [c for panel, n in zip(wanted, counts, strict=True) for c in panel.confidences[:n]]
    gone = [c for panel, n in zip(wanted, counts, strict=True) for c in panel.confidences[n:]]
    assert not kept or not gone or max(gone) <= min(kept)
    assert not gone or place_panels(wanted, FRAME) is None


def one(box, size=(30, 10), sure=0.5):
    return Panel(box, (sure,), (size,))


def test_above_then_below_then_inside_then_beside():
    def place(box):
        return place_lines([one(box)], FRAME)[0].place

    assert place((40, 30, 80, 60)) == (40, 20, 70, 30)
    assert place((100, 30, 115, 60)) == (85, 20, 115, 30), "its right edges in line"
    assert place((40, 5, 80, 60)) == (40, 60, 70, 70)
    assert place((40, 5, 80, 85)) == (40, 5, 70, 15)
    assert place((40, 5, 60, 85))[:2] == (40, 5)
    tall = place_lines([one((50, 2, 60, 88), (30, 40))], FRAME)[0].place
    assert tall == (50, 2, 80, 42)
    wide = place_lines([Panel((0, 0, 120, 90), (0.9, 0.8), ((120, 50), (120, 90)))], FRAME)
    assert wide == [Placed(2, (0, 0, 120, 90))]


def test_another_persons_box_is_left_free_where_that_costs_nothing_better():
    person, above = (40, 30, 80, 60), (35, 5, 90, 29)
    placed = place_lines([one(person), one(above, sure=0.4)], FRAME)
    assert placed[0].place == (40, 60, 70, 70), "below: above it would lie on the other"


def test_the_nearest_free_place_when_all_around_the_box_is_taken():
    same = (50, 40, 60, 50)
    placed = place_lines([one(same, (40, 20), 0.9 - k / 100) for k in range(9)], (120, 60))
    assert all(placed)
    assert len({done.place for done in placed}) == 9, "a frame that nine fill to the last pixel"


def test_a_panel_wider_than_the_frame_is_left_out():
    assert place_lines([one((0, 0, 10, 10), (121, 10))], FRAME) == [None]
    assert place_lines([], FRAME) == []


def test_a_crowd_keeps_its_surest_lines():
    sizes = ((60, 30), (60, 60))
    crowd = [Panel((10, 10, 50, 50), (0.9 - k / 10, 0.5 - k / 10), sizes) for k in range(4)]
    placed = place_lines(crowd, FRAME)
    assert [done.lines for done in placed] == [2, 2, 1, 1]
