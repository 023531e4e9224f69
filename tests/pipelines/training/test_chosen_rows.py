"""Fewer rows to train on: by group, video or class, or a part drawn by the seed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.options import FitConfig as Options
from egofeat.saved_options import read_saved
from egofeat.store import open_store

QUICK = TrainerConfig(epochs=2, lr=0.02, device="cpu")
SPLITS = ["train"] * 60 + ["val"] * 30 + ["test"] * 10


@pytest.fixture
def config(labelled_store, tmp_path):
    """100 segments: groups S0 … S9 in turn, verbs take, put and cut in turn."""
    store = labelled_store(
        SPLITS,
        {"verb": [row % 3 for row in range(100)], "noun": [row % 2 for row in range(100)]},
        {"verb": ("take", "put", "cut"), "noun": ("cup", "pan")},
        groups=[f"S{row % 10}" for row in range(100)],
    )
    return FitConfig(
        head="linear", store=store, targets=("verb",), trainer=QUICK, out=tmp_path / "run"
    )


def trained_on(run):
    return set(json.loads((run.path / "trained-on.json").read_text())["train"])


def ids(config, split, keep):
    """Segments of a split whose number is kept."""
    known = {id_: int(id_.rpartition("_")[2]) for id_ in open_store(config.store).ids.tolist()}
    return {id_ for id_, number in known.items() if SPLITS[number] == split and keep(number)}


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        (("group=S1",), lambda row: row % 10 == 1),
        (("group=S1", "group=S2"), lambda row: row % 10 in (1, 2)),
        (("group=S*", "verb=cut"), lambda row: row % 3 == 2),
        (("verb=take", "verb=put", "noun=pan"), lambda row: row % 3 < 2 and row % 2),
        (("video=video_1",), lambda row: row % 2),
    ],
)
def test_where_chooses_what_trains_and_validates_and_leaves_the_test_whole(config, where, keep):
    run = fit_head(replace(config, where=where))
    assert trained_on(run) == ids(config, "train", keep)
    with np.load(run.path / "predictions.npz") as predictions:
        assert set(predictions["ids"].tolist()) == ids(config, "val", keep)
    assert evaluate(run.path).metrics == run.evaluation.metrics
    assert evaluate(run.path, "test").segments == 10
    said = yaml.safe_load((run.path / "config.yaml").read_text())
    assert said["splits"]["where"] == list(where)
    assert said["result"]["coverage"]["train"] == {
        "there": len(trained_on(run)),
        "of_split": len(trained_on(run)),
    }
    assert said["classes"]["verb"] == ["take", "put", "cut"]


def test_a_fraction_is_of_rows_drawn_by_the_seed_and_part_of_a_larger_one(config, tmp_path):
    def part(fraction, seed=0):
        out = tmp_path / f"{fraction}-{seed}"
        trainer = replace(QUICK, seed=seed)
        return fit_head(replace(config, train_fraction=fraction, trainer=trainer, out=out))

    third, half, other = part(0.33), part(0.5), part(0.33, seed=1)
    assert len(trained_on(third)) == len(trained_on(other)) == 20
    assert trained_on(third) < trained_on(half) < ids(config, "train", lambda row: True)
    assert trained_on(third) != trained_on(other)
    assert third.evaluation.segments == 30
    assert evaluate(third.path, "train").segments == 20
    said = yaml.safe_load((third.path / "config.yaml").read_text())
    assert said["splits"]["train_fraction"] == 0.33
    assert said["result"]["coverage"]["train"] == {"there": 20, "of_split": 20}
    assert part(0.33).path == third.path  # asked again, it is this run


def test_a_part_is_taken_of_what_is_left_to_train(config):
    run = fit_head(
        replace(
            config, where=("verb=take",), val_split="own", val_from_train=0.3, train_fraction=0.5
        )
    )
    store = open_store(config.store)
    groups = dict(zip(store.ids.tolist(), store.groups.tolist(), strict=True))
    held = set(run.config.splits.val_groups)
    left = ids(config, "train", lambda row: row % 3 == 0 and f"S{row % 10}" not in held)
    assert trained_on(run) < left
    assert len(trained_on(run)) == round(0.5 * len(left))
    assert run.evaluation.segments == len(ids(config, "train", lambda row: row % 3 == 0)) - len(
        left
    )
    assert not {groups[id_] for id_ in trained_on(run)} & held


def test_all_rows_are_said_as_before_and_a_choice_is_read_back(config):
    run = fit_head(config)
    assert not {"where", "train_fraction"} & set(
        yaml.safe_load((run.path / "config.yaml").read_text())["splits"]
    )
    chosen = replace(config, where=("group=S1",), train_fraction=0.5, out=config.out / "chosen")
    path = fit_head(chosen).path
    again = Options.of(Options.over(read_saved(path / "config.yaml", [Options]), {}))
    assert (again.where, again.train_fraction) == (("group=S1",), 0.5)


def test_names_of_runs_say_what_was_chosen(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = replace(config, out=None)
    fit_head(named)
    assert fit_head(replace(named, where=("group=S1",))).path.name == "toy-linear-group_S1"
    assert fit_head(replace(named, train_fraction=0.5)).path.name == "toy-linear-train_fraction0.5"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"where": ("S1",)}, "`where` S1 chooses nothing .* KEY is group or video or noun or verb"),
        ({"where": ("colour=red",)}, "`where` colour=red chooses nothing"),
        ({"where": ("group=S11",)}, "`where` group=S11 fits nothing .*: did you mean 'S1'"),
        ({"where": ("verb=wash",)}, "`where` verb=wash fits nothing in store .*'take'"),
        ({"where": ("group=S1", "noun=cup")}, "leaves nothing of split 'train'"),
        ({"train_fraction": 0.0}, "`train_fraction` is 0: give more than 0, up to 1"),
        ({"train_fraction": 0.01}, "has one labelled segment: a head needs at least two"),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence(config, changed, says):
    with pytest.raises(RequestError, match=says):
        fit_head(replace(config, **changed))
