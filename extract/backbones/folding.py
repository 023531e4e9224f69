"""Fold batch norms into the convolutions before them: same function, fewer passes."""

import itertools
from collections.abc import Sequence

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(module: nn.Module, pairs: Sequence[tuple[str, str]] = ()) -> nn.Module:
    """Fold, in place, every convolution with the batch norm that follows it.

    Followers are neighbours in one `nn.Sequential`, and children of one module that bear
    the names of a pair. The module must be in eval mode.

    Args:
        module: 2-D or 3-D network.
        pairs: names of (convolution, batch norm) wherever both are children of one module.
    """
    for child in module.children():
        fold_batch_norms(child, pairs)
    if isinstance(module, nn.Sequential):
        names = list(dict(module.named_children()))
        pairs = [*pairs, *itertools.pairwise(names)]
    children = dict(module.named_children())
    for conv_name, norm_name in pairs:
        conv, norm = children.get(conv_name), children.get(norm_name)
        if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(
            norm, nn.BatchNorm2d | nn.BatchNorm3d
        ):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())
    return module
