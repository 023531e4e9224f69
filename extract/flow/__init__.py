"""Motion as a network's input: optical flow, computed or shipped, and colour differences."""

from egofeat.extract.flow.choosing import choose_motion
from egofeat.extract.flow.motion import METHODS, Motion

__all__ = ["METHODS", "Motion", "choose_motion"]
