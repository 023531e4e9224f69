"""Any torchvision image classifier, tapped at the nodes of its own graph.

The graph is torchvision's (`torchvision.models.feature_extraction`), traced in eval mode: once
without weights, to know the taps, and then with them, up to the taps that are wanted.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from egofeat.extract.backbones.building import allocate, blank, fill, folds, freeze
from egofeat.extract.backbones.stages import average, check_pixels
from egofeat.extract.backbones.torchvision.weights import arguments_of, default_of, fewest_pixels

# No other side of a tensor is as long, so that it tells which ones hold a row an image.
_BATCH = 11

# They learn a position of every patch.
_FIXED_SIZE = ("vit_", "maxvit_")

# Names of layers in older files, and in the module.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


class TracedModel:
    """The taps of a torchvision classifier, and how to build it up to some of them.

    Args:
        name: of the model in torchvision.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        (self.size,) = default_of(name).transforms().crop_size
        fixed = name.startswith(_FIXED_SIZE)
        self.pixels = (self.size, self.size) if fixed else (fewest_pixels(name), math.inf)
        model = freeze(blank(lambda: get_model(name, **arguments_of(name, None))))
        names = get_graph_node_names(model, suppress_diff_warning=True)[1]
        graph = _graph_of(model, names[1:])
        shapes = _shapes(graph, self.size)
        self.classifier, ends = _ends(graph, shapes)
        self.taps: dict[str, str] = {**_nodes_and_modules(names, shapes), **ends}
        """Tap to its node, from the first to the last."""
        self.scored = frozenset(names[names.index(self.classifier) :])
        """The nodes from the classifier on."""

    def build(
        self, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
    ) -> nn.Module:
        """The network up to the taps, batch norms folded, in eval mode, gradients off.

        Args:
            taps: names out of `self.taps`.
            state: torchvision's state dict, in any of its layouts; None gives random weights
                made from `seed`.
            seed: of the random weights.

        Raises:
            WeightsError: keys or shapes that are not the model's, or no classifier for a tap
                that it gives.
        """
        if state is not None:
            state = {_renamed(key): tensor for key, tensor in state.items()}
        make = functools.partial(get_model, self.name, **arguments_of(self.name, state))
        nodes = {tap: self.taps[tap] for tap in taps}
        needed = not self.scored.isdisjoint(nodes.values())
        network = freeze(fill(make, state, seed, self.classifier, needed, f"tv:{self.name}"))
        if state is None:
            _settle(network, self.classifier, self.size, seed)
        return _Traced(_folded(_graph_of(network, list(nodes.values()))), nodes, self.pixels)


class _Traced(nn.Module):
    """A graph that returns nodes, as a module that returns taps."""

    def __init__(
        self, graph: fx.GraphModule, nodes: Mapping[str, str], pixels: tuple[int, float]
    ) -> None:
        super().__init__()
        self.graph = graph
        self.nodes = dict(nodes)
        self.pixels = pixels

    def forward(self, batch_BCHW: Tensor) -> dict[str, Tensor]:
        """`[B, 3, H, W]` to `{tap: [B, ...]}`."""
        check_pixels(batch_BCHW, *self.pixels)
        outputs = self.graph(batch_BCHW)
        taps = {tap: outputs[node] for tap, node in self.nodes.items()}
        if "gap" in taps and taps["gap"].ndim == 4:  # where the classifier is a convolution
            taps["gap"] = average(taps["gap"])
        return taps


def _renamed(key: str) -> str:
    for pattern, name in _RENAMED:
        key = pattern.sub(name, key)
    return key


def _graph_of(model: nn.Module, nodes: Sequence[str]) -> fx.GraphModule:
    """The eval graph that returns `{node: value}`, with the modules that it needs alone."""
    both = create_feature_extractor(
        model,
        train_return_nodes=["x"],
        eval_return_nodes=list(nodes),
        suppress_diff_warning=True,
    )
    graph = both.eval().graph
    return fx.GraphModule(both, graph).eval()


