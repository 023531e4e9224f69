"""Another split than the published one: whole groups go to one side."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Annotated

from pydantic import Field

from egofeat.adapters.entry import takes
from egofeat.errors import ManifestError
from egofeat.segments import Segment, Segments, texts
from egofeat.words import nearest, quoted

Share = Annotated[
    list[str] | Annotated[float, Field(gt=0, lt=1)],
    takes(
        "a list of group names (quote those that look like numbers) or a fraction between 0 and 1"
    ),
]
"""What goes to a split: the groups named, or about this fraction of the groups."""


def resplit(segments: Iterable[Segment], shares: Mapping[str, Share]) -> Segments:
    """Segments with the splits of `shares` in place of their own; what is left is `train`.

    A segment without a group is grouped with those of the same video. A fraction f of n
    groups means round(f·n) of them, one at least, in the order of the sha256 of their
    names: the same on every machine, and a group added later moves one other at most.
    Groups named in a list are taken out first.

    Raises:
        ManifestError: a name is no group or goes to two splits, or nothing is left for `train`.

    """
    columns = Segments.of(segments)
    pairs = zip(columns.groups.tolist(), columns.videos.tolist(), strict=True)
    of_rows = [group or video for group, video in pairs]
    groups = sorted(set(of_rows), key=_rank)
    split_of = _named(shares, groups)
    free = iter([group for group in groups if group not in split_of])
    for split, share in shares.items():
        if isinstance(share, float):
            count = max(1, round(share * len(groups)))
            split_of |= dict.fromkeys(islice(free, count), split)
    if len(split_of) == len(groups) and "train" not in split_of.values():
        raise ManifestError(
            f"key 'resplit' leaves nothing to train on, since there are {len(groups)} group(s): "
            "give smaller shares, or a 'group' that makes more groups"
        )
    return replace(columns, splits=texts(split_of.get(group, "train") for group in of_rows))


def _rank(group: str) -> tuple[str, str]:
    return hashlib.sha256(group.encode()).hexdigest(), group


def _named(shares: Mapping[str, Share], groups: list[str]) -> dict[str, str]:
    """Group to split, for the groups that are listed by name."""
    split_of: dict[str, str] = {}
    for split, share in shares.items():
        if isinstance(share, float):
            continue
        for group in share:
            if group not in groups:
                raise ManifestError(
                    f"key 'resplit.{split}' names the group {quoted(group)}, which is not in "
                    f"the data: {nearest(group, groups)}"
                )
            if split_of.setdefault(group, split) != split:
                raise ManifestError(
                    f"key 'resplit' gives the group {quoted(group)} to {quoted(split_of[group])} "
                    f"and to {quoted(split)}: remove it from one"
                )
    return split_of
