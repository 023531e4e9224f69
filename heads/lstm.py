"""LSTM over the frame vectors of a segment."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.options import Count, Rate


@contextmanager
def _native_kernels(wanted: bool) -> Iterator[None]:
    """Take PyTorch's own kernels of a CPU for a layer, where wanted, in place of oneDNN's.

    Backwards oneDNN computes the gradient of the features too, which nobody asks for: it takes
    1.1 to 1.4 times as long.
    """
    # `torch.backends.mkldnn.flags` has other arguments in each version.
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled and not wanted)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def _on_cpu_in_float32(features: Tensor) -> bool:
    return features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class LSTMHead(VectorHead):
    """Global average pool, LSTM, summary over time, batch norm, dropout, classifiers.

    Gates have one bias each, as in Hochreiter and Schmidhuber (1997): PyTorch's second
    bias is held at zero, which keeps the fused kernels. The forget gate starts at 1
    (Jozefowicz et al., 2015, section 2.2).
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        hidden: Count = 256,
        layers: Count = 1,
        summary: Literal["last", "mean"] = "mean",
        dropout: Rate = 0.5,
    ) -> None:
        super().__init__(hidden, classes, dropout)
        self.lstm = nn.LSTM(feature_shape[1], hidden, layers, batch_first=True)
        for layer in range(layers):
            input_bias = getattr(self.lstm, f"bias_ih_l{layer}")
            second_bias = getattr(self.lstm, f"bias_hh_l{layer}")
            with torch.no_grad():
                input_bias.zero_()[hidden : 2 * hidden] = 1.0
                second_bias.zero_()
            second_bias.requires_grad_(False)
        self.summary = summary
        self.norm = nn.BatchNorm1d(hidden)

    def embed(self, features: Tensor) -> Tensor:
        """Run over time; summarise by the last or the mean hidden state, `[B,hidden]`."""
        with _native_kernels(self.training and _on_cpu_in_float32(features)):
            states, _ = self.lstm(pool_space(features))
        summary = states[:, -1] if self.summary == "last" else states.mean(dim=1)
        normed: Tensor = self.norm(summary)
        return normed
