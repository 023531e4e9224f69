"""Heads that are computed from all rows at once, against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from egofeat.errors import RequestError
from egofeat.heads import build_head
from egofeat.heads.config import TrainerConfig
from egofeat.heads.solved import STRENGTHS, grow_banks
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.passes import predict
from egofeat.heads.training.solving import solve

CLASSES = {"verb": 3, "noun": 4}
ROWS, STEPS, WIDTH = 120, 3, 5


@pytest.fixture
def examples():
    rng = np.random.default_rng(1)
    labels = {target: rng.integers(0, count, ROWS) for target, count in CLASSES.items()}
    labels["noun"][::7] = -1
    features = rng.normal(3, 2, (ROWS, STEPS, WIDTH)).astype(np.float32)
    features[:, :, 0] += labels["verb"][:, None]
    features[:, :, 1] -= 2 * labels["noun"][:, None]
    return Examples(features, labels, np.arange(80), np.arange(80, ROWS))


def solved(name, examples, trainer=None, **options):
    heads = [build_head(name, (STEPS, WIDTH), CLASSES, **options) for _ in range(2)]
    _, chosen = solve(heads, examples, trainer or TrainerConfig(device="cpu"))
    for key, value in heads[0].state_dict().items():
        assert torch.equal(value, heads[1].state_dict()[key])
    return heads[0], chosen


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (1, 0.5), (500, 1.0)])
def test_neighbours_vote_as_by_brute_force(examples, k, temperature):
    head, _ = solved("knn", examples, k=k, temperature=temperature)
    logits = predict(head, examples.features, examples.validation)
    means = examples.features.mean(axis=1).astype(np.float64)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for target, classes in CLASSES.items():
        labels = examples.labels[target][:80]
        for row, found in zip(examples.validation, logits[target].numpy(), strict=True):
            pairs = [(means[row] @ means[r], labels[r]) for r in range(80) if labels[r] >= 0]
            votes = np.zeros(classes)
            for similarity, label in sorted(pairs, reverse=True)[:k]:
                votes[label] += np.exp(similarity / temperature)
            shares = np.clip(votes / votes.sum(), 1e-6, None)
            np.testing.assert_allclose(found, np.log(shares), rtol=1e-3, atol=1e-4)


def reference(vectors, labels, classes, strength, weights):
    """The least of the same objective, in doubles: its value, and logits of any rows."""
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    kept = labels >= 0
    x, y = ((vectors - mean) / std)[kept], labels[kept]
    of_row = weights[y] / weights[y].sum()

    def loss(flat):
        matrix = flat.reshape(classes, -1)
        logits = x @ matrix[:, :-1].T + matrix[:, -1]
        error = np.exp(log_softmax(logits, axis=1))
        picked = logits[np.arange(len(y)), y] - logsumexp(logits, axis=1)
        error[np.arange(len(y)), y] -= 1
        error *= of_row[:, None]
        gradient = np.concatenate([error.T @ x, error.sum(axis=0)[:, None]], axis=1)
        gradient[:, :-1] += 2 * strength * matrix[:, :-1]
        return -(of_row * picked).sum() + strength * (matrix[:, :-1] ** 2).sum(), gradient.ravel()

    start = np.zeros(classes * (x.shape[1] + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    return found.fun


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strength", [1e-1, 1e-4])
def test_logistic_regression_reaches_its_least_loss(examples, strength, weighted):
    trainer = TrainerConfig(device="cpu", class_weights=weighted)
    head, _ = solved("logistic", examples, trainer, l2=strength)
    means = examples.features.mean(axis=1)[:80].astype(np.float64)
    logits = predict(head, examples.features, examples.train)
    for layer, (target, classes) in zip(head.classifiers, CLASSES.items(), strict=True):
        labels = examples.labels[target][:80]
        counts = np.bincount(labels[labels >= 0], minlength=classes)
        weights = counts.mean() / counts if weighted else np.ones(classes)
        expected = reference(means, labels, classes, strength, weights)
        kept = labels >= 0
        picked = log_softmax(logits[target].double().numpy(), axis=1)[kept, labels[kept]]
        of_row = weights[labels[kept]] / weights[labels[kept]].sum()
        scaled = layer.weight.detach().double().numpy() * means.std(axis=0)
        found = -(of_row * picked).sum() + strength * (scaled**2).sum()
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("channels", [12, 200])
def test_its_least_loss_is_reached_where_channels_are_alike_or_more_than_rows(channels):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, ROWS)
    spread = rng.normal(size=(channels, channels)) * np.geomspace(1, 1e-3, channels)[:, None]
    features = (rng.normal(size=(ROWS, channels)) + labels[:, None]) @ spread
    features = np.concatenate([features, np.full((ROWS, 1), 7.0)], axis=1).astype(np.float32)
    head = build_head("logistic", (1, channels + 1), {"verb": 3}, l2=1e-3)
    examples = Examples(features[:, None], {"verb": labels}, np.arange(80), np.arange(80, ROWS))
    solve([head], examples, TrainerConfig(device="cpu"))
    own = features[:80, :channels].astype(np.float64)
    logits = predict(head, examples.features, examples.train)["verb"].double().numpy()
    error = -log_softmax(logits, axis=1)[np.arange(80), labels[:80]].mean()
    weights = head.classifiers[0].weight.detach().double().numpy()
    scaled = weights[:, :channels] * own.std(axis=0)
    expected = reference(own, labels[:80], 3, 1e-3, np.ones(3))
    assert error + 1e-3 * (scaled**2).sum() == pytest.approx(expected, abs=1e-4)
    assert not weights[:, channels].any()


@pytest.mark.parametrize(("name", "options"), [("knn", {"k": 5}), ("logistic", {"l2": 1e-2})])
@pytest.mark.parametrize("unit", [2.0**90, 2.0**-90])
def test_numbers_as_large_or_small_as_there_are_give_what_others_do(examples, name, options, unit):
    """2^90 is 1e27, whose square single precision does not know."""
    features = (examples.features * np.float32(unit)).astype(np.float32)
    far = Examples(features, examples.labels, examples.train, examples.validation)
    (head, _), (other, _) = (solved(name, of, **options) for of in (examples, far))
    logits, found = (
        predict(of, rows.features, rows.validation) for of, rows in ((head, examples), (other, far))
    )
    for target in CLASSES:
        np.testing.assert_allclose(found[target], logits[target], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_averages_that_are_no_numbers_are_refused(examples, name):
    examples.features[3] = 3e38
    with pytest.raises(RequestError, match="features are too large"):
        solved(name, examples)


def test_validation_chooses_the_strength(examples):
    head, chosen = solved("logistic", examples)
    losses = {}
    for strength in STRENGTHS:  # as long as it falls
        other, _ = solved("logistic", examples, l2=strength)
        logits = predict(other, examples.features, examples.validation)["verb"]
        truth = torch.from_numpy(examples.labels["verb"][80:])
        losses[strength] = float(torch.nn.functional.cross_entropy(logits, truth))
        if losses[strength] > min(losses.values()):
            break
    best = min(losses, key=losses.get)
    assert chosen.startswith(f"verb λ {best:g}, validation loss {losses[best]:.4f}"[:-2])
    assert not head.training


def test_rows_of_several_classes(examples):
    several = np.eye(3, dtype=bool)[examples.labels["verb"]] | (np.arange(3) == 0)
    both = Examples(examples.features, {"verb": several}, examples.train, examples.validation)
    head = build_head("logistic", (STEPS, WIDTH), {"verb": 3})
    solve([head], both, TrainerConfig(device="cpu"))
    logits = predict(head, examples.features, examples.validation)["verb"]
    assert (logits[:, 0] > 2).all()  # every row has it
    with pytest.raises(RequestError, match="choose head logistic"):
        solve([build_head("knn", (STEPS, WIDTH), {"verb": 3})], both, TrainerConfig(device="cpu"))


def test_a_bank_is_loaded_whole(examples):
    head, _ = solved("knn", examples)
    state = head.state_dict()
    fresh = build_head("knn", (STEPS, WIDTH), CLASSES)
    fresh.load_state_dict(state)
    rows = examples.validation
    same = predict(fresh, examples.features, rows)["noun"]
    assert torch.equal(same, predict(head, examples.features, rows)["noun"])
    with torch.device("meta"):
        empty = build_head("knn", (STEPS, WIDTH), CLASSES)
    grow_banks(empty, {name: tensor.shape for name, tensor in state.items()})
    assert empty.bank.vectors.shape == (80, WIDTH)
