"""What `fit-head` hands on: what is said on the command line wins over the preset's."""

from dataclasses import fields

import pytest
from typer.testing import CliRunner

from egofeat.cli.app import app
from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.heads.training.recipes import trainer_config
from egofeat.pipelines.training import fit as fit_head


class Handed(Exception):
    """Raised with the configuration, in place of a training."""


@pytest.fixture
def handed(monkeypatch):
    def hand(config, shown):
        raise Handed(config)

    monkeypatch.setattr(fit_head, "fit_head", hand)

    def run(*words):
        result = CliRunner().invoke(app, ["fit-head", *words])
        assert isinstance(result.exception, (Handed, RequestError)), result.output
        if isinstance(result.exception, RequestError):
            raise result.exception
        return result.exception.args[0]

    return run


def test_without_options_the_trainer_is_the_default(handed):
    assert handed("linear").trainer == TrainerConfig()
    assert handed("lstm", "--preset", "seed").trainer == TrainerConfig()


def test_a_preset_sets_the_trainer_and_the_command_line_wins(handed):
    assert handed("stam", "--preset", "stam-egtea").trainer == trainer_config("stam-egtea")
    words = ("stam", "--preset", "stam-egtea-ranger", "--lr", "0.5", "--patience", "10")
    trainer = handed(*words).trainer
    changed = {
        field.name
        for field in fields(TrainerConfig)
        if getattr(trainer, field.name) != getattr(trainer_config("stam-egtea-ranger"), field.name)
    }
    assert changed == {"lr", "patience"}, "a default that is said is said"
    assert trainer.patience == TrainerConfig().patience == 10


def test_epochs_take_the_place_of_a_presets_iterations(handed):
    assert handed("stam", "--preset", "stam-egtea-ranger", "--epochs", "9").trainer.unit == "epoch"
    with pytest.raises(RequestError, match="`epochs` and `iterations` are both given"):
        handed("linear", "--epochs", "9", "--iterations", "9")


def test_options_of_schedules_arrive(handed):
    words = ("--iterations", "3000", "--eval-every", "100", "--schedule", "multistep")
    config = handed(
        "linear", *words, "--lr-milestones", "300,1000", "--warmup", "9", "--val-from-train", "0.1"
    )
    trainer = config.trainer
    assert (trainer.iterations, trainer.eval_every, trainer.warmup) == (3000, 100, 9)
    assert trainer.lr_milestones == (300, 1000)
    assert config.val_from_train == 0.1
    with pytest.raises(RequestError, match="--lr-milestones soon is no list of numbers"):
        handed("linear", "--lr-milestones", "soon")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr-milestones 3,9", "`lr_milestones` does nothing without `schedule` multistep"),
        ("--lr-patience 2", "`lr_patience` does nothing without `schedule` plateau"),
        (
            "--lr-decay-every 2 --schedule cosine",
            "without `schedule` step or restarts: give that too",
        ),
        ("--class-weight-cap 5", "`class_weight_cap` does nothing without `class_weights`"),
        ("--gaze-sigma 2", "`gaze_sigma` does nothing without `gaze_weight`"),
        ("--class-weights --sampling balanced", "both make up for rare classes"),
    ],
)
def test_an_option_that_would_do_nothing_or_count_twice_is_refused(handed, words, said):
    with pytest.raises(RequestError, match=said):
        handed("linear", *words.split())


def test_what_goes_with_another_schedule_goes_with_it(handed, tmp_path):
    preset = handed("stam", "--preset", "stam-egtea", "--schedule", "cosine").trainer
    assert (preset.schedule, preset.lr_milestones, preset.lr) == ("cosine", None, 1e-2)
    file = tmp_path / "options.yaml"
    file.write_text("head: linear\nschedule: plateau\nlr_patience: 2\npatience: 7\n")
    saved = handed("--config", str(file), "--schedule", "cosine").trainer
    assert (saved.schedule, saved.lr_patience, saved.patience) == ("cosine", 5, 7)
