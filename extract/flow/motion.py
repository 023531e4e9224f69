"""What a network sees in place of colours: how motion is had, from which frames, in what numbers.

Two steps of the loop know of it. Beside the decoder, a prepared view of colours becomes one of
motion; RAFT does that on the device, before the network. What one frame of motion is measured
against are the frames beside it: a view of F frames of motion is made of F + 1 frames.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.extract.flow.difference import Difference
from egofeat.extract.flow.encoding import encode, encode_on_device
from egofeat.extract.flow.farneback import Farneback
from egofeat.extract.flow.opencv import opencv
from egofeat.extract.flow.raft import Raft
from egofeat.extract.flow.shipped import Shipped
from egofeat.extract.flow.tvl1 import TVL1

Method = Farneback | TVL1 | Raft | Shipped | Difference
_KINDS: dict[str, type[Method]] = {
    "farneback": Farneback,
    "tvl1": TVL1,
    "raft": Raft,
    "raft_small": Raft,
    "frames": Shipped,
    "rgbdiff": Difference,
}
METHODS = ("none", *_KINDS)
"""What `--motion` takes."""

Frames = NDArray[np.generic]


@dataclass(frozen=True)
class Motion:
    """Motion by one method, encoded in one way."""

    method: Method
    values: str = "uint8"
    both_sides: bool = False
    """False: to the next frame. True: from the one before, too, in twice the channels."""

    def describe(self) -> dict[str, Any]:
        """The motion as it stands in a recipe, in its transform."""
        return {
            "method": self.method.name,
            **asdict(self.method),
            "values": self.values,
            "both_sides": self.both_sides,
        }

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild the motion from what stands in a recipe."""
        settings = dict(fields)
        values, both_sides = settings.pop("values"), settings.pop("both_sides")
        return cls(_KINDS[settings.pop("method")](**settings), values, both_sides)

    @property
    def of_flow_frames(self) -> bool:
        """Whether the media are flow already."""
        return isinstance(self.method, Shipped)

    @property
    def library(self) -> str:
        """What computes it, with its version, for the record beside the features; often nothing."""
        is_opencv = isinstance(self.method, Farneback | TVL1)
        return f"opencv {opencv().__version__}" if is_opencv else ""

    @property
    def channels(self) -> int:
        """Of what the network is given."""
        return self.method.channels * (2 if self.both_sides else 1)

    @property
    def beside(self) -> tuple[int, int]:
        """Frames before and after each view that it is measured against."""
        return int(self.both_sides), int(not self.of_flow_frames)

    def beside_decoder(self) -> Callable[[tuple[int, ...], NDArray[np.uint8]], Frames]:
        """For the views of one video, one thread: see `_Pairs`; what only the device can do, waits.

        Raises:
            RequestError: the method's library is not there.
        """
        if isinstance(self.method, Raft):
            return lambda _, frames_FKHWC: frames_FKHWC
        if isinstance(self.method, Shipped):
            return lambda _, frames_FKHWC: self._sided(frames_FKHWC[..., :2])
        pairs = _Pairs(self.method, self.values)
        return lambda view, frames_FKHWC: self._sided(pairs(view, frames_FKHWC))

    def on_device(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """From views `[N, F, K, S, S, C]` to what the network sees; most are that already.

        Raises:
            WeightsError: RAFT's weights are not there.
        """
        if not isinstance(self.method, Raft):
            return lambda views_NFKHWC: views_NFKHWC
        estimate = self.method.start_on(device)

        def move(views_NFKHWC: Tensor) -> Tensor:
            flows = encode_on_device(estimate(views_NFKHWC), self.method.bound, self.values)
            return torch.cat([flows[:, :1], flows[:, 1:]], dim=-1) if self.both_sides else flows

        return move

    def _sided(self, motions_FKHWC: Frames) -> Frames:
        if not self.both_sides:
            return motions_FKHWC
        return np.concatenate([motions_FKHWC[:1], motions_FKHWC[1:]], axis=-1)


class _Pairs:
    """Motion from each frame of a view to the next, uint8 or float32 `[F, K, S, S, C]`.

    A pair that the view before had too, as in overlapping windows, is not computed again; a
    frame that is repeated stands still.
    """

    def __init__(self, method: Farneback | TVL1 | Difference, values: str) -> None:
        self._between = method.start()
        self._shape = (method.channels,)
        self._bound = method.bound
        self._values = values
        self._last: dict[tuple[int, int], Frames] = {}

    def __call__(self, view: tuple[int, ...], frames_FKHWC: NDArray[np.uint8]) -> Frames:
        """Take the frames of a view, `[F + 1, K, S, S, 3]`."""
        made: dict[tuple[int, int], Frames] = {}
        for place, pair in enumerate(pairwise(view)):
            if pair not in made:
                known = self._last.get(pair)
                made[pair] = self._made(frames_FKHWC, place, pair) if known is None else known
        self._last = made
        return np.stack([made[pair] for pair in pairwise(view)])

    def _made(self, frames: NDArray[np.uint8], place: int, pair: tuple[int, int]) -> Frames:
        first, second = frames[place], frames[place + 1]
        if pair[0] == pair[1]:
            motion = np.zeros(first.shape[:-1] + self._shape, np.float32)
        else:
            crops = zip(first, second, strict=True)
            motion = np.stack([self._between(*map(np.ascontiguousarray, crop)) for crop in crops])
        return encode(motion, self._bound, self._values)
