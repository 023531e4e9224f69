"""What a network sees in place of colours: which motion, from which frames, in what numbers.

How each method computes it is in `egofeat.extract.flow`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from egofeat.recipe.form import Part

BOUND = 20.0
"""Pixels between two frames; faster motion is cut off in 8 bits."""
LARGEST = BOUND * 2**0.5
"""Pixels: the magnitude of (u, v) where both are at the end of their 8 bits."""
Values = Literal["uint8", "float32"]
"""`uint8`: cut off at the bound and rounded; `float32`: neither."""


class _Flow(Part):
    """Pixels (u, v) from each frame to the next."""

    channels: ClassVar[int] = 2
    bound: ClassVar[float] = BOUND


@dataclass(frozen=True)
class Farneback(_Flow):
    """Farnebäck's flow (2003), the quick one; settings are OpenCV's, as in its own example."""

    scale: float = 0.5
    levels: int = 3
    window: int = 15
    iterations: int = 3
    neighbourhood: int = 5
    sigma: float = 1.2

    name: ClassVar[str] = "farneback"


@dataclass(frozen=True)
class TVL1(_Flow):
    """Dual TV-L1 flow, the usual one of action recognition; settings and values are OpenCV's."""

    tau: float = 0.25
    attachment: float = 0.15
    """λ: weight of the data against smoothness."""
    theta: float = 0.3
    scales: int = 5
    warps: int = 5
    epsilon: float = 0.01

    name: ClassVar[str] = "tvl1"


@dataclass(frozen=True)
class Raft(_Flow):
    """RAFT of one size with certain weights."""

    size: Literal["large", "small"] = "large"
    weights: str = "random:0"
    """`sha256:<hex>` of torchvision's own, or `random:<seed>`."""
    updates: int = 12

    @property
    def name(self) -> str:
        """`raft`, or `raft_small`."""
        return "raft" if self.size == "large" else "raft_small"


@dataclass(frozen=True)
class Shipped(_Flow):
    """Flow that a data set ships as frames: what is decoded is flow already, in 8 bits.

    Its values stay pixels of the frames as shipped, whatever size they are made.
    """

    name: ClassVar[str] = "frames"


@dataclass(frozen=True)
class Difference(Part):
    """RGB difference (TSN; Wang et al., ECCV 2016, section 3.2): the next frame less this one."""

    name: ClassVar[str] = "rgbdiff"
    channels: ClassVar[int] = 3
    bound: ClassVar[float] = 255.0


@dataclass(frozen=True)
class Weighted(Part):
    """The frame itself, each place weighed by Farnebäck's flow on both sides of it.

    As the code beside the MobileNetV2 report weighs frames: see `egofeat.extract.flow.weighting`.
    """

    places: int = 32
    """A side, in each of which the largest motion counts."""
    least: float = 0.5
    """What a place without motion weighs."""

    name: ClassVar[str] = "weighted"
    channels: ClassVar[int] = 3
    bound: ClassVar[float] = 255.0


Method = Farneback | TVL1 | Raft | Shipped | Difference | Weighted
KINDS: Mapping[str, type[Method]] = {
    "farneback": Farneback,
    "tvl1": TVL1,
    "raft": Raft,
    "raft_small": Raft,
    "frames": Shipped,
    "rgbdiff": Difference,
    "weighted": Weighted,
}
METHODS = ("none", *KINDS)
"""What `--motion` takes."""


@dataclass(frozen=True)
class Motion(Part):
    """Motion by one method, encoded in one way."""

    method: Method
    values: Values = "uint8"
    both_sides: bool = False
    """False: to the next frame. True: from the one before, too; flow has twice the channels."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: the method's name and settings are part of it."""
        return super().to_dict() | {"method": self.method.name, **self.method.to_dict()}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """See `Part.from_dict`."""
        kind = KINDS.get(str(form.get("method")))
        if kind is None:
            raise ValueError(f"its method is none of {', '.join(KINDS)}")
        values: Any = form.get("values")
        both_sides = form.get("both_sides")
        if values not in get_args(Values) or not isinstance(both_sides, bool):
            raise ValueError("its values or both_sides are missing or unknown")
        settings = form.keys() - {"method", "values", "both_sides"}
        return cls(kind.from_dict({name: form[name] for name in settings}), values, both_sides)

    @property
    def of_flow_frames(self) -> bool:
        """Whether the media are flow already."""
        return isinstance(self.method, Shipped)

    @property
    def channels(self) -> int:
        """Of what the network is given."""
        of_each = self.both_sides and not isinstance(self.method, Weighted)
        return self.method.channels * (2 if of_each else 1)

    @property
    def neighbours(self) -> tuple[int, int]:
        """Frames before and after each view that it is measured against."""
        return int(self.both_sides), int(not self.of_flow_frames)
