"""Motion as a network's input: optical flow, computed or shipped, and colour differences."""

from egofeat.extract.flow.choosing import OF_COLOURS, choose_motion
from egofeat.extract.flow.motion import library_of, on_cpu, on_device

__all__ = ["OF_COLOURS", "choose_motion", "library_of", "on_cpu", "on_device"]