def _shapes(graph: fx.GraphModule, pixels: int) -> dict[str, tuple[int, ...]]:
    """Shape of every node, of which those with a row an image have `_BATCH` rows.

    No image is run through weights that are not there. Where a network looks up what such
    weights hold, torch computes shapes alone, for which it imports its compiler.
    """
    with suppress(Exception):
        values = allocate(graph).forward(torch.empty(0, 3, pixels, pixels))
        shapes = {node: tuple(v.shape) for node, v in values.items() if isinstance(v, Tensor)}
        return {
            node: (_BATCH, *shape[1:]) if shape[:1] == (0,) else shape
            for node, shape in shapes.items()
        }
    values = graph.to("meta")(torch.empty(_BATCH, 3, pixels, pixels, device="meta"))
    return {node: tuple(v.shape) for node, v in values.items() if isinstance(v, Tensor)}


def _ends(
    graph: fx.GraphModule, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, dict[str, str]]:
    """Name of the classifier's module, and the nodes of `map`, `gap` and `logits`.

    `gap` is what enters the last linear layer and `map` what enters the last average over
    positions. Where a convolution classifies (SqueezeNet), `map` is what enters it, and `gap`
    has the same node. A network that never averages over positions has no map.
    """
    nodes: dict[str, fx.Node] = graph.graph.output_node().args[0]  # type: ignore[assignment]
    names = {node: name for name, node in nodes.items()}
    backwards = list(reversed(nodes.values()))
    layer = next(node for node in backwards if _is(graph, node, nn.Linear, nn.Conv2d))
    entering = names[layer.args[0]]  # type: ignore[index]
    maps = [names[node.args[0]] for node in backwards if _averages(graph, node)]  # type: ignore[index]
    if len(shapes[entering]) == 4:
        maps = [entering]
    ends = {"map": maps[0]} if maps else {}
    return str(layer.target), {**ends, "gap": entering, "logits": list(shapes)[-1]}


def _is(graph: fx.GraphModule, node: fx.Node, *kinds: type[nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), kinds)


def _averages(graph: fx.GraphModule, node: fx.Node) -> bool:
    return (
        _is(graph, node, nn.AdaptiveAvgPool2d)
        or node.target is F.adaptive_avg_pool2d
        or (node.op, node.target) == ("call_method", "mean")
    )


def _nodes_and_modules(
    names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, str]:
    """Nodes with a row an image, and every module whose last node is one, behind it."""
    last: dict[str, str] = {}
    for name in names:
        parts = name.split(".")
        last |= {".".join(parts[:depth]): name for depth in range(1, len(parts))}
    ending: dict[str, list[str]] = {}
    for module, name in last.items():
        ending.setdefault(name, []).insert(0, module)
    rows = [name for name, shape in shapes.items() if shape[0] == _BATCH and 2 <= len(shape) <= 4]
    return {tap: name for name in rows for tap in (name, *ending.get(name, ()))}


def _settle(network: nn.Module, classifier: str, pixels: int, seed: int) -> None:
    """Give random weights activations of a usual scale, by one look at noise.

    Gates and residual sums let them fade or grow from block to block; every batch norm is
    told the mean square of what it is given, at the size that the weights are made for: edges
    weigh more in smaller maps. Some classifiers begin as zeros.
    """
    last = network.get_submodule(classifier)
    assert isinstance(last, nn.Linear | nn.Conv2d)
    if last.weight.is_meta:
        return

    def tell(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norm.running_var.fill_(inputs[0].square().mean())  # type: ignore[operator]

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        last.weight.normal_(std=last.weight[0].numel() ** -0.5)
        if norms:
            hooks = [norm.register_forward_pre_hook(tell) for norm in norms]
            network(torch.randn(1, 3, pixels, pixels))
            for hook in hooks:
                hook.remove()


def _folded(graph: fx.GraphModule) -> fx.GraphModule:
    """Fold each batch norm into a convolution that nothing else reads; write nothing in place.

    A tap is read by the output too: a tapped convolution keeps its norm apart, and an
    activation must not overwrite it.
    """
    for node in list(graph.graph.nodes):
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)
        elif _is(graph, node, nn.BatchNorm2d):
            conv = node.args[0]
            if folds() and _is(graph, conv, nn.Conv2d) and len(conv.users) == 1:
                pair: list[Any] = [graph.get_submodule(n.target) for n in (conv, node)]
                graph.set_submodule(conv.target, fuse_conv_bn_eval(*pair))
                node.replace_all_uses_with(conv)
                graph.graph.erase_node(node)
    for module in graph.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph
