"""The least of a classifier's penalised loss, against one that is solved in double precision."""

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax

from egofeat.heads import build_head
from egofeat.heads.newton import Problem, principal_axes
from egofeat.heads.solved import Vectors
from egofeat.heads.training.losses import Criterion, class_counts

STRENGTHS = (1.0, 1e-2, 1e-4, 1e-6)
WITHIN = 1e-4


def drawn(rows, channels, classes, apart, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = apart * rng.standard_normal((classes, channels))
    return rng.standard_normal((rows, channels)) + centres[labels], labels


def cases():
    rng = np.random.default_rng(1)
    yield "rows fewer than channels", *drawn(24, 80, 3, 0.5), 3
    features, labels = drawn(160, 16, 4, 0.5)
    alike = rng.standard_normal((16, 16)) * np.geomspace(1, 1e-3, 16)[:, None]
    yield "channels that are nearly the same", features @ alike, labels, 4
    yield "channels of other units", features * np.geomspace(1e-6, 1e6, 16), labels, 4
    yield "classes that a plane divides", *drawn(160, 16, 4, 8.0), 4
    features, labels = drawn(160, 12, 5, 0.5)
    labels[labels == 4] = 3
    yield "a class of no row", features, labels, 5
    one = labels.copy()
    one[7] = 4
    yield "a class of one row", features, one, 5
    yield "two classes", *drawn(160, 12, 2, 0.2), 2
    absent = labels.copy()
    absent[::3] = -1
    yield "rows without a label", features, absent, 5
    yield "several classes a row", features, rng.random((160, 3)) < 0.3, 3


class Exact:
    """The same loss, its slope and its curvature, in double precision."""

    def __init__(self, rows, labels, strength, classes):
        self.several = labels.ndim == 2
        kept = np.ones(len(rows), bool) if self.several else labels >= 0
        self.rows = np.concatenate([rows[kept], np.ones((kept.sum(), 1))], axis=1)
        labels = labels[kept]
        self.true = labels.astype(float) if self.several else np.eye(classes)[labels]
        self.penalty = np.full(self.rows.shape[1], 2 * strength)
        self.penalty[-1] = 0
        self.shape = classes, self.rows.shape[1]
        self.share = len(labels) * (classes if self.several else 1)

    def value(self, flat):
        weights = flat.reshape(self.shape)
        logits = self.rows @ weights.T
        if self.several:
            loss = np.logaddexp(0, np.where(self.true, -logits, logits)).sum()
        else:
            right = (logits * self.true).sum(axis=1, keepdims=True)
            with np.errstate(over="ignore"):
                others = np.where(self.true, 0, np.exp(logits - right))
            loss = np.log1p(others.sum(axis=1)).sum()
        return loss / self.share + (self.penalty * weights**2).sum() / 2

    def slope(self, flat):
        weights = flat.reshape(self.shape)
        logits = self.rows @ weights.T
        likely = expit(logits) if self.several else softmax(logits, axis=1)
        wrong = likely - self.true
        if not self.several:
            wrong = np.where(self.true, 0, wrong)
            wrong -= self.true * wrong.sum(axis=1, keepdims=True)
        return (wrong.T @ self.rows / self.share + self.penalty * weights).ravel()

    def curved(self, flat, way):
        weights, way = flat.reshape(self.shape), way.reshape(self.shape)
        logits, along = self.rows @ weights.T, self.rows @ way.T
        if self.several:
            bent = expit(logits) * expit(-logits) * along
        else:
            likely = softmax(logits, axis=1)
            bent = likely * (along - (likely * along).sum(axis=1, keepdims=True))
        return (bent.T @ self.rows / self.share + self.penalty * way).ravel()

    def least(self, flat):
        """By whole Newton steps from near it, until one gains nothing that double precision has."""
        for _ in range(100):
            slope, value, length = self.slope(flat), self.value(flat), 1.0
            bent = np.stack([self.curved(flat, way) for way in np.eye(len(flat))])
            step = -np.linalg.lstsq(bent, slope, rcond=1e-13)[0]
            gain = -float(slope @ step)
            while length > 1e-6 and self.value(flat + length * step) > value - 0.1 * length * gain:
                length /= 2
            if gain <= 1e-8 * value:
                return value
            flat = flat + length * step
        raise AssertionError("the reference has no least")


@pytest.mark.parametrize(
    ("features", "labels", "classes"),
    [pytest.param(*rest, id=name) for name, *rest in cases()],
)
@pytest.mark.parametrize("warm", [False, True])
def test_it_is_within_a_ten_thousandth_of_the_least(features, labels, classes, warm):
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    own = torch.from_numpy(rows).float()
    given = torch.from_numpy(labels)
    several = {"x": len(labels)} if labels.ndim == 2 else None
    criterion = Criterion({"x": class_counts(labels, classes)}, several=several)
    axes = principal_axes(own)
    problem = Problem(
        own @ axes,
        lambda logits: criterion({"x": logits}, {"x": given}),
        None if several else given.clamp(min=0)[:, None],
    )
    weights = torch.zeros(classes, axes.shape[1] + 1)
    for strength in STRENGTHS:
        start = weights if warm else torch.zeros_like(weights)
        weights = problem.minimised(strength, start)
        found = torch.cat([weights[:, :-1] @ axes.T, weights[:, -1:]], dim=1).double().numpy()
        exact = Exact(rows, labels, strength, classes)
        least = exact.least(found.ravel())
        assert exact.value(found.ravel()) - least <= WITHIN * least, strength


@pytest.mark.parametrize("relative", [1e-5, 0.03])
@pytest.mark.parametrize(
    "options",
    [{}, {"class_weights": True}, {"class_weights": True, "logit_adjustment": 2.0}],
    ids=["plain", "weighed", "adjusted"],
)
@pytest.mark.parametrize(("rows", "channels", "classes"), [(60, 20, 97), (300, 30, 40)])
def test_no_solution_is_worse_than_what_it_began_with(rows, channels, classes, options, relative):
    """Classes as rare as they are in kitchens, most of them with a row or none."""
    rng = np.random.default_rng(0)
    often = np.arange(1, classes + 1) ** -1.3
    labels = rng.choice(classes, rows, p=often / often.sum())
    features = (
        rng.standard_normal((rows, channels)) + rng.standard_normal((classes, channels))[labels]
    )
    given = torch.from_numpy(labels)
    criterion = Criterion({"x": class_counts(labels, classes)}, **options)
    problem = Problem(
        torch.from_numpy(features).float(),
        lambda logits: criterion({"x": logits}, {"x": given}),
        given[:, None],
        criterion.shift("x"),
    )

    def value(weights, strength):
        logits = problem.vectors @ weights[:, :-1].T + weights[:, -1]
        return float(problem.loss(logits) + strength * weights[:, :-1].square().sum())

    weights = torch.zeros(classes, channels + 1)
    for strength in (1e-2, 1e-4, 1e-6):
        before, weights = weights, problem.minimised(strength, weights, relative)
        assert value(weights, strength) <= value(before, strength) * (1 + 1e-5), strength


def test_a_given_strength_is_solved_as_well_as_one_of_several():
    rng = np.random.default_rng(0)
    often = np.arange(1, 98) ** -1.3
    labels = rng.choice(97, 1500, p=often / often.sum())
    features = rng.standard_normal((1500, 64)) + rng.standard_normal((97, 64))[labels]
    rows = Vectors(torch.from_numpy(features).float(), {"x": torch.from_numpy(labels)})
    criterion = Criterion({"x": class_counts(labels, 97)})
    said = [
        build_head("logistic", (1, 64), {"x": 97}, l2=l2).solve(rows, rows, criterion)
        for l2 in (1e-2, 1e-3, 1e-4)
    ]
    losses = [float(one.rsplit(" ", 1)[1]) for one in said]
    assert losses == sorted(
        losses, reverse=True
    )  # of the same rows: the weaker the penalty, the less
    assert losses[0] < 0.4


@pytest.mark.parametrize("rows", [5, 50])
def test_principal_axes_are_at_right_angles_and_hold_all_that_the_rows_do(rows):
    torch.manual_seed(0)
    centred = torch.randn(rows, 12)
    centred -= centred.mean(dim=0)
    axes = principal_axes(centred)
    assert axes.shape == (12, min(rows, 12))
    torch.testing.assert_close(axes.T @ axes, torch.eye(axes.shape[1]), atol=1e-5, rtol=0)
    along = centred @ axes
    torch.testing.assert_close(along @ axes.T, centred, atol=1e-5, rtol=0)
    between = along.T @ along
    assert (between - between.diag().diag()).abs().max() < 1e-4 * between.max()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_ends_at_once_and_stays_none(value):
    rows = torch.ones(6, 3)
    rows[2, 1] = value
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    problem = Problem(
        rows @ principal_axes(rows),
        lambda logits: torch.nn.functional.cross_entropy(logits, labels),
        labels[:, None],
    )
    weights = problem.minimised(1e-3, torch.zeros(2, 4))
    assert not torch.isfinite(rows @ weights[:, :-1].T).all()


def test_the_reference_is_the_loss_that_is_trained():
    rows, labels = drawn(40, 6, 3, 0.5)
    weights = np.random.default_rng(2).standard_normal((3, 7))
    picked = log_softmax(rows @ weights[:, :-1].T + weights[:, -1], axis=1)
    expected = -picked[np.arange(40), labels].mean() + 0.3 * (weights[:, :-1] ** 2).sum()
    assert Exact(rows, labels, 0.3, 3).value(weights.ravel()) == pytest.approx(expected)


@pytest.mark.parametrize("l2", [1e-2, 1e-6])
def test_a_class_that_no_other_stands_beside_ends_somewhere(l2):
    rows = Vectors(torch.randn(40, 6), {"x": torch.ones(40, dtype=torch.int64)})
    head = build_head("logistic", (1, 6), {"x": 3}, l2=l2)
    head.solve(rows, rows, Criterion({"x": class_counts(np.ones(40, np.int64), 3)}))
    logits = head.classify(rows.vectors)["x"]
    assert torch.equal(logits.argmax(dim=1), torch.ones(40, dtype=torch.int64))
    assert logits.abs().max() < 1e4
