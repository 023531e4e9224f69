"""Motion as a network's input: optical flow, computed or shipped, and colour differences."""

from egofeat.extract.flow.choosing import choose_motion
from egofeat.extract.flow.motion import beside_decoder, library_of, on_device

__all__ = ["beside_decoder", "choose_motion", "library_of", "on_device"]
