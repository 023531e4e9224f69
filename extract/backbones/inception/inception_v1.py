"""What the video networks grown from Inception-v1 share (Szegedy et al., 2015, Table 1).

Their stages bear the names of the TensorFlow release, and a 7×7 input to the last pool
comes from 224 pixels.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Widths(NamedTuple):
    """Channels into a block and out of each convolution of its four branches."""

    inputs: int
    one: int
    three_reduced: int
    three: int
    five_reduced: int
    five: int
    """Of the branch that the paper makes 5×5 and every release 3×3."""
    pooled: int

    @property
    def outputs(self) -> int:
        """Channels of the four branches together."""
        return self.one + self.three + self.five + self.pooled


BLOCKS = {
    "Mixed_3b": Widths(192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": Widths(256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": Widths(480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": Widths(512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": Widths(512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": Widths(512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": Widths(528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": Widths(832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": Widths(832, 384, 192, 384, 48, 128, 128),
}

POOLS = {
    "2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "5a_2x2": ((2, 2, 2), (2, 2, 2)),
}
"""Kernel and stride of the max pools in (time, height, width), as I3D set them: the first
two leave time alone (Carreira and Zisserman, 2017, section 2.4)."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Layers in the network's order, which is that of what follows their kind: `1a_7x7`, `3b`."""
    return tuple(sorted(names, key=lambda name: name.partition("_")[2]))
