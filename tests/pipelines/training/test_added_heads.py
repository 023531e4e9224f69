"""A head of one's own that is wrong: one sentence that names it, before anything is written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import HEADS, Examples, Head, TrainerConfig, build_head, predict, train
from egofeat.heads.training.feed import as_features
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.predict import logits_of

QUICK = TrainerConfig(epochs=2, lr=0.02, device="cpu")


class Own(Head):
    """Sound; others below are made of it."""

    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape[1], classes, dropout=0.0)

    def embed(self, features):
        return features.mean(dim=1)


class WithoutWeights(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.classifiers = nn.ModuleList()

    def classify(self, embedding):
        return {t: embedding[:, :count] for t, count in self.class_totals.items()}


class Frozen(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.requires_grad_(False)


class WithSteps(Own):
    def embed(self, features):
        return features


class AlongTime(Own):
    def embed(self, features):
        return features.mean(dim=2)


class OneTarget(Own):
    def classify(self, embedding):
        return super().classify(embedding)["verb"]


class Whole(Own):
    def classify(self, embedding):
        return {t: of.long() for t, of in super().classify(embedding).items()}


class NotANumber(Own):
    def embed(self, features):
        return features.mean(dim=1) * float("nan")


class NotANumberInEvaluation(Own):
    def embed(self, features):
        return features.mean(dim=1) / float(self.training)


class OfAnEvenNumber(Own):
    def embed(self, features):
        return features.reshape(2, -1, *features.shape[1:]).flatten(0, 1).mean(dim=1)


class OfSeveral(Own):
    def embed(self, features):
        return features.mean(dim=1).squeeze()


class BuiltByItsFirstRows(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.layer = None

    def embed(self, features):
        if self.layer is None:
            self.layer = nn.Linear(6, 6)
        return self.layer(features.mean(dim=1))


class Grows(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.register_buffer("seen", torch.zeros(0, 6))

    def embed(self, features):
        vectors = features.mean(dim=1)
        if self.training:
            self.seen = torch.cat([self.seen, vectors])
        return vectors


class MoreClasses(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, {t: count + 2 for t, count in classes.items()})


class Raises(Own):
    def embed(self, features):
        raise KeyError("what\nelse")


class RaisesLater(Own):
    def embed(self, features):
        if not self.training and len(features) > 1:
            raise ValueError
        return super().embed(features)


class CannotBeBuilt(Own):
    def __init__(self, feature_shape, classes):
        raise LookupError("no table")


class Lazy(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.layer = nn.LazyLinear(6)


class KeepsAList(Own):
    def get_extra_state(self):
        return [1, 2]

    def set_extra_state(self, state): ...


class OptionOfAList(Own):
    def __init__(self, feature_shape, classes, *, widths: list[int] = [8]):  # noqa: B006
        super().__init__(feature_shape, classes)


class OptionOfNoType(Own):
    def __init__(self, feature_shape, classes, *, width: "Nowhere" = 8):  # noqa: F821
        super().__init__(feature_shape, classes)


@pytest.fixture
def asked(verb_noun_store, tmp_path, monkeypatch):
    def make(build):
        monkeypatch.setitem(HEADS.own, "own", build)
        return FitConfig(
            head="own",
            store=verb_noun_store(),
            targets=("verb",),
            out=tmp_path / "run",
            trainer=QUICK,
        )

    return make


LINE = r"\(.*test_added_heads.py line \d+\)"


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (WithoutWeights, "no trainable weight has a part in the logits of head '.*': give it one"),
        (Frozen, "no trainable weight has a part in the logits of head '.*': give it one"),
        (
            WithSteps,
            r"gives {'verb': \(3, 4, 3\)} for 3 rows in training mode, .* {'verb': \(3, 3\)}",
        ),
        (
            MoreClasses,
            r"gives {'verb': \(3, 5\)} for 3 rows in training mode, .* {'verb': \(3, 3\)}",
        ),
        (OneTarget, r"gives \(3, 3\) for 3 rows .* must give logits of {'verb': \(3, 3\)}"),
        (Whole, r"gives {'verb': 'torch.int64'} for 3 rows in training mode, and must give"),
        (
            NotANumber,
            "logits that are not finite with its fresh weights in training mode: correct it",
        ),
        (
            AlongTime,
            "raised RuntimeError: mat1 and mat2 shapes cannot be multiplied .*: correct it",
        ),
        (NotANumberInEvaluation, "not finite with its fresh weights in evaluation mode: correct"),
        (OfAnEvenNumber, rf"raised RuntimeError: shape '\[2, .*invalid.* {LINE}: correct it"),
        (OfSeveral, r"gives {'verb': \(3,\)} for 1 row in evaluation mode, and must give .*1, 3\)"),
        (BuiltByItsFirstRows, r"shapes in its state_dict .* \(layer.bias, layer.weight\): make"),
        (Grows, r"names or shapes in its state_dict once it has computed \(seen\): make all of"),
        (Raises, rf"raised KeyError: 'what\\nelse' {LINE}: correct it"),
        (CannotBeBuilt, f"raised LookupError: no table {LINE}: correct it"),
        (Lazy, "raised TypeError: nn.Lazy… has no shapes yet, which feature_shape tells"),
        (KeepsAList, "has _extra_state in its state_dict, which is no tensor: keep it elsewhere"),
        (
            OptionOfAList,
            r"widths of head 'own' is \[8\]: an option is a number, a word, true, false",
        ),
        (OptionOfNoType, "raised NameError: name 'Nowhere' is not defined.*: correct it"),
    ],
)
def test_a_wrong_head_is_one_sentence_before_anything_is_written(asked, build, says):
    config = asked(build)
    with pytest.raises(EgofeatError, match=says) as told:
        fit_head(config)
    assert "\n" not in str(told.value)
    assert not config.out.exists()


class Exponential(Own):
    def embed(self, features):
        return features.exp().mean(dim=1)


def test_a_head_is_judged_by_rows_as_large_as_it_will_read(asked, monkeypatch):
    """The exponential of a thousand is infinite; normalized, features are no such thousands."""
    large = np.random.default_rng(0).normal(1e3, 10, (100, 4, 6)).astype(np.float32)
    monkeypatch.setattr("egofeat.pipelines.training.fit.as_features", lambda _: as_features(large))
    config = asked(Exponential)
    with pytest.raises(RequestError, match="gives logits that are not finite"):
        fit_head(config)
    assert fit_head(replace(config, normalize=True)).path.exists()


class OfHalfPrecision(Own):
    """As one that a GPU alone computes, it asks where and how."""

    def embed(self, features):
        if self.training and not torch.is_autocast_enabled("cpu"):
            raise RuntimeError
        return super().embed(features)


def test_a_head_is_judged_in_the_arithmetic_of_its_training(asked):
    config = asked(OfHalfPrecision)
    assert fit_head(replace(config, trainer=replace(QUICK, amp="bf16")))
    with pytest.raises(EgofeatError, match="OfHalfPrecision' raised RuntimeError"):
        fit_head(replace(config, out=config.out.with_name("other")))


def test_what_a_head_raises_while_it_is_trained_is_told_with_its_line(asked):
    with pytest.raises(EgofeatError, match=f"RaisesLater' raised ValueError: {LINE}: correct it"):
        fit_head(asked(RaisesLater))


def test_what_a_head_raises_in_a_video_is_told_too():
    with pytest.raises(EgofeatError, match=f"Raises' raised KeyError: .* {LINE}: correct it"):
        logits_of(Raises((4, 6), {"verb": 3}), [torch.zeros(1, 4, 6)], torch.device("cpu"))


def test_what_others_raise_while_a_head_is_trained_is_not_laid_to_it(asked):
    def enough(_record):
        raise StopIteration

    with pytest.raises(StopIteration):
        fit_head(asked(Own), on_epoch=enough)


class Tied(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.again = self.classifiers[0]


class LooksAtNumbers(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.half = float(torch.linspace(0, 1, 3)[1])


class NamesItsClasses(Own):
    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.classes = [*classes]


class Normed(Own):
    """Its batch norm cannot be trained with one row, and its spectral norm has buffers."""

    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
        self.norms = nn.Sequential(nn.BatchNorm1d(6), layer)

    def embed(self, features):
        return self.norms(features.mean(dim=1))


@pytest.mark.parametrize("build", [Own, Tied, LooksAtNumbers, NamesItsClasses, Normed])
def test_a_sound_head_is_trained_goes_on_and_is_loaded(asked, build):
    config = asked(build)

    def killed(_record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_head(config, on_epoch=killed)
    run = fit_head(config)
    again = load_run(run.path).head.state_dict()
    assert all(torch.equal(again[name], of) for name, of in run.head.state_dict().items())
    assert np.isfinite(run.evaluation.metrics["verb/top1"])


def test_a_head_that_reads_what_nobody_has_is_refused(monkeypatch):
    monkeypatch.setattr(Own, "reads", "person", raising=False)
    with pytest.raises(RequestError, match="must be one that reads segments, persons"):
        build_head(f"{__name__}:Own", (4, 6), {"verb": 3})


class Cosine(Own):
    """Its classifier is no linear layer."""

    def __init__(self, feature_shape, classes):
        super().__init__(feature_shape, classes)
        self.classifiers = nn.ModuleList(nn.Sequential(one) for one in self.classifiers)


def test_classes_weigh_as_asked_whatever_layer_classifies():
    """All rows but one are of one class."""
    features = np.ones((20, 1, 2), np.float32)
    labels = np.array([0] * 19 + [1])
    task = Examples(features, {"verb": labels}, np.arange(20), np.arange(20))
    config = replace(QUICK, epochs=60, lr=0.1, l2=0.0, class_weights=True, class_weight_cap=20.0)
    shares = []
    for build in (Own, Cosine):
        torch.manual_seed(0)
        head = build((1, 2), {"verb": 2})
        train(head, task, config)
        shares.append(predict(head, features)["verb"].softmax(dim=1)[0, 1].item())
    assert shares == pytest.approx([0.5, 0.5], abs=0.05)
