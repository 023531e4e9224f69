"""Several published splits of one data set: one of them counts, all of them are kept.

Splits are labels and not features, so that one extraction serves every published split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment

Listed = Sequence[Segment]


def with_published(
    splits: Mapping[str, Listed], chosen: str, bare: Dataset, deal: Callable[[Listed], Listed]
) -> Dataset:
    """The data set by its chosen split; what the others say of each segment stands beside.

    Args:
        splits: name of each published split to its segments.
        chosen: whose splits count; segments that it leaves out come last and have none.
        bare: all the rest of the data set.
        deal: gives some segments of a published split another one, as the manifest asks. Of the
            others, those that cannot be dealt out so stay as they were published.

    Raises:
        ManifestError: the chosen split cannot be dealt out so.
    """
    dealt = {name: deal(of) if name == chosen else _try(deal, of) for name, of in splits.items()}
    segments = {segment.id: segment for segment in dealt[chosen]}
    for others in dealt.values():
        for one in others:
            segments.setdefault(one.id, replace(one, split=""))
    published = {}
    for name, of in dealt.items():
        split_of = {one.id: one.split for one in of}
        published[name] = tuple(split_of.get(id_, "") for id_ in segments)
    return replace(
        bare, segments=tuple(segments.values()), published=published if len(published) > 1 else {}
    )


def _try(deal: Callable[[Listed], Listed], segments: Listed) -> Listed:
    try:
        return deal(segments)
    except ManifestError:
        return segments
