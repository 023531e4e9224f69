"""A validation part out of the training split: whole groups, the same again, judged on later."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import yaml

from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.runs.config import read_config
from egofeat.pipelines.runs.rows import choose_groups
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.store import open_store

QUICK = TrainerConfig(iterations=24, eval_every=7, lr=0.02, device="cpu")


@pytest.fixture
def sessions(labelled_store):
    """Train and test alone: 80 segments of 10 sessions, and 20 of two others."""

    def make(**changes):
        rng = np.random.default_rng(1)
        splits = ["train"] * 80 + ["test"] * 20
        labels = {"verb": rng.integers(0, 3, 100).tolist()}
        groups = [f"S{row % 10}" for row in range(80)] + [f"T{row % 2}" for row in range(20)]
        return labelled_store(
            splits, labels, {"verb": ("take", "put", "cut")}, **{"groups": groups, **changes}
        )

    return make


@pytest.fixture
def config(sessions, tmp_path):
    return FitConfig(
        head="linear", store=sessions(), val_from_train=0.2, trainer=QUICK, out=tmp_path / "run"
    )


def test_whole_sessions_validate_and_the_run_says_which(config):
    run = fit_head(config)
    said = yaml.safe_load((run.path / "config.yaml").read_text())["splits"]
    assert said["val_from_train"] == 0.2
    assert len(said["val_groups"]) == 2
    assert set(said["val_groups"]) <= {f"S{n}" for n in range(10)}
    assert run.evaluation.split == "val"
    assert run.evaluation.segments == 16
    store = open_store(config.store)
    expected = [
        id_
        for id_, group in zip(store.ids, store.groups, strict=True)
        if group in said["val_groups"]
    ]
    with np.load(run.path / "predictions.npz") as predictions:
        assert predictions["ids"].tolist() == expected
    again = evaluate(run.path)
    assert again.metrics == run.evaluation.metrics
    assert evaluate(run.path, "train").segments == 64
    assert evaluate(run.path, "test").segments == 20


def test_the_history_counts_epochs_and_iterations(config):
    with (fit_head(config).path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["7", "14", "21", "24"]
    assert [row["epoch"] for row in rows] == ["3.5", "7", "10.5", "12"]


def test_the_same_request_is_the_same_run_and_another_seed_divides_otherwise(config):
    first = fit_head(config)
    before = (first.path / "head.safetensors").stat().st_mtime_ns
    assert fit_head(config).path == first.path
    assert (first.path / "head.safetensors").stat().st_mtime_ns == before
    store = open_store(config.store)
    chosen = {
        tuple(choose_groups(store, store.rows("train"), 0.2, seed)) for seed in (0, 0, 1, 2, 3)
    }
    assert len(chosen) > 1
    with pytest.raises(RequestError, match="holds another run"):
        fit_head(replace(config, val_from_train=0.3))


def test_segments_without_a_group_go_with_their_video(sessions):
    """The video of a row is that of its number: even ones in one, odd ones in the other."""
    store = open_store(sessions(groups=[""] * 100))
    assert set(store.table.sessions) == {"video_0", "video_1"}
    assert len(choose_groups(store, store.rows("train"), 0.1, 0)) == 1


def test_joined_stores_are_divided_as_one(config, sessions, tmp_path):
    other = sessions(weights="random:1", out="others")
    both = replace(config, store=(config.store, other), out=tmp_path / "both")
    alone = fit_head(config).config
    joined = fit_head(both)
    assert joined.config.splits == alone.splits
    assert evaluate(joined.path).segments == 16


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"val_from_train": 1.0}, "`val_from_train` is 1: give 0 to less than 1"),
        ({"val_from_train": 0.99}, "takes 10 of 10 groups of store .* leaves nothing to train on"),
        ({"val_split": "test"}, "has a split 'test' of its own: leave `val_from_train` out"),
        ({"train_split": "dev"}, "split 'dev' of store .* has no labelled segments"),
    ],
)
def test_a_part_that_cannot_be_is_one_sentence(config, changed, says):
    with pytest.raises(RequestError, match=says):
        fit_head(replace(config, **changed))


@pytest.fixture
def two_splits(labelled_store):
    """A store of 60 segments, of which two published splits test others."""
    first = ["train"] * 40 + ["test"] * 20
    second = ["test"] * 20 + ["train"] * 40
    return labelled_store(
        first,
        {"verb": [number % 3 for number in range(60)]},
        {"verb": ("take", "put", "cut")},
        published={"1": first, "2": second},
    )


def test_one_extraction_serves_every_published_split(two_splits, tmp_path):
    def fitted(published, out):
        more = {"val_split": "test", "trainer": QUICK, "out": tmp_path / out}
        config = FitConfig(head="linear", store=two_splits, published_split=published, **more)
        run = fit_head(config)
        with np.load(run.path / "predictions.npz") as predictions:
            return run.path, predictions["ids"].tolist()

    usual, first = fitted(None, "usual")
    other, second = fitted("2", "other")
    ids = sorted(f"segment_{number:03d}" for number in range(60))
    assert sorted(first) == ids[40:]
    assert sorted(second) == ids[:20]
    assert read_config(other).splits.published == "2"
    assert read_config(usual).splits.published is None
    assert evaluate(other, "test").segments == 20
    with pytest.raises(RequestError, match="has no published split '4': it has 1, 2"):
        fitted("4", "none")


def test_a_store_of_one_published_split_says_so(config):
    with pytest.raises(RequestError, match="no published split '2': it knows one alone; where"):
        fit_head(replace(config, published_split="2"))
