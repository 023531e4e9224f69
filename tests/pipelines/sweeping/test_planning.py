"""What a study asks for: what fits, what does not, and what is wrong in the file."""

import json
from dataclasses import replace

import pytest
import yaml

from egofeat.cli.command import show
from egofeat.errors import RequestError
from egofeat.pipelines.options import Compute
from egofeat.pipelines.sweeping.candidates import candidates
from egofeat.pipelines.sweeping.features import plan_features
from egofeat.pipelines.sweeping.forecast import forecast
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.planning import plan_sweep
from egofeat.pipelines.sweeping.study import read_study, set_split
from egofeat.pipelines.sweeping.sweep import sweep


def labels(config):
    return [one.label for one in plan_sweep(config).candidates]


def configs_of(config):
    study, places = read_study(config.study)
    study, settings = set_split(study, config.settings)
    asked = replace(config, settings=settings)
    features = plan_features(study, places, asked, Compute())
    return [one.config(study, 0, {}) for one in candidates(study, places, features, asked)]


def left_out(config):
    return dict(plan_sweep(config).left_out)


def test_lists_multiply(study):
    config = study(
        heads=[
            {"head": ["linear", "attention_pool"]},
            {"head": "lstm", "option": {"hidden": [8, 16]}, "lr": [1e-3, "3e-4"]},
        ],
    )
    assert labels(config) == [
        "linear toy/gap",
        "attention_pool toy/gap",
        "lstm toy/gap, lr 0.001, hidden 8",
        "lstm toy/gap, lr 3e-4, hidden 8",
        "lstm toy/gap, lr 0.001, hidden 16",
        "lstm toy/gap, lr 3e-4, hidden 16",
    ]


def test_what_does_not_fit_is_left_out_with_its_reason(study):
    config = study(
        heads=[
            {"head": ["linear", "stam", "convlstm", "roi"]},
            {"head": "conv1d", "preset": [None, "seed"]},
            {"head": "lstm", "option": {"depth": 3}},
            {"head": "linear", "join": ["toy/gap", "toy/gap"]},
        ],
    )
    assert labels(config) == ["linear toy/gap", "conv1d toy/gap"]
    said = left_out(config)
    assert set(said) == {
        "stam toy/gap",
        "convlstm toy/gap",
        "roi toy/gap",
        "conv1d toy/gap, preset seed",
        "lstm toy/gap, depth 3",
        "linear toy/gap+toy/gap",
    }
    assert "maps" in said["stam toy/gap"]
    assert "20" in said["conv1d toy/gap, preset seed"]
    assert "has no option 'depth'" in said["lstm toy/gap, depth 3"]


def test_features_are_chosen_by_tap_and_name_and_joined(study, judged_store):
    stores = [judged_store(), judged_store(row=(4, 6, 3, 3), out="maps", weights="random:1")]
    names = [f"toy/gap of {store}" for store in stores]
    heads = [
        {"head": "linear"},
        {"head": "stam", "features": names[1]},
        {"head": "linear", "join": names, "fuse": ["features", "logits"]},
    ]
    config = study(features=[{"store": str(store)} for store in stores], heads=heads)
    assert labels(config) == [
        f"linear {names[0]}",
        f"linear {names[1]}",
        f"stam {names[1]}",
        f"linear {names[0]}+{names[1]}, fuse logits",
    ]
    assert (
        "cannot be concatenated" in left_out(config)[f"linear {names[0]}+{names[1]}, fuse features"]
    )
    with pytest.raises(RequestError, match="twice"):
        plan_sweep(study(features=[{"store": str(stores[0])}] * 2))


def test_the_same_training_asked_for_twice_is_done_once(study):
    config = study(heads=[{"head": "linear"}, {"head": "linear", "lr": 0.02}])
    assert labels(config) == ["linear toy/gap"]
    assert "the same as linear" in left_out(config)["linear toy/gap, lr 0.02"]


