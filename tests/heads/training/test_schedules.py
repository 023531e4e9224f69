"""Learning rates: against torch's own schedulers, and at the figures of the reports."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.heads.training.recipes import trainer_config
from egofeat.heads.training.schedules import SCHEDULES, count_plateaus, rate_factor
from egofeat.heads.training.trainer import train


def factors(steps, per_epoch=1, plateaus=0, **options):
    config = TrainerConfig(**options)
    decay = config.decay(per_epoch)
    return [rate_factor(config.schedule, decay, step, plateaus) for step in steps]


def test_steps_are_the_mobilenet_reports():
    seen = factors((1, 34, 35, 54, 55, 100))
    assert seen == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.2**4])


def test_default_steps_fall_in_the_same_epochs_when_iterations_are_counted():
    """An epoch of 7 batches: its first batch is where the rate falls."""
    epochs = factors(range(1, 101))
    iterations = factors(range(1, 701), per_epoch=7, iterations=700)
    assert iterations == [factor for factor in epochs for _ in range(7)]


def test_steps_count_what_they_are_told_to():
    seen = factors(
        (99, 100, 149, 150), per_epoch=7, iterations=700, lr_decay_from=100, lr_decay_every=50
    )
    assert seen == pytest.approx([1, 0.2, 0.2, 0.04])


@settings(max_examples=30, deadline=None)
@given(milestones=st.sets(st.integers(1, 60), min_size=1, max_size=4))
def test_multistep_is_torchs(milestones):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, sorted(milestones), gamma=0.1)
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    ours = factors(range(1, 61), schedule="multistep", lr_milestones=tuple(sorted(milestones)))
    assert ours == pytest.approx(rates)


def test_multistep_lowers_after_iterations_300_and_1000():
    options = {"iterations": 3000, "schedule": "multistep", "lr_milestones": (300, 1000)}
    seen = factors((1, 300, 301, 1000, 1001, 3000), per_epoch=20, **options)
    assert seen == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@settings(max_examples=100, deadline=None)
@given(
    losses=st.lists(st.sampled_from([0.5, 0.9, 0.99995, 1.0, 1.2, 2.0]), max_size=40),
    patience=st.integers(0, 6),
    better=st.sampled_from(["min", "max"]),
)
def test_plateaus_are_torchs(losses, patience, better):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, better, factor=0.5, patience=patience, min_lr=0, eps=0
    )
    sign = -1 if better == "min" else 1
    for done, loss in enumerate(losses, start=1):
        theirs.step(loss)
        plateaus = count_plateaus([sign * value for value in losses[:done]], patience)
        [ours] = factors((done,), schedule="plateau", plateaus=plateaus)
        assert ours == optimizer.param_groups[0]["lr"]


def test_cosine_falls_from_the_full_rate_after_a_linear_rise():
    seen = factors(range(1, 101), schedule="cosine")
    assert seen[0] == 1
    assert seen == sorted(seen, reverse=True)
    assert 0 < seen[-1] < 0.001
    warm = factors(range(1, 101), schedule="cosine", warmup=10)
    assert warm[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert warm[10] == 1
    assert warm[10:] == sorted(warm[10:], reverse=True)
    assert factors((5, 10), schedule="cosine", epochs=10, warmup=10) == pytest.approx([0.5, 1])


def test_a_rise_goes_before_every_schedule():
    for name in SCHEDULES:
        more = {"lr_milestones": (50,)} if name == "multistep" else {}
        assert factors((1, 2), schedule=name, warmup=4, **more) == pytest.approx([0.25, 0.5])
    assert factors((99,), schedule="constant") == [1]


def test_a_plateau_lowers_the_rate_of_a_training(order_task):
    """Without a rate there is no progress, and patience 1 halves it at every second evaluation."""
    config = TrainerConfig(
        epochs=8, schedule="plateau", lr_patience=1, lr=1e-9, device="cpu", patience=0
    )
    rates = rates_of(order_task, config)
    assert rates == pytest.approx([1e-9 * 0.5**n for n in (0, 0, 0, 1, 1, 2, 2, 3)])


def test_the_rate_that_is_written_is_the_last_one_used(order_task):
    config = TrainerConfig(
        iterations=12, eval_every=4, schedule="multistep", lr_milestones=(4, 9), device="cpu"
    )
    assert rates_of(order_task, config) == pytest.approx([1e-3, 1e-4, 1e-5])


def rates_of(order_task, config):
    from egofeat.heads import build_head

    task = order_task(60)
    torch.manual_seed(0)
    head = build_head("linear", task.features.row_shape, {"order": 2})
    return [record["lr"] for record in train(head, task, config).history]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"schedule": "multistep"}, "multistep needs `lr_milestones`, as 300,1000"),
        ({"lr_milestones": (3, 2)}, "`lr_milestones` must ascend"),
        ({"lr_milestones": (0, 2)}, "`lr_milestones` must ascend from 1"),
        ({"lr_decay_from": 0}, "`lr_decay_from` is 0: give 1 or more"),
        ({"lr_decay": 0.0}, "`lr_decay` is 0: give more than 0"),
        ({"warmup": -1}, "`warmup` is -1: give 0 or more"),
        (
            {"schedule": "exponential"},
            "choose step, multistep, plateau, cosine, restarts or constant",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(options, says):
    with pytest.raises(RequestError, match=says):
        TrainerConfig(**options)


def test_restarts_are_torchs_and_a_rise_may_begin_above_zero():
    decay = TrainerConfig(
        epochs=12, schedule="restarts", lr_decay_every=4, warmup=2, warmup_from=0.1
    ).decay(1)
    rates = [rate_factor("restarts", decay, step, 0) for step in range(1, 13)]
    assert rates[:2] == pytest.approx([0.55, 1.0])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4)
    for factor in rates[2:]:
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()


def test_the_recipe_of_kinetics_follows_batch_and_length():
    published = trainer_config("kinetics")
    assert (published.lr, published.warmup, published.epochs) == (0.1, 34, 196)
    decay = published.decay(1)
    assert rate_factor("cosine", decay, 17, 0) == pytest.approx(0.55)  # from 0.01 to 0.1
    small = trainer_config("kinetics", epochs=98, batch_size=16)
    assert (small.lr, small.warmup, small.optimizer) == (0.025, 17, "momentum")
