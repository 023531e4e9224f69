"""What figures are of: rows that were not trained on, and how many of how many there are."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.comparing.ensemble import EnsembleConfig, ensemble
from egofeat.pipelines.exporting.epic_challenge import export_challenge
from egofeat.pipelines.runs.config import read_config
from egofeat.pipelines.runs.trained_on import NAME
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head

QUICK = TrainerConfig(epochs=2, lr=0.02, device="cpu")
CLASSES = {"verb": ("take", "put", "cut")}


@pytest.fixture
def published(labelled_store):
    """A data set of 12 segments under one of its published splits; features are kept."""

    def make(number, **changes):
        places = np.roll(np.array(["train"] * 8 + ["test"] * 4), 4 * number)
        return labelled_store(places.tolist(), {"verb": [0, 1, 2] * 4}, CLASSES, **changes)

    return make


@pytest.fixture
def config(published, tmp_path):
    return FitConfig(
        head="linear", store=published(0), val_split="test", out=tmp_path / "run", trainer=QUICK
    )


def files_of(path):
    names = ("metrics.json", "predictions.npz", "config.yaml")
    return {name: (path / name).read_bytes() for name in names}


def test_rows_that_were_trained_on_are_not_judged(config, published):
    run = fit_head(config)
    before = files_of(run.path)
    published(1)
    with pytest.raises(RequestError, match=r"trained on 4 of 4 segments of split 'test' in"):
        evaluate(run.path, "test", device="cpu")
    with pytest.raises(RequestError, match=r"splits have changed since: .*`split`"):
        evaluate(run.path, device="cpu")
    train = evaluate(run.path, "train", device="cpu")
    assert (train.segments, train.trained_on) == (8, 4)
    assert train.lines()[0] == "8 segments of train; 4 of them were trained on"
    assert json.loads((run.path / "metrics-train.json").read_text())["trained_on"] == 4
    assert files_of(run.path) == before


def test_the_training_split_says_that_it_was_trained_on(config):
    run = fit_head(config)
    assert run.evaluation.lines()[0] == "4 segments of test"
    assert run.evaluation.trained_on == 0
    said = evaluate(run.path, "train", device="cpu").lines()[0]
    assert said == "8 segments of train; all 8 were trained on"
    same = fit_head(replace(config, val_split="train", out=config.out.with_name("same")))
    assert same.evaluation.lines()[0] == said


def test_a_run_without_the_list_is_known_by_its_digest(config, published):
    run = fit_head(config)
    (run.path / NAME).unlink()
    assert evaluate(run.path, "train", device="cpu").trained_on == 8
    before = files_of(run.path)
    assert evaluate(run.path, device="cpu").trained_on == 0
    assert files_of(run.path) == before
    published(1)
    unknown = evaluate(run.path, device="cpu")
    assert unknown.trained_on is None
    assert "whether they were trained on is not known" in unknown.lines()[0]
    assert files_of(run.path) == before
    assert (run.path / "metrics-test.json").exists()


def test_figures_of_other_rows_do_not_take_the_place_of_the_runs_own(
    config, labelled_store, published
):
    run = fit_head(config)
    before = files_of(run.path)
    evaluate(run.path, device="cpu")
    assert files_of(run.path) == before, "the same rows are the run's own"
    splits = ["train"] * 8 + ["test"] * 6
    labelled_store(splits, {"verb": [*[0, 1, 2] * 4, 1, 1]}, CLASSES)
    assert evaluate(run.path, device="cpu").segments == 6
    assert files_of(run.path) == before
    assert json.loads((run.path / "metrics-test.json").read_text())["segments"] == 6
    assert (run.path / "predictions-test.npz").exists()


def test_a_damaged_list_is_one_sentence(config):
    run = fit_head(config)
    (run.path / NAME).write_bytes(b"\xff{")
    with pytest.raises(EgofeatError, match=r"trained-on\.json was altered .*fit-head again"):
        evaluate(run.path, device="cpu")
    (run.path / "SHA256SUMS").unlink()
    with pytest.raises(RequestError, match=r"trained-on\.json is damaged.*fit-head again"):
        evaluate(run.path, device="cpu")
    fit_head(config)
    assert evaluate(run.path, "train", device="cpu").trained_on == 8


@pytest.fixture
def epic(labelled_store, tmp_path):
    """20 training and 10 validation segments, of which three each have no features."""
    counts = {"verb": 97, "noun": 300}
    rng = np.random.default_rng(0)
    labels = {target: rng.integers(0, n, 30).tolist() for target, n in counts.items()}
    classes = {target: [f"{target}{k}" for k in range(n)] for target, n in counts.items()}
    splits = ["train"] * 20 + ["val"] * 10

    def make(**changes):
        return labelled_store(splits, labels, classes, **changes)

    make.missing = {"without": {0, 1, 2, 27, 28, 29}}
    return make


def test_a_part_of_a_split_is_said_to_be_one(epic, tmp_path, capsys):
    store = epic(**epic.missing)
    run = fit_head(FitConfig(head="linear", store=store, out=tmp_path / "run", trainer=QUICK))
    said = capsys.readouterr().err
    assert "17 of 20 segments of train; 3 have no features" in said
    assert "7 of 10 segments of val; 3 have no features" in said
    first = run.evaluation.lines()[0]
    assert first == "7 of 10 segments of val; 3 have no features"
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert (metrics["segments"], metrics["segments_of_split"]) == (7, 10)
    again = evaluate(run.path, device="cpu")
    assert again.lines()[0] == first
    train = evaluate(run.path, "train", device="cpu").lines()[0]
    assert train == "17 of 20 segments of train; 3 have no features; all 17 were trained on"


def test_a_whole_split_has_both_numbers_too(epic, tmp_path, capsys):
    run = fit_head(FitConfig(head="linear", store=epic(), out=tmp_path / "run", trainer=QUICK))
    assert "no features" not in capsys.readouterr().err
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert (metrics["segments"], metrics["segments_of_split"]) == (10, 10)


@pytest.mark.parametrize(
    ("verbs", "nouns", "said", "counts"),
    [
        (range(20, 30), range(20, 30), "", (10, 10, 10)),
        (range(24, 30), range(24, 30), "; labelled and counted: 6", (6, 6, 6)),
        (
            range(22, 30),
            range(20, 25),
            "; labelled and counted: verb 8, noun 5, action 3",
            (8, 5, 3),
        ),
    ],
)
def test_how_many_segments_have_the_labels_that_figures_are_of(
    labelled_store, tmp_path, verbs, nouns, said, counts
):
    """20 training segments, all labelled, and 10 for validation."""
    labels = {
        target: [n % 2 if n < 20 or n in known else None for n in range(30)]
        for target, known in (("verb", verbs), ("noun", nouns))
    }
    classes = {target: ["one", "other"] for target in labels}
    store = labelled_store(["train"] * 20 + ["val"] * 10, labels, classes)
    run = fit_head(FitConfig(head="linear", store=store, out=tmp_path / "run", trainer=QUICK))
    assert run.evaluation.lines()[0] == f"10 segments of val{said}"
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics["labelled"] == dict(zip(("verb", "noun", "action"), counts, strict=True))
    assert metrics["segments"] == 10
    together = ensemble(EnsembleConfig(runs=(run.path, copied(run.path)), out=tmp_path / "both"))
    assert together.labelled == run.evaluation.labelled


def copied(run):
    return shutil.copytree(run, run.with_name("again"))


def test_the_challenge_wants_the_whole_split_unless_told(epic, tmp_path):
    store = epic(**epic.missing)
    run = fit_head(FitConfig(head="linear", store=store, out=tmp_path / "run", trainer=QUICK))
    out = tmp_path / "val.zip"
    with pytest.raises(RequestError, match=r"7 of 10 segments of val; 3 have no .*`incomplete`"):
        export_challenge(run.path, out, "val", device="cpu")
    assert not out.exists()
    words = ["export-challenge", str(run.path), "--split", "val", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--incomplete"])
    assert result.exit_code == 0
    assert result.stdout.startswith("7 of 10 segments of val; 3 have no features: ")
    assert out.exists()


def test_joined_stores_count_what_stands_in_all(epic, tmp_path):
    stores = (epic(without={20}), epic(without={21, 22}, weights="random:1", out="other"))
    run = fit_head(FitConfig(head="linear", store=stores, out=tmp_path / "run", trainer=QUICK))
    assert run.evaluation.lines()[0] == "7 of 10 segments of val; 3 have no features"


def test_a_part_set_aside_is_counted_by_its_groups(labelled_store, tmp_path):
    groups = [f"P{row // 5}" for row in range(20)]
    store = labelled_store(
        ["train"] * 20, {"verb": [0, 1] * 10}, CLASSES, groups=groups, without={0, 5, 10, 15}
    )
    run = fit_head(
        FitConfig(
            head="linear", store=store, val_from_train=0.25, out=tmp_path / "run", trainer=QUICK
        )
    )
    assert run.evaluation.lines()[0] == "4 of 5 segments of val; 1 has no features"
    train = evaluate(run.path, "train", device="cpu").lines()[0]
    assert train == "12 of 15 segments of train; 3 have no features; all 12 were trained on"


@pytest.mark.parametrize("more", [{}, {"logit_adjustment": 1.0}, {"class_weights": True}])
@pytest.mark.parametrize("names", [("cup",), ("cup", "pan", "knife")])
@pytest.mark.parametrize("targets", [("noun",), ("verb", "noun")])
def test_one_class_is_learnt(labelled_store, tmp_path, names, targets, more):
    labels = {"verb": [0, 1] * 12, "noun": [0] * 24}
    store = labelled_store(
        ["train"] * 16 + ["val"] * 8, labels, {"verb": ("take", "put"), "noun": names}
    )
    trainer = replace(QUICK, epochs=40, lr=0.05, **more)
    run = fit_head(
        FitConfig(
            head="linear", store=store, targets=targets, out=tmp_path / "run", trainer=trainer
        )
    )
    for figure in ("top1", "top3", "top5", "mean_class_accuracy"):
        assert run.evaluation.metrics[f"noun/{figure}"] == 1
    assert run.evaluation.warnings == ()


def test_what_is_refused_leaves_no_run(config, labelled_store, tmp_path):
    config = replace(config, val_split="val", out=tmp_path / "run")
    splits = ["train"] * 6 + ["val"] * 4
    verbs, nothing = [0, 1] * 5, [None] * 10
    both = {"verb": ("take", "put"), "noun": ("cup", "pan")}

    def refused(labels, splits=splits, **changes):
        store = labelled_store(splits, labels, both, out=f"store-{len(list(tmp_path.iterdir()))}")
        with pytest.raises(EgofeatError) as caught:
            fit_head(replace(config, store=store, **changes))
        assert not config.out.exists()
        return str(caught.value)

    noun_of_val = {"verb": verbs, "noun": [*[None] * 6, 0, 1, 0, 1]}
    assert "no label for target 'noun'" in refused(noun_of_val)
    assert "`targets` verb" in refused(noun_of_val)
    assert "with a label for target 'noun'" in refused(noun_of_val, targets=("noun",))
    assert "has no labels" in refused({"verb": nothing, "noun": nothing})
    only_train = refused({"verb": verbs}, splits=["train"] * 6 + ["test"] * 4)
    assert "`val_from_train`" in only_train
    assert "resplit" in only_train
    slow = replace(QUICK, lr=1e30, clip_norm=0, optimizer="sgd")
    told = refused({"verb": verbs}, trainer=slow)
    assert "lower `lr` (1e+30), or clip the gradients with `clip_norm` 1" in told


def test_a_training_that_diverged_makes_room_for_another(config, tmp_path):
    wild = replace(QUICK, lr=1e30, clip_norm=0, optimizer="sgd")
    config.out.mkdir()
    (config.out / "notes.txt").write_text("mine")
    (config.out / "notes.txt").unlink()
    with pytest.raises(EgofeatError, match="not finite"):
        fit_head(replace(config, trainer=wild))
    assert fit_head(config).path == config.out


def test_evaluate_refuses_a_split_without_a_name(config):
    run = fit_head(config)
    with pytest.raises(RequestError, match="has no split ''"):
        evaluate(run.path, "", device="cpu")


def test_the_benchmarks_target_is_the_one_that_is_trained(config, labelled_store, tmp_path):
    both = {"action": ("open box", "cut bread"), "verb": ("open", "cut"), "noun": ("box", "bread")}
    labels = {target: [0, 1] * 6 for target in both}
    splits = ["train"] * 8 + ["test"] * 4
    store = labelled_store(splits, labels, both, benchmark=("action",), out="marked")
    run = fit_head(replace(config, store=store))
    assert read_config(run.path).targets == ("action",)
    named = fit_head(replace(config, store=store, targets=("verb",), out=tmp_path / "verb"))
    assert named.config.targets == ("verb",)
    plain = labelled_store(splits, labels, both, out="plain")
    unmarked = fit_head(replace(config, store=plain, out=tmp_path / "plain-run"))
    assert unmarked.config.targets == ("verb", "noun")


def test_one_segment_is_not_several(labelled_store, tmp_path):
    store = labelled_store(["train", "train", "val"], {"verb": [0, 1, 0]}, CLASSES)
    run = fit_head(FitConfig(head="linear", store=store, out=tmp_path / "run", trainer=QUICK))
    assert run.evaluation.lines()[0] == "1 segment of val"


@pytest.mark.parametrize(("taught", "said"), [([1, 1], True), ([1, 0], False)])
def test_a_target_of_which_one_class_is_taught_is_said(
    labelled_store, tmp_path, capsys, taught, said
):
    """Accuracies are of no use then, whether they are 0 or 100 %."""
    labels = {"verb": [*taught, 0, 1, 2]}
    store = labelled_store(["train", "train", "val", "val", "val"], labels, CLASSES)
    fit_head(FitConfig(head="linear", store=store, out=tmp_path / "run", trainer=QUICK))
    told = "'train' has one class of verb, 'put': heads learn no other" in capsys.readouterr().err
    assert told is said
