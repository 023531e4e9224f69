"""NV12, in which a card decodes, to RGB as FFmpeg converts it on a CPU."""

import torch
from torch import Tensor

_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087)} | dict.fromkeys(
    (9, 10), (0.2627, 0.0593)
)
"""Of red and blue in luma, by FFmpeg's number of the colour space (ITU-T H.273)."""
_BT601 = (0.299, 0.114)
_FULL = 2
"""FFmpeg's number of the range 0 to 255."""


def to_rgb(luma_HW: Tensor, chroma_hw2: Tensor, space: int, scale: int) -> Tensor:
    """uint8 `[H, W, 3]`, within a level of FFmpeg's rgb24.

    As there, each product is rounded down by itself, and the four pixels of a block have one
    colour.

    Args:
        luma_HW: uint8.
        chroma_hw2: uint8, blue and red difference of blocks of 2 × 2 pixels.
        space: FFmpeg's number of the colour space; BT.601 of one that says nothing.
        scale: FFmpeg's number of the range; limited if it says nothing.
    """
    red, blue = _WEIGHTS.get(space, _BT601)
    green = 1 - red - blue
    low, of_luma, of_chroma = (0, 1.0, 1.0) if scale == _FULL else (16, 255 / 219, 255 / 224)
    light = ((luma_HW.float() - low) * of_luma).floor()
    height, width = luma_HW.shape
    u, v = (chroma_hw2.float() - 128).unbind(-1)
    to_blue, to_red = 2 * (1 - blue) * of_chroma, 2 * (1 - red) * of_chroma
    by_block = torch.stack(
        [
            (to_red * v).floor(),
            (-to_blue * blue / green * u).floor() + (-to_red * red / green * v).floor(),
            (to_blue * u).floor(),
        ],
        dim=-1,
    )
    # The last block of an odd side is missing: the one before it stands in.
    rows, columns = (
        (torch.arange(side, device=u.device) // 2).clamp(max=blocks - 1)
        for side, blocks in zip((height, width), u.shape, strict=True)
    )
    return (light[..., None] + by_block[rows][:, columns]).clamp(0, 255).to(torch.uint8)
