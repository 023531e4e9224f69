"""What is published of a backbone's accuracy and cost: with its weights, or in its paper alone."""

from dataclasses import dataclass

from egofeat.extract.backbones import Spec


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Figures of one publication."""

    accuracy: float | None
    """Per cent."""
    metric: str
    trained_on: str
    views: tuple[int, int]
    """(clips, crops) of the run that the accuracy is of."""
    multiply_adds: float | None
    """Of one view, in units of 10^9."""


_PAPERS = {
    # Feichtenhofer et al. (2019), table 2; weights were never released.
    "slowfast_nln_16x8_r101": Publication(
        accuracy=79.8,
        metric="top-1",
        trained_on="Kinetics-400",
        views=(10, 3),
        multiply_adds=234.0,
    ),
}


def publication(spec: Spec, weights: str) -> Publication | None:
    """The figures of the official weights of that name, else of the default ones, or the paper's.

    Args:
        spec: of the backbone.
        weights: as chosen by a person; random ones and files have no figures of their own.
    """
    record = min(spec.weights, key=lambda record: record.name != weights, default=None)
    if record is None:
        return _PAPERS.get(spec.name)
    return Publication(
        accuracy=record.accuracy,
        metric=record.metric,
        trained_on=record.trained_on,
        views=record.views,
        multiply_adds=record.multiply_adds,
    )
