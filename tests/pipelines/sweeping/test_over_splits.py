"""A study on several splits: a block of the table each, and their mean."""

import csv
import json
from statistics import fmean, stdev

import numpy as np
import pytest
from tests.pipelines.sweeping.conftest import rows_of, weights_of

from egofeat.errors import RequestError
from egofeat.pipelines.comparing.finished import find_paths
from egofeat.pipelines.reporting.swept import Swept as Told
from egofeat.pipelines.sweeping.forecast import forecast
from egofeat.pipelines.sweeping.planning import plan_sweep
from egofeat.pipelines.sweeping.sweep import sweep

THREE = [{"published": name, "test": "test"} for name in "123"]
HEADS = [{"head": "linear", "baseline": True}, {"head": "lstm"}]


@pytest.fixture
def of_splits(study, labelled_store):
    """A study of 90 segments, which three published splits divide in three ways."""
    verbs = np.random.default_rng(2).integers(0, 3, 90).tolist()
    parts = ["train"] * 50 + ["val"] * 20 + ["test"] * 20
    splits = {str(n + 1): np.roll(parts, 20 * n).tolist() for n in range(3)}
    classes = {"verb": ("take", "put", "cut")}
    store = labelled_store(splits["1"], {"verb": verbs}, classes, published=splits, out="thrice")

    def make(**changes):
        of = {"features": [{"store": str(store)}], "heads": HEADS, "splits": THREE}
        return study(**{**of, **changes})

    return make


def table_of(out):
    with (out / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_mean_over_splits_is_of_what_each_gives_alone(of_splits, tmp_path):
    config = of_splits()
    found = sweep(config)
    # Beside it, three sweeps of one split each.
    alone: dict[tuple[str, str], list[float]] = {}
    for name in "123":
        own = of_splits(asked={"out": tmp_path / name, "settings": {"published_split": name}})
        sweep(own)
        assert weights_of(own.out) == weights_of(config.out / f"split-{name}")
        for row in rows_of(own.out):
            value = float(row["test/verb/top1"])
            alone.setdefault((row["head"], row["seed"]), []).append(value)
    blocks = table_of(config.out)
    assert [row["split"] for row in blocks] == ["1", "1", "2", "2", "3", "3", "mean", "mean"]
    for row in blocks[-2:]:
        head = row["configuration"].split()[0]
        by_seed = [fmean(alone[head, seed]) for seed in "01"]
        assert int(row["n"]) == 6
        assert float(row["mean"]) == pytest.approx(fmean(by_seed))
        assert float(row["deviation"]) == pytest.approx(stdev(by_seed))
        assert (row["low"], row["high"], row["p"]) == ("", "", "")
        of_splits_ = [r for r in blocks if r["configuration"] == row["configuration"]][:3]
        for name in ("mean", "verb/top1", "verb/mean_class_accuracy"):
            assert float(row[name]) == pytest.approx(fmean(float(r[name]) for r in of_splits_))
    linear = next(row for row in blocks[-2:] if row["configuration"].startswith("linear"))
    assert float(linear["difference"]) == 0
    assert found.comparison.reference == linear["configuration"]
    assert {(row["split"], row["head"], row["seed"]) for row in rows_of(config.out)} == {
        (split, head, seed) for split in "123" for head in ("linear", "lstm") for seed in "01"
    }
    whole = found.to_dict()
    assert list(whole["parts"]) == ["1", "2", "3"]
    assert [line["seeds"] for line in whole["configurations"]] == [2, 2]
    said = [line for line in found.lines() if isinstance(line, str)]
    assert [
        one for one in said if one in ("split 1", "split 2", "split 3", "mean of 3 splits")
    ] == [
        "split 1",
        "split 2",
        "split 3",
        "mean of 3 splits",
    ]
    assert any(one.startswith("mean of splits 1, 2, 3, each counting the same") for one in said)


def test_what_is_done_on_each_split_is_not_done_again(of_splits, monkeypatch):
    config = of_splits()
    sweep(config)
    before = table_of(config.out), weights_of(config.out / "split-2")
    monkeypatch.setattr("egofeat.pipelines.sweeping.at_once.carry_out", None)
    sweep(config)
    assert (table_of(config.out), weights_of(config.out / "split-2")) == before
    planned = forecast(config).planned
    assert [(one.fits, one.done) for one in planned] == [(2, 2)] * 6
    assert planned[2].configuration == "linear toy/gap, split 2"


def test_a_seed_that_fails_on_one_split_is_not_in_the_mean(of_splits, monkeypatch):
    from egofeat.pipelines.sweeping import fitting

    def refuse(config, **more):
        if config.published_split == "2" and (config.head == "lstm" or config.trainer.seed == 0):
            raise RequestError("not on this split")
        return fit_head(config, **more)

    fit_head = fitting.fit_head
    monkeypatch.setattr(fitting, "fit_head", refuse)
    config = of_splits(seeds=3)
    found = sweep(config)
    assert found.exit_code == 1
    (line,) = found.comparison.lines_
    assert line.configuration.startswith("linear")
    assert len(line.runs) == 6
    assert found.comparison.seeds == (2,)
    (left,) = found.left_out
    assert left[0] == "lstm toy/gap"
    assert "not every split" in left[1]


def test_splits_may_be_named_by_their_parts_and_a_search_is_made_on_each(study):
    turned = [
        {"train": "train", "validation": "val", "test": "test"},
        {"train": "train", "validation": "test", "test": "val"},
    ]
    config = study(splits=turned, heads=[{"head": "linear"}], search={"lr": [1e-6, 0.02]})
    found = sweep(config)
    assert [name for name, _ in found.parts] == ["1", "2"]
    assert len(found.rows) == 2 * 3
    assert len(found.comparison.lines_[0].runs) == 4
    assert json.loads((config.out / "comparison.json").read_text())["splits"] == ["1", "2"]


def test_seeds_on_the_same_batches_are_not_mixed_over_splits(study, monkeypatch):
    from egofeat.pipelines.sweeping import at_once

    seen = []
    fit_alike = at_once.fit_alike

    def fit(configs, **more):
        seen.append([(one.train_split, one.trainer.seed) for one in configs])
        return fit_alike(configs, **more)

    monkeypatch.setattr(at_once, "fit_alike", fit)
    turned = [{"validation": "val", "test": "test"}, {"validation": "test", "test": "val"}]
    common = {"epochs": 2, "lr": 0.02, "data_seed": 1}
    sweep(study(splits=turned, heads=[{"head": "linear"}], common=common))
    assert [len(one) for one in seen] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"splits": []}, r"line \d+: key 'splits'"),
        ({"splits": [THREE[0], THREE[0]]}, r"`splits` has \{.*published: 1.*\} twice: leave one"),
        ({"splits": [THREE[0], {"tset": "test"}]}, r"line \d+: .*unknown key 'tset'"),
        ({"splits": [THREE[0], {"published": "4"}]}, "nothing of study 'small' fits on split 4"),
        (
            {"asked": {"settings": {"published_split": "4"}}},
            "has no published split '4' among its `splits`",
        ),
    ],
)
def test_splits_that_cannot_be_are_refused(of_splits, changes, said):
    with pytest.raises(RequestError, match=said):
        plan_sweep(of_splits(**changes))


def test_the_runs_of_several_splits_are_shown_by_one_of_them(of_splits):
    config = of_splits()
    sweep(config)
    with pytest.raises(RequestError, match="several splits: name the folder of one"):
        find_paths([config.out])
    part = config.out / "split-2"
    assert len(find_paths([part])) == 4
    assert Told.read(part).split == "test"
