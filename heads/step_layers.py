"""Convolutions and batch norms over steps `[B,T,C]`, as features lie in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class StepConv(nn.Conv1d):
    """`nn.Conv1d` over steps `[B,T,C]`, as features lie in memory: one matrix product.

    Turning steps into `[B,C,T]` copies them, and convolutions of few filters over many channels
    are several times as slow as the product that they are.
    """

    def forward(self, steps: Tensor) -> Tensor:
        """`[B,T,C]` to `[B,T',out]`."""
        steps, (kernel,), (dilation,) = self.padded(steps), self.kernel_size, self.dilation
        if self.gathers:
            length = steps.shape[1] - dilation * (kernel - 1)
            seen = [steps[:, dilation * tap : dilation * tap + length] for tap in range(kernel)]
            return F.linear(torch.cat(seen, dim=2), self.taps(), self.bias)
        products = F.linear(steps, self.taps())
        summed = _sum_of_taps(products, self.out_channels, kernel, dilation)
        return summed if self.bias is None else summed + self.bias

    @property
    def gathers(self) -> bool:
        """Whether steps are put side by side before the product.

        Else, where fewer values come out than go in, it is products that are shifted and added.
        """
        return self.in_channels <= self.out_channels

    @property
    def edges(self) -> tuple[int, int]:
        """Zeros before and after the steps."""
        if self.padding != "same":
            return 0, 0
        both = self.dilation[0] * (self.kernel_size[0] - 1)
        return both // 2, both - both // 2

    def padded(self, steps: Tensor) -> Tensor:
        """Steps with the zeros around them."""
        return F.pad(steps, (0, 0, *self.edges)) if any(self.edges) else steps

    def taps(self) -> Tensor:
        """Weights as the product has them: `[out,kernel·C]`, or `[kernel·out,C]` and zeros.

        The library takes 0.6 of the time for 32 columns that it takes for 30.
        """
        if self.gathers:
            return self.weight.transpose(1, 2).flatten(1)
        taps = self.weight.permute(2, 0, 1).flatten(0, 1)
        return F.pad(taps, (0, 0, 0, -len(taps) % 16))


class StepNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` over steps `[B,T,C]`."""

    def forward(self, steps: Tensor) -> Tensor:
        """`[B,T,C]` to the same shape."""
        return super().forward(steps.flatten(0, 1)).view_as(steps)


class StepLayers(nn.Sequential):
    """Layers in turn over steps `[B,T,C]`.

    In training on a CPU convolutions that follow each other, each with its norm and `LeakyReLU`,
    are one operation of autograd: a convolution of few filters is a few microseconds of arithmetic,
    and fifteen operations of PyTorch around it are a hundred. The bias of such a convolution has
    no gradient: the norm takes away what it adds.
    """

    def forward(self, steps: Tensor) -> Tensor:
        """`[B,T,C]` to `[B,T',C']`."""
        layers, place = list(self), 0
        while place < len(layers):
            links, after = _links(layers, place)
            if links and _on_cpu_in_float32(steps):
                weights = [weight for link in links for weight in link.weights]
                steps = _Chain.apply(steps, links, *weights)
                place = after
            else:
                steps, place = layers[place](steps), place + 1
        return steps


def _on_cpu_in_float32(steps: Tensor) -> bool:
    on_cpu = steps.device.type == "cpu" and steps.dtype == torch.float32
    return on_cpu and not torch.is_autocast_enabled("cpu")


