"""Attention on a made set: the class is written only at the moving place that gaze points to."""

import numpy as np
import pytest
import torch

from egofeat.errors import RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.gaze import gaze_metrics
from egofeat.heads.stam import ACTIVATIONS

CLASSES, DECOYS, STEPS, SIDE = 8, 5, 4, 6
TRAIN, VAL = 320, 160
SMALL = {"width": 24, "hidden": 16, "dropout": 0.0}


@pytest.fixture(scope="module")
def moving():
    """Maps `[480,4,12,6,6]`, labels, points.

    Six blobs a step, each of another class's colour, at places drawn anew each step. All six
    classes stay the same through the segment, so no average can tell which one counts. That one
    bears two marks, of four; each decoy two others, so that no single mark tells it either.
    """
    rng = np.random.default_rng(0)
    rows = TRAIN + VAL
    maps = rng.normal(0, 0.3, (rows, STEPS, CLASSES + 4, SIDE, SIDE)).astype(np.float32)
    labels = rng.integers(0, CLASSES, rows)
    points = np.ones((rows, STEPS, 3), np.float32)
    wrong = [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for row, label in enumerate(labels):
        others = [k for k in rng.permutation(CLASSES) if k != label][:DECOYS]
        for step in range(STEPS):
            cells = rng.choice(SIDE * SIDE, DECOYS + 1, replace=False)
            marks = [(0, 1), *wrong]
            for cell, colour, pair in zip(cells, (label, *others), marks, strict=True):
                y, x = divmod(int(cell), SIDE)
                maps[row, step, colour, y, x] += 3
                maps[row, step, [CLASSES + mark for mark in pair], y, x] += 2
            points[row, step, :2] = (np.array(divmod(int(cells[0]), SIDE))[::-1] + 0.5) / SIDE
    return maps, labels, points


@pytest.fixture
def taught(moving, array_features):
    """Train on the made set: `(accuracy, gaze figures)` of its last part."""
    maps, labels, points = moving
    val = np.arange(TRAIN, TRAIN + VAL)

    def fit(name, gaze_weight=0.0, epochs=12, lr=5e-3, **options):
        torch.manual_seed(0)
        head = build_head(name, maps.shape[1:], {"v": CLASSES}, **options)
        config = TrainerConfig(
            epochs=epochs,
            lr=lr,
            schedule="constant",
            l2=0.0,
            gaze_weight=gaze_weight,
            gaze_sigma=0.7,
            device="cpu",
        )
        examples = Examples(
            array_features(maps), {"v": labels}, np.arange(TRAIN), val, points[:TRAIN]
        )
        history = train(head, examples, config).history
        with torch.inference_mode():
            features = torch.from_numpy(maps[val])
            found = float(
                (head(features)["v"].argmax(1) == torch.from_numpy(labels[val])).float().mean()
            )
            figures = (
                dict(gaze_metrics(head.attention(features), torch.from_numpy(points[val])))
                if name == "stam"
                else {}
            )
        return found, figures, history

    return fit


@pytest.fixture(scope="module")
def bar():
    """What no head on the average of a map can pass by more than chance: one of six colours."""
    return 1 / (DECOYS + 1)


def test_taught_attention_lands_where_the_class_is_written(taught, bar, record_property):
    average, _, _ = taught("linear", epochs=30)
    accuracy, gaze, history = taught("stam", 1.0, **SMALL)
    without, _, _ = taught("stam", 0.0, **SMALL)
    record_property("accuracy", {"average": average, "gaze": accuracy, "without": without})
    assert average < bar + 0.1
    assert accuracy >= average + 0.3
    assert gaze["gaze/auc"] >= 0.95
    assert gaze["gaze/error"] < 0.05
    assert gaze["gaze/centre_auc"] < 0.6
    # The loss that is written is that of the classes alone, to be held against validation.
    assert history[-1]["train/loss"] < 0.1


def test_the_one_best_place_is_found_with_gaze_and_not_without(taught, bar):
    """Nothing tells a hard choice what it has not looked at; gaze does."""
    options = {**SMALL, "select": "topk", "places": 1, "residual": False}
    accuracy, gaze, _ = taught("stam", 1.0, **options)
    without, lost, _ = taught("stam", 0.0, **options)
    assert accuracy > 0.9
    assert gaze["gaze/auc"] >= 0.95
    assert without < bar + 0.15
    assert lost["gaze/auc"] < 0.8


KINDS = (
    *({"activation": name} for name in ACTIVATIONS if name != "softmax"),  # taught above
    {"select": "topk"},
    {"select": "topk", "places": 1},
    {"select": "sample"},
    {"select": "sample", "residual": False},
)
SOFT: dict[str, str] = {}
DEEPER = (
    *((depth, kind) for depth in (2, 3) for kind in (SOFT, {"select": "sample"})),
    (3, {"select": "topk"}),
)
"""What docs/attention.md tells of more than one module."""


@pytest.mark.parametrize(("depth", "options"), [*((1, kind) for kind in KINDS), *DEEPER])
def test_every_kind_and_every_depth(taught, bar, depth, options):
    accuracy, gaze, _ = taught("stam", 1.0, epochs=8, depth=depth, **SMALL, **options)
    assert accuracy >= bar + 0.4
    assert gaze["gaze/auc"] >= 0.95


def test_a_fresh_head_looks_everywhere_alike():
    head = build_head("stam", (3, 5, 2, 4), {"v": 2}, depth=2)
    attention = head.attention(torch.randn(2, 3, 5, 2, 4))
    assert torch.allclose(attention, torch.full((2, 3, 2, 4), 1 / 8))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3, 5, 2, 4), (1, 5, 1, 1), (2, 2, 5, 3, 3)])
