"""How good a head's predictions are, as (name, value) pairs; every value a fraction in 0…1.

Names are `<target>/<figure>`, `<target>/tail/top1`, `<target>/unseen/top1`; `action` is the
pair of verb and noun. Of a target with several classes a row there is `<target>/mAP` alone.
"""

from collections.abc import Iterator, Mapping, Sequence, Set

import torch
from torch import Tensor

TOP_K = (1, 3, 5)
FEW = 0.25
"""A head that uses fewer than this fraction of the classes that occur is warned about."""


def metrics(
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    *,
    tail: Mapping[str, Set[int]] | None = None,
    unseen: Tensor | None = None,
) -> Iterator[tuple[str, float]]:
    """Yield every figure that these predictions have.

    Args:
        logits: target to `[N,classes]`.
        labels: target to `[N]`, -1 where a segment is not annotated (left out).
        tail: target to its tail classes. A segment is of the tail if its class is; for
            the action, if its verb or its noun is (Damen et al., 2022, section 5.1).
        unseen: `[N]` bool, segments of participants that are in no training split.
    """
    subsets = {} if unseen is None else {"unseen": unseen}
    tails = {
        target: torch.isin(labels[target], torch.tensor(sorted(classes)))
        for target, classes in (tail or {}).items()
        if target in labels
    }
    for target in logits:
        more = {"tail": tails[target]} if target in tails else {}
        yield from target_metrics(target, logits[target], labels[target], more | subsets)
    if {"verb", "noun"} <= set(logits) and "action" not in logits:
        both = [tails[target] for target in ("verb", "noun") if target in tails]
        more = {"tail": torch.stack(both).any(dim=0)} if both else {}
        yield from action_metrics(logits, labels, more | subsets)


def target_metrics(
    target: str,
    logits: Tensor,
    labels: Tensor,
    subsets: Mapping[str, Tensor],
    tops: Sequence[int] = TOP_K,
) -> Iterator[tuple[str, float]]:
    """Yield top-k for each k, mean class accuracy (of classes that occur), top-1 of each subset.

    Of labels `[N,classes]` bool, `mean_average_precision`; subsets are left out.
    """
    if labels.ndim == 2:
        if labels.any():
            yield f"{target}/mAP", mean_average_precision(logits, labels)
        return
    present = labels >= 0
    hits = best_classes(logits[present], max(tops)) == labels[present][:, None]
    yield from _figures(target, hits, labels[present], _of_rows(subsets, present), tops)


def best_classes(logits: Tensor, k: int) -> Tensor:
    """Return the classes of the k greatest logits `[N,classes]`, best first, `[N,k]`."""
    if k == 1:  # some fifty times as fast as to sort
        return logits.argmax(dim=1, keepdim=True)
    return logits.topk(min(k, logits.shape[1])).indices


def mean_average_precision(logits: Tensor, labels: Tensor) -> float:
    """Return the mean over classes that occur of the average precision of all rows.

    That of a class is the area under its steps of precision and recall, rows of equal score taken
    together.

    Args:
        logits: `[N,classes]`.
        labels: `[N,classes]` bool, of which one at least is true.
    """
    # As long to import as torch, and few heads have several classes a row.
    from torchmetrics.functional.classification import (  # noqa: PLC0415
        binary_average_precision,
    )

    occur = labels.any(dim=0)
    # Doubles: torchmetrics takes the sigmoid, which in singles makes equals of large logits.
    pairs = zip(logits.double().T[occur], labels.long().T[occur], strict=True)
    precisions = [binary_average_precision(of_class, truth) for of_class, truth in pairs]
    return float(torch.stack(precisions).mean())


def action_metrics(
    logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], subsets: Mapping[str, Tensor]
) -> Iterator[tuple[str, float]]:
    """Yield the same for verb-noun pairs, by the product of the two probabilities."""
    present = (labels["verb"] >= 0) & (labels["noun"] >= 0)
    pairs = top_pairs(logits["verb"][present], logits["noun"][present], max(TOP_K))
    truth = torch.stack([labels["verb"][present], labels["noun"][present]], dim=1)
    hits = (pairs == truth[:, None]).all(dim=2)
    _, action = torch.unique(truth, dim=0, return_inverse=True)
    yield from _figures("action", hits, action, _of_rows(subsets, present), TOP_K)


def _figures(
    target: str,
    hits: Tensor,
    classes: Tensor,
    subsets: Mapping[str, Tensor],
    tops: Sequence[int],
) -> Iterator[tuple[str, float]]:
    """Yield the figures of rows; none of no rows.

    Args:
        target: whose name they carry.
        hits: whether each of a row's guesses, the best first, is right, `[N,K]` bool.
        classes: true class of each row `[N]`.
        subsets: name to which rows are of it, `[N]` bool.
        tops: k of each top-k.
    """
    if not len(hits):
        return
    for k in tops:
        yield f"{target}/top{k}", float(hits[:, :k].any(dim=1).double().mean())
    counts = classes.bincount()
    right = classes.bincount(hits[:, 0].double())
    occur = counts > 0
    yield f"{target}/mean_class_accuracy", float((right[occur] / counts[occur]).mean())
    for name, subset in subsets.items():
        if subset.any():
            yield f"{target}/{name}/top1", float(hits[subset, 0].double().mean())


def _of_rows(subsets: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: subset[rows] for name, subset in subsets.items()}


def top_pairs(verb: Tensor, noun: Tensor, k: int) -> Tensor:
    """Return the k likeliest (verb, noun) pairs of all, best first, `[N,k,2]`.

    A pair of the k best has its verb among the k best verbs and its noun among the k
    best nouns, so k·k candidates stand for all (29,100 in EPIC-KITCHENS-100). Softmax
    shifts all logits of a segment alike, so sums of logits order as products of
    probabilities do.

    Args:
        verb: logits `[N,verbs]`.
        noun: logits `[N,nouns]`.
        k: how many; fewer come back when there are fewer pairs.
    """
    verb_score, verb_class = verb.double().topk(min(k, verb.shape[1]))
    noun_score, noun_class = noun.double().topk(min(k, noun.shape[1]))
    joint = (verb_score[:, :, None] + noun_score[:, None, :]).flatten(1)
    best = joint.topk(min(k, joint.shape[1])).indices
    nouns = noun_score.shape[1]
    return torch.stack(
        [verb_class.gather(1, best // nouns), noun_class.gather(1, best % nouns)], dim=2
    )


def collapse_warning(target: str, logits: Tensor, labels: Tensor) -> str | None:
    """Return a sentence when a head predicts few of the classes that occur, else None."""
    occur = len(torch.unique(labels[labels >= 0]))
    predicted = len(torch.unique(logits[labels >= 0].argmax(dim=1)))
    if occur < 2 or (predicted > 1 and predicted >= FEW * occur):
        return None
    return (
        f"predicts {predicted} of {logits.shape[1]} {target} classes; {occur} occur here: "
        "the head prefers frequent classes, try logit adjustment, balanced sampling or class "
        "weights"
    )
