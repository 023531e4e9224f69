"""Networks of papers that are not built here, for the comparison: what is published of them.

All of Kinetics-400, as table 2 of Feichtenhofer et al. (2019, arXiv:1812.03982) lists them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One network; what is None is not published there."""

    name: str
    multiply_adds_view: float
    """In units of 10^9; of two streams their sum, without that of computing the flow."""
    views: int
    """Of a run."""
    accuracy: float
    """Top-1, per cent."""
    parameters: int | None = None
    measure: str = "top-1, Kinetics-400"

    @property
    def multiply_adds_run(self) -> int:
        """Of all views."""
        return round(self.multiply_adds_view * self.views * 1e9)


PUBLICATIONS = (
    Publication(
        name="non-local R101, 32 frames",
        multiply_adds_view=359,
        views=30,
        accuracy=77.7,
        parameters=59_112_656,
    ),
    Publication(
        name="non-local R50, 32 frames",
        multiply_adds_view=282,
        views=30,
        accuracy=76.5,
        parameters=35_401_936,
    ),
    Publication(
        name="R(2+1)D-34", multiply_adds_view=152, views=115, accuracy=72.0, parameters=63_747_500
    ),
    # Two networks of that size, one of colours and one of flow, whose scores are summed.
    Publication(name="R(2+1)D-34 and flow", multiply_adds_view=304, views=115, accuracy=73.9),
)
