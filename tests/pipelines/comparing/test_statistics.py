"""Intervals and tests, against closed forms and on made data of which the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from egofeat.pipelines.comparing import statistics
from egofeat.pipelines.comparing.statistics import holm, interval, p_of_difference


def each(clips):
    return np.array([f"clip_{number}" for number in range(clips)])


@pytest.mark.parametrize(("clips", "right"), [(60, 45), (400, 120)])
def test_the_interval_of_an_accuracy_is_that_of_a_binomial(clips, right):
    scores = (np.arange(clips) < right).astype(float)
    low, high = interval(scores, each(clips))
    ends = binom.ppf([0.025, 0.975], clips, right / clips) / clips
    assert (low, high) == pytest.approx(ends, abs=1.01 / clips)


def test_the_interval_covers_the_truth(monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    rng = np.random.default_rng(0)
    spans = [interval((rng.random(200) < 0.7).astype(float), each(200)) for _ in range(200)]
    covered = sum(low <= 0.7 <= high for low, high in spans)
    assert 183 <= covered <= 198, "95 %, give or take what 200 draws do"


def test_clips_of_a_session_are_drawn_together():
    """Forty sessions whose ten clips are all right or all wrong are forty observations."""
    of_session = np.arange(40) % 2
    scores, sessions = np.repeat(of_session, 10).astype(float), np.repeat(each(40), 10)
    low, high = interval(scores, sessions)
    alone = interval(of_session.astype(float), each(40))
    assert (low, high) == pytest.approx(alone, abs=1e-9)
    assert high - low > 2.5 * np.diff(interval(scores, each(400)))


def test_few_sessions_are_not_drawn():
    scores = (np.arange(90) % 3 > 0).astype(float)
    of_clips = interval(scores, each(90))
    assert interval(scores, np.repeat(each(9), 10)) == pytest.approx(of_clips, abs=0.02)
    of_sessions = interval(scores, np.repeat(each(10), 9))
    assert np.diff(of_sessions) < np.diff(of_clips) / 2, "all sessions are alike here"
    assert interval(np.ones(1), each(1)) is None


@settings(max_examples=30)
@given(only_one=st.integers(0, 9), only_other=st.integers(0, 4), both=st.integers(0, 30))
def test_of_one_clip_a_session_it_is_mcnemars_exact_test(only_one, only_other, both):
    one = np.repeat([1.0, 0.0, 1.0], [only_one, only_other, both])
    other = np.repeat([0.0, 1.0, 1.0], [only_one, only_other, both])
    discordant = only_one + only_other
    expected = binomtest(only_one, discordant).pvalue if discordant else 1.0
    assert p_of_difference(one, other, each(len(one))) == pytest.approx(expected)


def test_many_clips_draw_the_same_within_chance():
    rng = np.random.default_rng(1)
    one, other = (rng.random((2, 3000)) < [[0.70], [0.68]]).astype(float)
    first, second = int((one > other).sum()), int((other > one).sum())
    expected = binomtest(first, first + second).pvalue
    assert p_of_difference(one, other, each(3000)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("clips_a_session", [1, 5])
def test_of_heads_that_are_alike_one_in_twenty_is_called_different_at_most(
    clips_a_session, monkeypatch
):
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    rng = np.random.default_rng(2)
    sessions = np.repeat(each(40), clips_a_session)
    called = 0
    for _ in range(300):
        # Sessions are hard or easy for either head, so that its clips are not independent.
        of_session = np.repeat(rng.random((2, 40)), clips_a_session, axis=1)
        one, other = (rng.random((2, len(sessions))) < of_session).astype(float)
        called += p_of_difference(one, other, sessions) < 0.05
    assert called <= 21, "15 expected; 21 and more of 300 come in one case of twenty"
    assert called >= 6, "a test that never calls any is none"


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(3)
    one, other = (rng.random((2, 400)) < [[0.8], [0.6]]).astype(float)
    assert p_of_difference(one, other, each(400)) < 0.001
    assert p_of_difference(one, one, each(400)) == 1.0


def test_holms_correction_is_the_published_one():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    values = [0.01, 0.04, 0.03, 0.005, 0.8]
    assert holm(values) == pytest.approx(multitest.multipletests(values, method="holm")[1])
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