def test_nothing_that_fits_is_refused(study):
    with pytest.raises(RequestError, match="no split 'tset' to test on: it has test, train, val"):
        plan_sweep(study(splits={"test": "tset"}))
    with pytest.raises(RequestError, match="nothing of study 'small' fits: stam toy/gap: "):
        plan_sweep(study(heads=[{"head": "stam"}]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"heads": [{"head": "linea"}]},
            r"line \d+: there is no head 'linea': did you mean 'linear'",
        ),
        ({"heads": [{"head": "linear", "learning": 1}]}, r"line \d+: unknown key 'learning'"),
        ({"heads": [{"head": "linear", "lr": "fast"}]}, r"line \d+: lr cannot be 'fast'"),
        ({"heads": [{"head": "linear", "lr": -1}]}, r"line \d+: .*lr.* is -1"),
        ({"heads": [{"head": []}]}, "empty list"),
        ({"heads": [{"epochs": 3}]}, "names no head"),
        ({"heads": [{"head": "linear", "tap": "map"}]}, "no features have tap 'map'"),
        ({"heads": [{"head": "linear", "features": "i3d/*"}]}, "there are no features 'i3d/\\*'"),
        ({"heads": [{"head": "linear", "seed": 3}]}, "unknown key 'seed'"),
        ({"heads": [{"head": "linear", "seeds": 3}]}, "unknown key 'seeds'"),
        ({"heads": "linear"}, "line 5: key 'heads'"),
        ({"heads": [{"head": "linear", "baseline": "yes"}]}, r"line \d+: `baseline` is true"),
        (
            {"heads": [{"head": head, "baseline": True} for head in ("linear", "lstm")]},
            r"line \d+: .*line \d+ is the baseline already",
        ),
        ({"features": [{"tap": "gap"}]}, "names no features"),
        ({"features": [{"store": "nowhere"}]}, r"line \d+: there is no feature store at nowhere"),
        ({"seeds": 0}, "how many, or a list of seeds"),
        ({"seed": 1}, "unknown key 'seed': did you mean 'seeds'"),
        ({"search": {"hidden": [1]}}, "unknown key 'hidden'"),
        ({"search": {"lr": []}}, "search"),
        ({"splits": {"test": "val"}}, "`test` is 'val'"),
        ({"splits": {"validation_from_train": 0.2}}, "name a `test` split"),
        ({"name": "../x"}, "key 'name'"),
        ({"version": 2}, "line 1: key 'version'"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_sentence_with_its_place(study, changes, said):
    config = study(**changes)
    with pytest.raises(RequestError, match=said) as caught:
        plan_sweep(config)
    assert str(config.study) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "heads: {a: 1, a: 2}"])
def test_what_is_no_study_is_said(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(RequestError, match=r"study\.yaml"):
        plan_sweep(SweepConfig(study=tmp_path / "study.yaml"))


def test_options_that_exclude_each_other_are_refused(tmp_path):
    with pytest.raises(RequestError, match="a study file says which"):
        SweepConfig(study=tmp_path, head=("linear",))
    with pytest.raises(RequestError, match="give a study file"):
        SweepConfig(head=("linear",))


def test_a_dry_run_tells_fits_time_and_what_is_done_and_writes_nothing(study, capsys):
    config = study(heads=[{"head": ["linear", "stam"]}], seeds=3)
    found = forecast(config)
    assert not config.out.exists()
    assert [(one.fits, one.done, one.seconds) for one in found.planned] == [(3, 0, None)]
    show(found, as_json=False)
    said = capsys.readouterr().out
    assert "not known yet" in said
    assert "left out: stam toy/gap: " in said
    sweep(study(heads=[{"head": ["linear", "stam"]}], seeds=2))
    config = study(heads=[{"head": ["linear", "stam"]}], seeds=3)
    one = forecast(config).planned[0]
    assert (one.fits, one.done) == (3, 2)
    assert one.seconds > 0
    show(forecast(config), as_json=True)
    assert json.loads(capsys.readouterr().out)["done"] == 2


def test_settings_are_over_the_study(study):
    config = study(asked={"settings": {"epochs": "1"}}, heads=[{"head": "linear", "epochs": 2}])
    plan = plan_sweep(config)
    assert plan.candidates[0].config(plan.study, 0, {}).trainer.epochs == 1
    assert yaml.safe_load(config.study.read_text())["heads"][0]["epochs"] == 2


@pytest.mark.parametrize("name", ["tap", "option", "head", "val_from_train", "epohcs"])
def test_what_all_heads_cannot_have_is_refused_where_it_stands(study, name):
    with pytest.raises(RequestError, match=f"^`settings`: unknown key '{name}'"):
        plan_sweep(study(asked={"settings": {name: "1"}}))
    config = study(common={name: "1"})
    with pytest.raises(RequestError, match=f"unknown key '{name}'") as error:
        plan_sweep(config)
    line = int(str(error.value).partition("line ")[2].partition(":")[0])
    assert config.study.read_text().splitlines()[line - 1].strip().startswith(f"{name}:")


def test_settings_are_over_the_study_however_they_are_typed(study):
    settings = {"batch-size": "8", "weight_decay": "0.5", "published-split": "2"}
    config = study(
        asked={"settings": settings},
        heads=[{"head": "linear", "batch_size": 4, "weight-decay": [0.1, 0.2]}],
    )
    found, *others = configs_of(config)
    assert not others
    assert (found.trainer.batch_size, found.trainer.weight_decay) == (8, 0.5)
    assert found.published_split == "2"
