"""Networks of papers that are not built here, for the comparison: what is published of them.

All of Kinetics-400, each as its source gives it; sources differ in what they count.
"""

from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One network; what is None is not published there."""

    name: str
    multiply_adds_view: float | None
    """In units of 10^9; of two streams their sum, without that of computing the flow."""
    views: int | None
    """Of a run."""
    accuracy: float
    """Top-1, per cent."""
    parameters: int | None = None
    source: str
    giga_run: float | None = None
    """Multiply-adds of a run, where the source gives these alone."""
    measure: str = "top-1, Kinetics-400"

    @property
    def multiply_adds_run(self) -> int | None:
        """Of all views."""
        if self.giga_run is not None:
            return round(self.giga_run * 1e9)
        if self.multiply_adds_view is None or self.views is None:
            return None
        return round(self.multiply_adds_view * self.views * 1e9)


_SLOWFAST = "Feichtenhofer et al., 2019, arXiv:1812.03982, table 2"
_THESIS = "Mahler, Spatio-Temporal Feature Extraction for Action Recognition in Videos, 2020"
_of_slowfast = partial(Publication, source=_SLOWFAST)
# Its parameters are of the thesis, tables 7.2 and 7.3, which compares these networks.
_r2plus1d_34 = partial(_of_slowfast, views=115)
_of_zoo = partial(Publication, views=None, source="facebookresearch/VMZ, model zoo")
_r2plus1d_152 = partial(_of_zoo, multiply_adds_view=329.1, parameters=118_000_000)

PUBLICATIONS = (
    _of_slowfast(
        name="non-local R101, 32 frames",
        multiply_adds_view=359,
        views=30,
        accuracy=77.7,
        parameters=59_112_656,
    ),
    _of_slowfast(
        name="non-local R50, 32 frames",
        multiply_adds_view=282,
        views=30,
        accuracy=76.5,
        parameters=35_401_936,
    ),
    _r2plus1d_34(name="R(2+1)D-34", multiply_adds_view=152, accuracy=72.0, parameters=63_747_500),
    # Two networks of that size, one of colours and one of flow, whose scores are summed.
    _r2plus1d_34(name="R(2+1)D-34 and flow", multiply_adds_view=304, accuracy=73.9),
    _of_slowfast(name="I3D, ImageNet", multiply_adds_view=108, views=None, accuracy=72.1),
    _of_slowfast(name="I3D and flow, ImageNet", multiply_adds_view=216, views=None, accuracy=75.7),
    _of_slowfast(name="I3D and flow", multiply_adds_view=216, views=None, accuracy=71.6),
    _of_zoo(
        name="R(2+1)D-34, IG-65M",
        multiply_adds_view=199.0,
        accuracy=80.0,
        parameters=63_600_000,
    ),
    _r2plus1d_152(name="R(2+1)D-152", accuracy=77.3),
    _r2plus1d_152(name="R(2+1)D-152, Sports-1M", accuracy=79.5),
    _r2plus1d_152(name="R(2+1)D-152, IG-65M", accuracy=81.6),
    Publication(
        name="R(2+1)D-152, IG-65M, of the thesis",
        multiply_adds_view=None,
        views=None,
        giga_run=8064,
        accuracy=82.5,
        parameters=118_277_110,
        source=_THESIS,
    ),
)
"""Before the comma the network, after it what it was trained on before Kinetics."""
