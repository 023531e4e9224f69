"""Motion as a network's input: optical flow, computed or shipped, and colour differences."""

from egofeat.extract.flow.choosing import OF_COLOURS, choose_motion
from egofeat.extract.flow.motion import beside_decoder, library_of, on_device

__all__ = ["OF_COLOURS", "beside_decoder", "choose_motion", "library_of", "on_device"]
