"""Parts of residual video networks: stem, bottleneck, non-local block, lateral connection.

Children bear the names that PySlowFast gave them in its published checkpoints. Axes: B batch,
C channels, T frames, H and W pixels.

Sources: He et al., 2016 (bottleneck; stride in its 3×3); Wang et al., 2018, arXiv:1711.07971
(non-local blocks); Feichtenhofer et al., 2019, arXiv:1812.03982, section 3 (pathways).
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

FOLDED_PAIRS = (("branch1", "branch1_bn"), ("conv_out", "bn"))
"""(convolution, batch norm) that follow each other outside an `nn.Sequential`."""


def stem(channels: int, kernel: int) -> nn.Sequential:
    """`[B, 3, T, H, W]` to `[B, channels, T, H/4, W/4]`; `kernel` frames are seen at once."""
    conv = nn.Conv3d(
        3, channels, (kernel, 7, 7), stride=(1, 2, 2), padding=(kernel // 2, 3, 3), bias=False
    )
    return nn.Sequential(
        OrderedDict(
            conv=conv,
            bn=nn.BatchNorm3d(channels),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
    )


def lateral(channels: int, kernel: int, alpha: int) -> nn.Sequential:
    """Fast to slow (section 3.4): `[B, channels, αT, H, W]` to `[B, 2 channels, T, H, W]`."""
    conv = nn.Conv3d(
        channels,
        2 * channels,
        (kernel, 1, 1),
        stride=(alpha, 1, 1),
        padding=(kernel // 2, 0, 0),
        bias=False,
    )
    return nn.Sequential(
        OrderedDict(conv_f2s=conv, bn=nn.BatchNorm3d(2 * channels), relu=nn.ReLU(inplace=True))
    )


class Bottleneck(nn.Module):
    """`[B, incoming, T, H, W]` to `[B, outgoing, T, H/stride, W/stride]`.

    Args:
        incoming: channels.
        outgoing: channels; the middle convolutions have a quarter of them.
        kernel: frames that the first convolution sees at once.
        stride: of the middle convolution, in space.
        dilation: of the middle convolution, in space.
    """

    def __init__(
        self, incoming: int, outgoing: int, kernel: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        inner = outgoing // 4
        self.branch1: nn.Module = nn.Identity()
        self.branch1_bn: nn.Module = nn.Identity()
        if incoming != outgoing or stride != 1:
            strides = (1, stride, stride)
            self.branch1 = nn.Conv3d(incoming, outgoing, 1, stride=strides, bias=False)
            self.branch1_bn = nn.BatchNorm3d(outgoing)
        self.branch2 = nn.Sequential(
            OrderedDict(
                a=nn.Conv3d(
                    incoming, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False
                ),
                a_bn=nn.BatchNorm3d(inner),
                a_relu=nn.ReLU(inplace=True),
                b=nn.Conv3d(
                    inner,
                    inner,
                    (1, 3, 3),
                    stride=(1, stride, stride),
                    padding=(0, dilation, dilation),
                    dilation=(1, dilation, dilation),
                    bias=False,
                ),
                b_bn=nn.BatchNorm3d(inner),
                b_relu=nn.ReLU(inplace=True),
                c=nn.Conv3d(inner, outgoing, 1, bias=False),
                c_bn=nn.BatchNorm3d(outgoing),
            )
        )

    def forward(self, hidden_BCTHW: Tensor) -> Tensor:
        """Sum of both branches, rectified."""
        shortcut: Tensor = self.branch1_bn(self.branch1(hidden_BCTHW))
        return torch.relu_(self.branch2(hidden_BCTHW) + shortcut)


class NonLocal(nn.Module):
    """Every position looks at all others (section 3.2 of the paper); the shape stays.

    Args:
        channels: in and out; half of them inside.
        pool: size of the max pooling of what is looked at, (T, H, W).
        softmax: weigh by a softmax of scaled products (embedded Gaussian), else by the
            products themselves over their number N (dot product).
    """

    def __init__(self, channels: int, pool: tuple[int, int, int], softmax: bool) -> None:
        super().__init__()
        inner = channels // 2
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d(pool)
        self.softmax = softmax

    def forward(self, hidden_BCTHW: Tensor) -> Tensor:
        """Add to each position what it gathers; N positions look at M pooled ones."""
        pooled = self.pool(hidden_BCTHW)
        query = self.conv_theta(hidden_BCTHW)
        query_BCN, key_BCM, value_BCM = (
            part.flatten(2) for part in (query, self.conv_phi(pooled), self.conv_g(pooled))
        )
        products_BNM = torch.bmm(query_BCN.transpose(1, 2), key_BCM)
        if self.softmax:
            weights_BNM = (products_BNM * query_BCN.shape[1] ** -0.5).softmax(2)
        else:
            weights_BNM = products_BNM / key_BCM.shape[2]
        gathered_BCN = torch.bmm(value_BCM, weights_BNM.transpose(1, 2))
        gathered: Tensor = self.bn(self.conv_out(gathered_BCN.view(query.shape)))
        return hidden_BCTHW + gathered


def stage(
    incoming: int, outgoing: int, kernels: Sequence[int], stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """Bottlenecks in a row, one a kernel; the first has the stride."""
    blocks: list[nn.Module] = []
    for index, kernel in enumerate(kernels):
        first = index == 0
        channels = incoming if first else outgoing
        blocks.append(Bottleneck(channels, outgoing, kernel, stride if first else 1, dilation))
    return blocks
