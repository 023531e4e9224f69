"""Flow that a data set ships as frames: EPIC-KITCHENS gives TV-L1 as JPEGs, u and v apart."""

from dataclasses import dataclass
from typing import ClassVar

from egofeat.extract.flow.encoding import BOUND


@dataclass(frozen=True)
class Shipped:
    """Nothing to compute: what is decoded is flow already, encoded in 8 bits.

    Its values stay pixels of the frames as shipped, whatever size they are made.
    """

    name: ClassVar[str] = "frames"
    channels: ClassVar[int] = 2
    bound: ClassVar[float] = BOUND
