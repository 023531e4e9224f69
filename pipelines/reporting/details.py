"""What a configuration does with each class of a target, and the clips that it is most wrong on."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.heads.measures.classes import ByClass, by_class, class_scores, curve
from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import read_answers

_CURVES = 24
"""Of so many classes, the most frequent, there is a curve."""
_CHOSEN = 4
"""Of them are drawn at first."""
_STEPS = 40
"""Of a curve."""


def details(of: Configuration, target: str, split: str | None, clips: int) -> dict[str, Any]:
    """All that the page shows of a configuration and a target, by the mean softmax of its seeds.

    Args:
        of: the configuration.
        target: of its heads.
        split: on which they were evaluated; None is the validation split.
        clips: how many to show.

    Raises:
        RequestError: a run has no predictions that can be read.
    """
    said = read_answers(of.runs, target, split)
    logits, truth = said.logits[0], said.truth[:, 0]
    classes = by_class(logits, truth)
    shown, places = _shown(classes)
    frequent = sorted(np.flatnonzero(classes.instances), key=lambda k: -classes.instances[k])
    curves = _curves(class_scores(logits), truth.numpy(), frequent[:_CURVES])
    macro = classes.macro()
    occur = classes.instances > 0
    return {
        "instances": classes.instances.tolist(),
        "predicted": classes.predicted.tolist(),
        "precision": rounded(classes.precision),
        "recall": rounded(classes.recall),
        "f1": rounded(classes.f1),
        "ap": rounded(classes.average_precision),
        "macro": {
            "accuracy": float(classes.right.sum() / max(1, classes.instances.sum())),
            "recall": float(np.mean(classes.recall[occur])) if occur.any() else None,
            "precision": macro.get("macro_precision"),
            "F1": macro.get("macro_F1"),
            "average precision": macro.get("macro_average_precision"),
        },
        "listed": shown.tolist(),
        "absent": int((~occur[shown]).sum()),
        "shown": shown.tolist(),
        "cells": [
            [places[row], places[column], int(classes.confusion[row, column])]
            for row, column in np.argwhere(classes.confusion).tolist()
        ],
        "curves": curves,
        "chosen": [int(label) for label in frequent[:_CHOSEN]],
        **_wrong(said.ids, logits, truth, clips),
    }


def rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Values to four digits, None where there is none."""
    return [None if np.isnan(of) else round(of, 4) for of in values.tolist()]


def _shown(classes: ByClass) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Classes that occur or are predicted; and which place each has among them."""
    shown = np.flatnonzero(classes.instances + classes.predicted)
    return shown, {label: place for place, label in enumerate(shown.tolist())}


def _curves(
    scores: NDArray[np.float64], truth: NDArray[np.int64], labels: list[np.int64]
) -> dict[str, Any]:
    """Class to recall and precision, at most so many steps of them."""
    found = {}
    for label in labels:
        precision, recall = curve(scores[:, label], truth == label)
        last = np.searchsorted(recall, 1.0)  # all are found: what follows says nothing more
        steps = np.unique(np.linspace(0, last, _STEPS).round().astype(np.int64))
        found[str(label)] = [recall[steps].round(4).tolist(), precision[steps].round(4).tolist()]
    return found


def _wrong(
    ids: NDArray[np.str_], logits: torch.Tensor, truth: torch.Tensor, clips: int
) -> dict[str, list[dict[str, Any]]]:
    """Clips that are wrong: those that it is most sure of, and of the rest the least likely."""
    probabilities = logits.double().softmax(dim=1)
    sureness, guess = probabilities.max(dim=1)
    of_truth = probabilities.gather(1, truth[:, None])[:, 0]
    wrong = torch.nonzero(guess != truth)[:, 0]
    sure = wrong[torch.argsort(-sureness[wrong], stable=True)][:clips].tolist()
    rest = wrong[torch.argsort(of_truth[wrong], stable=True)].tolist()
    unlikely = [row for row in rest if row not in set(sure)][:clips]

    def told(row: int) -> dict[str, Any]:
        return {
            "id": str(ids[row]),
            "truth": int(truth[row]),
            "guess": int(guess[row]),
            "p": round(float(sureness[row]), 4),
            "q": round(float(of_truth[row]), 4),
        }

    return {"sure": [told(row) for row in sure], "unlikely": [told(row) for row in unlikely]}
