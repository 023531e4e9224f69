"""The one function that builds heads, by name and preset, and what it reads of them."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any

from torch.nn.parameter import is_lazy

from egofeat.errors import RequestError
from egofeat.heads.added import blamed
from egofeat.heads.head import Head, merge_steps
from egofeat.heads.names import HEADS, PRESETS
from egofeat.heads.options import default_options, read_options


def build_head(
    name: str,
    feature_shape: tuple[int, ...],
    classes: Mapping[str, int],
    preset: str | None = None,
    of_tap: tuple[str, str] | None = None,
    **options: Any,
) -> Head:
    """Build a head with fresh weights.

    Args:
        name: a key of `HEADS`.
        feature_shape: one segment's features, `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`.
        classes: target to its number of classes; one classifier each, in this order.
        preset: a named set of options, `seed` for the published constructions.
        of_tap: names of the backbone and of its tap that the features are of, for a head of the
            blocks above it.
        options: the head's own, the keyword-only parameters of its constructor; they win over
            the preset's. Strings are read as what the option is, so that they may come from a
            command line.

    Raises:
        RequestError: unknown head, preset or option, a value that it cannot have, or
            features that the head cannot take.
        EgofeatError: the code of a head that is added raises.
    """
    build, _ = choose(name, preset)
    shape = merge_steps(tuple(feature_shape))
    if len(shape) not in (2, 4):
        raise RequestError(f"features are (T, C), (T, C, H, W) or (V, t, C, H, W), not {shape}")
    if not classes or min(classes.values()) < 1:
        raise RequestError(f"a head needs a target and a class or more of each, not {classes}")
    own = resolve_options(name, preset, options)
    above_tap = getattr(build, "above_tap", False)
    if above_tap and of_tap is None:
        raise RequestError(
            f"head '{name}' is the blocks above one tap of a backbone: give one store of that tap"
        )
    with blamed(build, alone=True):
        head = build(shape, classes, *([of_tap] if above_tap else []), **own)
        if any(map(is_lazy, head.parameters())):
            raise TypeError("nn.Lazy… has no shapes yet, which feature_shape tells")
        return head


def resolve_options(name: str, preset: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of a head: its defaults, over them the preset's, over them `options`.

    Raises:
        RequestError: unknown head, preset or option, or a value that it cannot have.
    """
    build, preset_options = choose(name, preset)
    return read_options(name, build, {**preset_options, **options})


def reads(name: str, preset: str | None = None) -> str:
    """Return what a head reads, a word of `egofeat.heads.head.Head.reads`.

    Raises:
        RequestError: unknown head or preset.
    """
    build, _ = choose(name, preset)
    return str(getattr(build, "reads", Head.reads))


def head_options(name: str, preset: str | None = None) -> dict[str, Any]:
    """Return option to default of a head, under a preset if one is named.

    Raises:
        RequestError: unknown head or preset.
    """
    build, preset_options = choose(name, preset)
    return {**default_options(build), **preset_options}


def choose(name: str, preset: str | None) -> tuple[Callable[..., Head], dict[str, Any]]:
    """Return what builds a head, and the options that a preset gives it.

    Raises:
        RequestError: unknown head or preset.
    """
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
    place, options = PRESETS[preset][name]
    return resolve_name(place), options
