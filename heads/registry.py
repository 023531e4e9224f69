"""Heads by name, their presets, and the one function that builds them."""

from collections.abc import Callable, Mapping
from typing import Any

from egofeat.errors import RequestError
from egofeat.heads.attention_pool import AttentionPoolHead
from egofeat.heads.conv1d import Conv1dHead, SeedConv1dHead
from egofeat.heads.convlstm import ConvLSTMHead
from egofeat.heads.flow_attention import FlowAttentionHead, SeedFlowAttentionHead
from egofeat.heads.head import Head, merge_steps
from egofeat.heads.linear import LinearHead
from egofeat.heads.lstm import LSTMHead
from egofeat.heads.options import default_options, read_options
from egofeat.heads.roi import RoiHead
from egofeat.heads.stam import StamHead
from egofeat.heads.transformer import TransformerHead
from egofeat.plugins import Plugin, Registry


def _adopt(_: Plugin, found: Any) -> type[Head]:
    if not isinstance(found, type) or not issubclass(found, Head):
        raise TypeError("a class of egofeat.heads.Head")
    return found


HEADS: Registry[Callable[..., Head]] = Registry(
    "head",
    "egofeat.heads",
    {
        "lstm": LSTMHead,
        "convlstm": ConvLSTMHead,
        "conv1d": Conv1dHead,
        "linear": LinearHead,
        "attention_pool": AttentionPoolHead,
        "transformer": TransformerHead,
        "stam": StamHead,
        "flow_attention": FlowAttentionHead,
        "roi": RoiHead,
    },
    _adopt,
    by_path=True,
)

PRESETS: dict[str, dict[str, tuple[Callable[..., Head], dict[str, Any]]]] = {
    "seed": {
        "lstm": (LSTMHead, {"hidden": 50, "summary": "last"}),
        "convlstm": (ConvLSTMHead, {"filters": 64, "kernel": 3, "width": 1000, "norm": False}),
        "conv1d": (SeedConv1dHead, {}),
        "flow_attention": (SeedFlowAttentionHead, {}),
    },
    "stam-egtea": {"stam": (StamHead, {})},
    "stam-egtea-ranger": {"stam": (StamHead, {})},
    "stam-egtea-expanded": {"stam": (StamHead, {"depth": 2})},
    "ava": {"roi": (RoiHead, {})},
}
"""Preset to head to (class, options); `seed` is the MobileNetV2 report's constructions.

How the presets train is in `egofeat.heads.training.recipes`; the `stam-egtea` ones differ in that,
but that the expanded one stacks two modules (the report does not say how many). `ava` is SlowFast's
detection head.
"""


def build_head(
    name: str,
    feature_shape: tuple[int, ...],
    classes: Mapping[str, int],
    preset: str | None = None,
    **options: Any,
) -> Head:
    """Build a head with fresh weights.

    Args:
        name: a key of `HEADS`.
        feature_shape: one segment's features, `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`.
        classes: target to its number of classes; one classifier each, in this order.
        preset: a named set of options, `seed` for the published constructions.
        options: the head's own, the keyword-only parameters of its constructor; they win over
            the preset's. Strings are read as what the option is, so that they may come from a
            command line.

    Raises:
        RequestError: unknown head, preset or option, a value that it cannot have, or
            features that the head cannot take.
    """
    build, _ = _choose(name, preset)
    shape = merge_steps(tuple(feature_shape))
    if len(shape) not in (2, 4):
        raise RequestError(f"features are (T, C), (T, C, H, W) or (V, t, C, H, W), not {shape}")
    if not classes or min(classes.values()) < 1:
        raise RequestError(f"a head needs a target and a class or more of each, not {classes}")
    return build(shape, classes, **resolve_options(name, preset, options))


def resolve_options(name: str, preset: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of a head: its defaults, over them the preset's, over them `options`.

    Raises:
        RequestError: unknown head, preset or option, or a value that it cannot have.
    """
    build, preset_options = _choose(name, preset)
    return read_options(name, build, {**preset_options, **options})


def reads(name: str, preset: str | None = None) -> str:
    """Return what a head reads, a word of `egofeat.heads.head.Head.reads`.

    Raises:
        RequestError: unknown head or preset.
    """
    build, _ = _choose(name, preset)
    return str(getattr(build, "reads", Head.reads))


def head_options(name: str, preset: str | None = None) -> dict[str, Any]:
    """Return option to default of a head, under a preset if one is named.

    Raises:
        RequestError: unknown head or preset.
    """
    build, preset_options = _choose(name, preset)
    return {**default_options(build), **preset_options}


def _choose(name: str, preset: str | None) -> tuple[Callable[..., Head], dict[str, Any]]:
    if name not in HEADS:
        raise RequestError(
            f"there is no head '{name}': choose one of {', '.join(HEADS)}, or install the package "
            "that adds it"
        )
    if preset is None:
        return HEADS[name], {}
    if preset not in PRESETS:
        raise RequestError(f"there is no preset '{preset}': choose one of {', '.join(PRESETS)}")
    if name not in PRESETS[preset]:
        raise RequestError(
            f"preset '{preset}' has no head '{name}': it has {', '.join(PRESETS[preset])}, "
            "or leave the preset out"
        )
    return PRESETS[preset][name]
