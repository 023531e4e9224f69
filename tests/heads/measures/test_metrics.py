"""Figures against brute force and closed forms."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egofeat.heads.measures.metrics import collapse_warning, metrics, top_pairs


@st.composite
def verb_noun_scores(draw):
    rows, verbs, nouns = draw(st.integers(1, 4)), draw(st.integers(2, 7)), draw(st.integers(2, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    scale = draw(st.sampled_from([0.1, 3.0, 30.0]))
    return tuple(
        torch.from_numpy(rng.normal(0, scale, (rows, classes))) for classes in (verbs, nouns)
    )


@given(verb_noun_scores(), st.integers(1, 12))
def test_top_pairs_are_those_of_the_whole_joint(scores, k):
    verb, noun = scores
    joint = verb.softmax(1).log()[:, :, None] + noun.softmax(1).log()[:, None, :]
    k = min(k, joint[0].numel())
    expected = joint.flatten(1).topk(k).indices
    nouns = noun.shape[1]
    # With k above both counts there are fewer than k·k candidates: all of them.
    pairs = top_pairs(verb, noun, k)
    assert (pairs[..., 0] * nouns + pairs[..., 1]).tolist() == expected.tolist()


def test_action_is_the_joint_and_not_the_pair_of_top1s():
    """The second best pair may repeat the best verb: a pair of top-ks would count others."""
    logits = {
        "verb": torch.tensor([[4.0, 0.0, -9.0]]),
        "noun": torch.tensor([[3.0, 2.0, 1.0, 0.5, 0.4, 0.3]]),
    }
    far = {"verb": torch.tensor([1]), "noun": torch.tensor([1])}
    near = {"verb": torch.tensor([0]), "noun": torch.tensor([4])}
    assert dict(metrics(logits, far))["action/top5"] == 0
    assert dict(metrics(logits, near))["action/top5"] == 1
    assert dict(metrics(logits, near))["action/top3"] == 0


@given(
    hnp.arrays(np.float32, (9, 4), elements=st.floats(-5, 5, width=32), unique=True),
    hnp.arrays(np.int64, 9, elements=st.integers(-1, 3)),
)
def test_target_figures_equal_brute_force(scores, labels):
    found = dict(metrics({"verb": torch.from_numpy(scores)}, {"verb": torch.from_numpy(labels)}))
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        assert found == {}
        return
    ranks = [(scores[row] > scores[row, labels[row]]).sum() for row in known]
    for k in (1, 3, 5):
        assert found[f"verb/top{k}"] == pytest.approx(np.mean([rank < k for rank in ranks]))
    recalls = [
        np.mean([rank == 0 for rank, row in zip(ranks, known, strict=True) if labels[row] == c])
        for c in set(labels[known])
    ]
    assert found["verb/mean_class_accuracy"] == pytest.approx(np.mean(recalls))


def test_tail_and_unseen_figures():
    verb, noun = torch.eye(3)[[0, 1, 2, 0]], torch.eye(2)[[0, 0, 1, 1]]
    labels = {"verb": torch.tensor([0, 1, 1, 2]), "noun": torch.tensor([0, 1, 1, 1])}
    found = dict(
        metrics(
            {"verb": verb, "noun": noun},
            labels,
            tail={"verb": {1}, "noun": {0}},
            unseen=torch.tensor([True, False, False, True]),
        )
    )
    assert found["verb/tail/top1"] == pytest.approx(1 / 2)  # segments 1, 2
    assert found["noun/tail/top1"] == 1  # segment 0
    assert found["action/tail/top1"] == pytest.approx(1 / 3)  # 0, 1, 2: verb or noun of the tail
    assert found["verb/unseen/top1"] == pytest.approx(1 / 2)
    assert found["action/unseen/top1"] == pytest.approx(1 / 2)
    assert found["action/top1"] == pytest.approx(1 / 4)
    assert found["action/mean_class_accuracy"] == pytest.approx(1 / 3)


def test_figures_without_segments_are_not_invented():
    logits = {"verb": torch.eye(2), "noun": torch.eye(2)}
    labels = {"verb": torch.tensor([0, -1]), "noun": torch.tensor([-1, 1])}
    found = dict(metrics(logits, labels, tail={"verb": {1}}, unseen=torch.tensor([False, False])))
    assert set(found) == {
        f"{target}/{figure}"
        for target in ("verb", "noun")
        for figure in ("top1", "top3", "top5", "mean_class_accuracy")
    }


def test_a_target_called_action_keeps_its_own_figures():
    eye = torch.eye(2)
    logits = {"verb": eye, "noun": eye, "action": eye.flip(0)}
    truth = torch.tensor([0, 1])
    found = dict(metrics(logits, {"verb": truth, "noun": truth, "action": truth}))
    assert found["action/top1"] == 0


def test_a_head_that_predicts_few_classes_is_named_with_the_figure():
    labels = torch.arange(40)
    logits = torch.zeros(40, 97)
    logits[:, 5] = 1
    logits[:3, 6] = 2
    assert "predicts 2 of 97 verb classes; 40 occur" in str(
        collapse_warning("verb", logits, labels)
    )
    assert collapse_warning("verb", torch.eye(97)[:40], labels) is None
    assert collapse_warning("verb", logits[:5], torch.zeros(5, dtype=torch.int64)) is None
    assert collapse_warning("verb", logits[3:5], torch.tensor([0, 1])) is not None
