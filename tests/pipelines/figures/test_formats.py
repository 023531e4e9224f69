"""Figures as a paper needs them, beside the PNG."""

import numpy as np
import pytest

from egofeat.pipelines.comparing.compare import in_words
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.classes import confusion_matrix


@pytest.mark.drawn
@pytest.mark.parametrize(("form", "begins"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_written_in_another_format_too(form, begins, tmp_path):
    def draw(folder):
        with style.also(form):
            labels = np.array([0, 1, 1])
            return confusion_matrix(labels, labels, ["open", "close"], folder / "a.png", "verb")

    first, again = draw(tmp_path / "first"), draw(tmp_path / "again")
    content = first.with_suffix(f".{form}").read_bytes()
    assert content.startswith(begins)
    assert first.read_bytes().startswith(b"\x89PNG")
    assert content == again.with_suffix(f".{form}").read_bytes(), "the same figure, the same file"
    confusion_matrix([0], [0], ["open"], tmp_path / "plain.png", "verb")
    assert [path.name for path in tmp_path.glob("plain.*")] == ["plain.png"]


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("verb/top1", "Verb, top-1 accuracy (%)"),
        ("verb/mean_class_accuracy", "Verb, mean class accuracy (%)"),
        ("action/mAP", "Action, mAP (%)"),
        ("verb/unseen/top1", "Verb unseen, top-1 accuracy (%)"),
    ],
)
def test_metrics_are_named_in_words(figure, words):
    assert in_words(figure) == words
