"""Making what a network sees in place of colours.

Two steps of the loop know of it. Beside the decoder, a prepared view of colours becomes one of
motion; RAFT does that on the device, before the network. What one frame of motion is measured
against are the frames next to it: a view of F frames of motion is made of F + 1 frames.
"""

import functools
import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.extract.flow import raft
from egofeat.extract.flow.encoding import decode, encode
from egofeat.extract.flow.weighting import weighed
from egofeat.recipe.motion import TVL1, Difference, Farneback, Motion, Raft, Shipped, Weighted

Between = Callable[[Tensor, Tensor], Tensor]
"""From two RGB frames `[H, W, 3]` to what moved, `[H, W, channels]`; for one thread."""


def library_of(motion: Motion) -> str:
    """What computes it, with its version, to record with the features; often nothing."""
    is_opencv = isinstance(motion.method, Farneback | TVL1 | Weighted)
    return f"opencv {opencv().__version__}" if is_opencv else ""


def beside_decoder(motion: Motion) -> Callable[[tuple[int, ...], Tensor], Tensor]:
    """For the views of one video, one thread: see `_Pairs`; what a network computes, waits.

    Where frames are on the card, OpenCV takes them to the host.

    Raises:
        RequestError: the method's library is not there.
    """
    if isinstance(motion.method, Raft):
        return lambda _, frames_FKHWC: frames_FKHWC
    if isinstance(motion.method, Shipped):
        return lambda _, frames_FKHWC: _sided(motion, frames_FKHWC[..., :2])
    if isinstance(motion.method, Weighted):
        return functools.partial(_weighed, motion, _Pairs(Farneback(), "float32"))
    pairs = _Pairs(motion.method, motion.values)
    return lambda view, frames_FKHWC: _sided(motion, pairs(view, frames_FKHWC))


def on_device(motion: Motion, device: torch.device) -> Callable[[Tensor], Tensor]:
    """From views `[N, F, K, S, S, C]` to what the network sees; most are that already.

    Raises:
        WeightsError: RAFT's weights are not there.
    """
    if not isinstance(motion.method, Raft):
        return lambda views_NFKHWC: views_NFKHWC
    estimate, bound = raft.start(motion.method, device), motion.method.bound

    def move(views_NFKHWC: Tensor) -> Tensor:
        flows = encode(estimate(views_NFKHWC), bound, motion.values)
        return torch.cat([flows[:, :-1], flows[:, 1:]], dim=-1) if motion.both_sides else flows

    return move


def _sided(motion: Motion, motions_FKHWC: Tensor) -> Tensor:
    if not motion.both_sides:
        return motions_FKHWC
    return torch.cat([motions_FKHWC[:-1], motions_FKHWC[1:]], dim=-1)


def _weighed(
    motion: Motion, pairs: "_Pairs", view: tuple[int, ...], frames_FKHWC: Tensor
) -> Tensor:
    """The frames of a view but the first and the last, weighed by the flow on both sides."""
    assert isinstance(motion.method, Weighted)
    frames_FKHWC = frames_FKHWC.cpu()
    flows = decode(pairs(view, frames_FKHWC))
    weighted = torch.from_numpy(weighed(motion.method, flows.numpy(), frames_FKHWC[1:-1].numpy()))
    return weighted if motion.values == "float32" else weighted.round().to(torch.uint8)


def start_of(method: Farneback | TVL1 | Difference) -> Between:
    """What computes a method.

    Raises:
        RequestError: it needs OpenCV with contrib, and there is none.
    """
    if isinstance(method, Difference):
        return lambda first_HWC, second_HWC: second_HWC.float() - first_HWC
    return flow_by(method)


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
            "`motion` farneback, tvl1 and weighted need OpenCV with its contrib modules: run `pip "
            "install 'egofeat[flow]'` (opencv-contrib-python-headless), or for a network that "
            "takes flow choose `motion` raft"
        )
    cv.setNumThreads(1)
    return cv


def flow_by(method: Farneback | TVL1) -> Between:
    """OpenCV's: polynomials fitted around each pixel (Farnebäck, 2003), or dual TV-L1.

    TV-L1 (Zach et al., 2007; Pérez et al., IPOL 2013) is what flow networks learnt from.
    """
    cv = opencv()
    rest: tuple[float, ...] = ()
    if isinstance(method, Farneback):
        pyramid = (method.scale, method.levels, method.window, method.iterations)
        polynomials = (method.neighbourhood, method.sigma)
        compute, rest = cv.calcOpticalFlowFarneback, (*pyramid, *polynomials, 0)
    else:
        solver = cv.optflow.DualTVL1OpticalFlow_create(
            tau=method.tau,
            lambda_=method.attachment,
            theta=method.theta,
            nscales=method.scales,
            warps=method.warps,
            epsilon=method.epsilon,
        )
        compute = solver.calc

    def between(first_HWC: Tensor, second_HWC: Tensor) -> Tensor:
        pictures = (one.contiguous().numpy() for one in (first_HWC, second_HWC))
        greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in pictures)
        return torch.from_numpy(compute(*greys, None, *rest))

    return between


class _Pairs:
    """Motion from each frame of a view to the next, uint8 or float32 `[F, K, S, S, C]`.

    A pair that the view before had too, as in overlapping windows, is not computed again; a
    frame that is repeated stands still.
    """

    def __init__(self, method: Farneback | TVL1 | Difference, values: str) -> None:
        self._between = start_of(method)
        self._on_host = not isinstance(method, Difference)
        self._shape = (method.channels,)
        self._bound = method.bound
        self._values = values
        self._last: dict[tuple[int, int], Tensor] = {}

    def __call__(self, view: tuple[int, ...], frames_FKHWC: Tensor) -> Tensor:
        """Take the frames of a view, `[F + 1, K, S, S, 3]`."""
        if self._on_host:
            frames_FKHWC = frames_FKHWC.cpu()
        made: dict[tuple[int, int], Tensor] = {}
        for place, pair in enumerate(pairwise(view)):
            if pair not in made:
                known = self._last.get(pair)
                made[pair] = self._made(frames_FKHWC, place, pair) if known is None else known
        self._last = made
        return torch.stack([made[pair] for pair in pairwise(view)])

    def _made(self, frames: Tensor, place: int, pair: tuple[int, int]) -> Tensor:
        first, second = frames[place], frames[place + 1]
        if pair[0] == pair[1]:
            motion = first.new_zeros((*first.shape[:-1], *self._shape), dtype=torch.float32)
        else:
            crops = zip(first, second, strict=True)
            motion = torch.stack([self._between(*crop) for crop in crops])
        return encode(motion, self._bound, self._values)