@dataclass(frozen=True)
class _Link:
    """A convolution of steps, a batch norm in training, and a `LeakyReLU` where there is one."""

    conv: StepConv
    norm: StepNorm
    slope: float | None

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Those that have a gradient."""
        return self.conv.weight, self.norm.weight, self.norm.bias

    @property
    def counter(self) -> Tensor:
        """Of the batches that the norm has seen."""
        counter = self.norm.num_batches_tracked
        assert counter is not None
        return counter

    def forward(self, steps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`[B,T,C]` to `[B,T',out]`, and what is kept for the way back."""
        conv, norm = self.conv, self.norm
        (kernel,), (dilation,) = conv.kernel_size, conv.dilation
        taps, steps = conv.taps(), conv.padded(steps)
        if conv.gathers:
            factors = _windows(steps, kernel, dilation)
            convolved = factors.mm(taps.t())
        else:
            factors = steps.flatten(0, 1)
            products = factors.mm(taps.t()).view(*steps.shape[:2], -1)
            convolved = _sum_of_taps(products, conv.out_channels, kernel, dilation).flatten(0, 1)
        if len(convolved) == 1:
            raise ValueError("a batch norm needs more than one row, or step, to learn from")
        running = norm.running_mean
        assert running is not None
        assert norm.momentum is not None
        normed, mean, scale = torch.native_batch_norm(
            convolved,
            norm.weight,
            norm.bias,
            running,
            norm.running_var,
            True,
            norm.momentum,
            norm.eps,
        )
        if conv.bias is not None:  # what it adds is seen in the running mean alone
            running.add_(conv.bias, alpha=norm.momentum)
        result = normed if self.slope is None else F.leaky_relu(normed, self.slope)
        kept = [factors, taps, convolved, mean, scale, result, norm.weight]
        return result.view(len(steps), -1, conv.out_channels), kept

    def backward(
        self, gradient: Tensor, kept: Sequence[Tensor], rows: int, *, further: bool
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Of the result `[B,T',out]` to those of the steps, if they go further, and the weights."""
        conv, norm = self.conv, self.norm
        (kernel,), (dilation,) = conv.kernel_size, conv.dilation
        factors, taps, convolved, mean, scale, result, of_norm = kept
        gradient = gradient.reshape(-1, conv.out_channels)
        if self.slope is not None:  # the result has the sign of what came
            gradient = torch.ops.aten.leaky_relu_backward.default(
                gradient, result, self.slope, True
            )
        gradient, of_scale, of_shift = torch.ops.aten.native_batch_norm_backward.default(
            gradient, convolved, of_norm, None, None, mean, scale, True, norm.eps, [True] * 3
        )
        out, channels = conv.out_channels, conv.in_channels
        if not conv.gathers and len(taps) > out:
            gradient = _of_products(gradient, rows, len(taps), kernel, dilation)
        of_taps = gradient.t().mm(factors)
        if conv.gathers:
            of_weight = of_taps.view(out, kernel, channels).transpose(1, 2)
        else:
            of_weight = of_taps[: kernel * out].view(kernel, out, channels).permute(1, 2, 0)
        before: Tensor | None = None
        if further:
            of_factors = gradient.mm(taps)
            before = (
                _of_steps(of_factors, rows, kernel, dilation)
                if conv.gathers
                else of_factors.view(rows, -1, channels)
            )
            first, last = conv.edges
            before = before[:, first : before.shape[1] - last] if first or last else before
        return before, of_weight, of_scale, of_shift


def _links(layers: Sequence[nn.Module], place: int) -> tuple[list[_Link], int]:
    """Links that follow each other, and the place after them."""
    links = []
    while place + 1 < len(layers):
        conv, norm = layers[place : place + 2]
        if not (isinstance(conv, StepConv) and isinstance(norm, StepNorm) and norm.training):
            break
        place, slope = place + 2, None
        if place < len(layers) and isinstance(leaky := layers[place], nn.LeakyReLU):
            place, slope = place + 1, float(leaky.negative_slope)
        links.append(_Link(conv, norm, slope))
    return links, place


_KEPT = 7
"""Tensors that a link keeps."""


class _Chain(torch.autograd.Function):
    """Links in turn, of which autograd knows one operation."""

    @staticmethod
    def forward(ctx: Any, steps: Tensor, links: Sequence[_Link], *_: Tensor) -> Tensor:
        """`[B,T,C]` to `[B,T',out]`; the weights are those of the links."""
        kept = []
        for link in links:
            steps, of_link = link.forward(steps)
            kept += of_link
        torch._foreach_add_([link.counter for link in links], 1)
        ctx.links = links
        ctx.save_for_backward(*kept)
        return steps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of the result `[B,T',out]` to those of the steps and the weights."""
        gradient: Tensor | None = gradients[0]
        rows, kept = len(gradients[0]), ctx.saved_tensors
        of_weights: list[Tensor] = []
        for number, link in reversed([*enumerate(ctx.links)]):
            further = number > 0 or ctx.needs_input_grad[0]
            of_link = kept[_KEPT * number : _KEPT * (number + 1)]
            gradient, *of_weight = link.backward(gradient, of_link, rows, further=further)
            of_weights[:0] = of_weight
        return gradient, None, *of_weights


def _windows(steps: Tensor, kernel: int, dilation: int) -> Tensor:
    """What each place of a convolution sees of `[B,T,C]`, `[B·T',kernel·C]`."""
    steps = steps.contiguous()
    rows, count, channels = steps.shape
    length = count - dilation * (kernel - 1)
    strides = (count * channels, channels, dilation * channels, 1)
    seen = steps.as_strided((rows, length, kernel, channels), strides, steps.storage_offset())
    return seen.reshape(rows * length, kernel * channels)


def _of_steps(windows: Tensor, rows: int, kernel: int, dilation: int) -> Tensor:
    """Gradient of steps `[B,T,C]` from that of their `_windows`."""
    of_taps = windows.view(rows, -1, kernel, windows.shape[1] // kernel)
    if kernel == 1:
        return of_taps.squeeze(2)
    length = of_taps.shape[1]
    steps = windows.new_zeros(rows, length + dilation * (kernel - 1), of_taps.shape[3])
    for tap, of_tap in enumerate(of_taps.unbind(2)):
        steps[:, dilation * tap : dilation * tap + length].add_(of_tap)
    return steps


def _sum_of_taps(products: Tensor, out: int, kernel: int, dilation: int) -> Tensor:
    """Products `[B,T,kernel·out…]` of each step and tap, summed where taps meet, `[B,T',out]`."""
    length = products.shape[1] - dilation * (kernel - 1)
    shifted = [
        products[:, dilation * tap : dilation * tap + length, out * tap : out * (tap + 1)]
        for tap in range(kernel)
    ]
    return reduce(torch.add, shifted)


def _of_products(gradient: Tensor, rows: int, width: int, kernel: int, dilation: int) -> Tensor:
    """Gradient of products `[B·T,width]` from that of their `_sum_of_taps`."""
    gradient = gradient.view(rows, -1, out := gradient.shape[1])
    length = gradient.shape[1]
    products = gradient.new_zeros(rows, length + dilation * (kernel - 1), width)
    for tap in range(kernel):
        place = slice(dilation * tap, dilation * tap + length)
        products[:, place, out * tap : out * (tap + 1)] = gradient
    return products.flatten(0, 1)
