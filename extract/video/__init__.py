"""Frames and their times, from video files, frame folders and tars of frames."""

from egofeat.extract.video.flow_source import FlowSource
from egofeat.extract.video.opening import DECODERS, decoder_version, open_video
from egofeat.extract.video.source import FrameSource

__all__ = [
    "DECODERS",
    "FlowSource",
    "FrameSource",
    "check_decoder",
    "decoder_version",
    "open_video",
]
