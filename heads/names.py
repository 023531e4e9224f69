"""Heads and presets by name: what each is stands in a module, which is imported on use.

Names are read, as by `--help`, without torch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from egofeat.plugins import Plugin, Registry

if TYPE_CHECKING:
    from egofeat.heads.head import Head


def _adopt(_: Plugin, found: Any) -> "type[Head]":
    from egofeat.heads.head import Head, Reads  # noqa: PLC0415 - it imports torch

    if not isinstance(found, type) or not issubclass(found, Head):
        raise TypeError("a class of egofeat.heads.Head")
    if found.reads not in get_args(Reads):
        raise TypeError(f"one that reads {', '.join(get_args(Reads))}, not {found.reads}")
    return found


HEADS: "Registry[Callable[..., Head]]" = Registry(
    "head",
    "egofeat.heads",
    {
        "lstm": "egofeat.heads.lstm:LSTMHead",
        "convlstm": "egofeat.heads.convlstm:ConvLSTMHead",
        "conv1d": "egofeat.heads.conv1d:Conv1dHead",
        "linear": "egofeat.heads.linear:LinearHead",
        "logistic": "egofeat.heads.solved:LogisticHead",
        "knn": "egofeat.heads.solved:KnnHead",
        "attention_pool": "egofeat.heads.attention_pool:AttentionPoolHead",
        "transformer": "egofeat.heads.transformer:TransformerHead",
        "probe": "egofeat.heads.probe:ProbeHead",
        "stam": "egofeat.heads.stam:StamHead",
        "flow_attention": "egofeat.heads.flow_attention:FlowAttentionHead",
        "roi": "egofeat.heads.roi:RoiHead",
        # Made of a network's own blocks, of which heads know nothing.
        "tail": "egofeat.pipelines.training.tail:TailHead",
    },
    _adopt,
    by_path=True,
)

PRESETS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "seed": {
        "lstm": ("egofeat.heads.lstm:LSTMHead", {"hidden": 50, "summary": "last"}),
        "convlstm": (
            "egofeat.heads.convlstm:ConvLSTMHead",
            {"filters": 64, "kernel": 3, "width": 1000, "norm": False},
        ),
        "conv1d": ("egofeat.heads.conv1d:SeedConv1dHead", {}),
        "flow_attention": ("egofeat.heads.flow_attention:SeedFlowAttentionHead", {}),
    },
    "seed-strided": {
        "convlstm": (
            "egofeat.heads.convlstm:ConvLSTMHead",
            {"filters": 8, "kernel": 4, "stride": 4, "pool": "max"},
        ),
    },
    "seed-flow": {
        "flow_attention": (
            "egofeat.heads.flow_attention:SeedFlowAttentionHead",
            {"width": 128, "tanh": True, "weights": "curved"},
        ),
    },
    "stam-egtea": {"stam": ("egofeat.heads.stam:StamHead", {})},
    "stam-egtea-ranger": {"stam": ("egofeat.heads.stam:StamHead", {})},
    "stam-egtea-expanded": {"stam": ("egofeat.heads.stam:StamHead", {"depth": 2})},
    "ava": {"roi": ("egofeat.heads.roi:RoiHead", {})},
    "kinetics": {
        "linear": ("egofeat.heads.linear:LinearHead", {"dropout": 0.5}),
        "tail": ("egofeat.pipelines.training.tail:TailHead", {"dropout": 0.5}),
    },
}
"""Preset to head to (class, options); `seed` is the MobileNetV2 report's constructions,
`seed-strided` the ConvLSTM that its text describes and its tables do not have,
`seed-flow` the network behind flow as attention in the code beside it.

How the presets train is in `egofeat.heads.training.recipes`; the `stam-egtea` ones differ in that,
but that the expanded one stacks two modules (the report does not say how many). `ava` is SlowFast's
detection head, `kinetics` how its recognition networks are trained.
"""