def test_attention_sums_to_one_at_each_step(activation, shape):
    torch.manual_seed(0)
    head = build_head("stam", shape, {"v": 2}, depth=2, activation=activation)
    for module in head.attend:
        torch.nn.init.normal_(module.score[-1].weight)
    logits, log_attention = head.look(torch.randn(3, *shape))
    steps = shape[0] * shape[1] if len(shape) == 5 else shape[0]
    assert log_attention.shape == (2, 3, steps, *shape[-2:])
    assert torch.allclose(log_attention.exp().sum(dim=(3, 4)), torch.tensor(1.0))
    assert logits["v"].shape == (3, 2)


@pytest.mark.parametrize("select", ["topk", "sample"])
def test_hard_attention_sees_what_it_has_chosen_alone(select):
    torch.manual_seed(0)
    head = build_head(
        "stam", (2, 3, 4, 4), {"v": 2}, select=select, places=2, residual=False, kernel=1
    ).eval()
    torch.nn.init.normal_(head.attend[0].score[-1].weight)
    features = torch.randn(1, 2, 3, 4, 4)
    attention = head.attention(features).flatten(2)
    least = attention.argmin(dim=2)
    changed = features.clone().flatten(3)
    for step in range(2):
        changed[0, step, :, least[0, step]] += 0.01
    changed = changed.view_as(features)
    assert torch.allclose(head(features)["v"], head(changed)["v"], atol=1e-6)


def test_a_drawn_place_is_drawn_anew_in_training_and_not_after():
    torch.manual_seed(0)
    head = build_head("stam", (2, 3, 4, 4), {"v": 2}, select="sample", dropout=0.0)
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eval()  # the same figures each time
    features = torch.randn(2, 2, 3, 4, 4)
    first, second = (head(features)["v"] for _ in range(2))
    assert not torch.equal(first, second)
    first.sum().backward()
    assert head.attend[0].score[-1].weight.grad.abs().sum() > 0
    head.eval()
    assert torch.equal(head(features)["v"], head(features)["v"])


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        ((4, 6), {}, "needs feature maps.*attention_pool or transformer"),
        ((4, 6, 3, 3), {"kernel": 2}, "kernel .* must be odd"),
        ((4, 6, 3, 3), {"activation": "tanh"}, "activation .* 'softmax', 'sigmoid'"),
        ((4, 6, 3, 3), {"select": "hard"}, "select .* 'soft', 'topk', 'sample' or 'mean'"),
    ],
)
def test_a_wrong_request_is_refused(shape, options, says):
    with pytest.raises(RequestError, match=says):
        build_head("stam", shape, {"v": 2}, **options)


def test_without_attention_what_scores_say_does_not_matter():
    torch.manual_seed(0)
    maps = torch.randn(3, 2, 3, 4, 4)
    head = build_head("stam", (2, 3, 4, 4), {"v": 2}, select="mean", dropout=0.0).eval()
    fresh = build_head("stam", (2, 3, 4, 4), {"v": 2}, dropout=0.0).eval()
    fresh.load_state_dict(head.state_dict())
    # Fresh scores are zero, and soft attention looks everywhere alike.
    torch.testing.assert_close(head(maps)["v"], fresh(maps)["v"])
    with torch.no_grad():
        head.attend[0].score[-1].weight.normal_()
        fresh.attend[0].score[-1].weight.normal_()
    before = head(maps)["v"]
    assert not torch.allclose(before, fresh(maps)["v"])
    with torch.no_grad():
        head.attend[0].score[-1].weight.normal_()
    torch.testing.assert_close(head(maps)["v"], before)
