"""OpenCV where it is installed: nothing else in egofeat needs it."""

import functools
import importlib
from typing import Any

from egofeat.errors import RequestError


@functools.cache
def opencv() -> Any:
    """The module `cv2` with contrib, its own threads off: decoders are threads already.

    Raises:
        RequestError: it is not installed, or without contrib.
    """
    try:
        cv: Any = importlib.import_module("cv2")
    except ImportError:
        cv = None
    if not hasattr(cv, "optflow"):
        raise RequestError(
            "--motion farneback and tvl1 need OpenCV with its contrib modules: run `pip install "
            "'egofeat[flow]'` (opencv-contrib-python-headless), or choose --motion raft"
        )
    cv.setNumThreads(1)
    return cv
