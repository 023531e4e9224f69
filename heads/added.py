"""A head that a package adds: what it raises is one sentence, and what it gives is checked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor

from egofeat.device import is_out_of_memory
from egofeat.errors import EgofeatError, RequestError
from egofeat.heads.head import Head
from egofeat.words import plain

_MOST = 300
"""Letters of what a head raises or gives."""


def is_added(build: Callable[..., Head]) -> bool:
    """Whether what builds heads is a package's, or a person's own."""
    return build.__module__.partition(".")[0] != "egofeat"


def _named(build: Callable[..., Head]) -> str:
    return f"head '{build.__module__}:{getattr(build, '__qualname__', '')}'"


@contextmanager
def blamed(build: Callable[..., Head], *, alone: bool = False) -> Iterator[None]:
    """Say in one sentence what an added head raises, and in which line of its.

    Args:
        build: its class.
        alone: whether nothing else computes here; what passed through no method of the head is not
            its fault otherwise.

    Raises:
        EgofeatError: from what was raised.
    """
    try:
        yield
    except EgofeatError:
        raise
    except Exception as error:
        if not is_added(build) or is_out_of_memory(error):
            raise
        frames = [*walk_tb(error.__traceback__)]
        if not alone and not any(_is_of(build, frame.f_locals.get("self")) for frame, _ in frames):
            raise
        package = build.__module__.partition(".")[0]
        lines = [
            f" ({frame.f_code.co_filename} line {line})"
            for frame, line in frames
            if str(frame.f_globals.get("__name__")).partition(".")[0] == package
        ]
        said = plain(" ".join(f"{type(error).__name__}: {error}".split()), _MOST)
        where = lines[-1] if lines else ""
        raise EgofeatError(f"{_named(build)} raised {said}{where}: correct it") from error


def _is_of(build: Callable[..., Head], found: Any) -> bool:
    return isinstance(build, type) and isinstance(found, build)


def check_added(head: Head, features: Tensor, classes: Mapping[str, int]) -> None:
    """Refuse an added head that gives no logits of these classes, or none that training changes.

    It is given all rows in training mode, and one in evaluation mode, for it will be given as many
    as there are.

    Args:
        head: fresh, and not needed any more.
        features: some rows.
        classes: target to how many it has.

    Raises:
        RequestError: it gives something else, or could not be loaded once it has computed.
        EgofeatError: it raises.
    """
    build = type(head)
    cards = [features.device] if features.is_cuda else []
    with blamed(build, alone=True), torch.random.fork_rng(cards):
        fresh = _shapes(head)
        given = _tried(head.train(), features, classes)
        if not any(of.requires_grad for of in given.values()):
            raise RequestError(
                f"no trainable weight has a part in the logits of {_named(build)}: give it one"
            )
        with torch.inference_mode():
            _tried(head.eval(), features[:1], classes)
        changed = sorted({name for name, _ in fresh.items() ^ _shapes(head).items()})
    if changed:
        raise RequestError(
            f"{_named(build)} has other names or shapes in its state_dict once it has computed "
            f"({plain(', '.join(changed), _MOST)}): make all of them in __init__, and keep their "
            "shapes"
        )


def _shapes(head: Head) -> dict[str, torch.Size]:
    """Those of what is kept of it."""
    state: Mapping[str, Any] = head.state_dict()
    for name, kept in state.items():
        if not isinstance(kept, Tensor):
            raise RequestError(
                f"{_named(type(head))} has {name} in its state_dict, which is no tensor: keep it "
                "elsewhere"
            )
    return {name: kept.shape for name, kept in state.items()}


def _tried(head: Head, features: Tensor, classes: Mapping[str, int]) -> Mapping[str, Tensor]:
    """Its logits, finite and as many as they must be."""
    named, rows = _named(type(head)), len(features)
    mode = f"in {'training' if head.training else 'evaluation'} mode"
    counted = f"{rows} row{'s' if rows > 1 else ''}"
    given: Any = head(features)
    wanted = {target: (rows, count) for target, count in classes.items()}
    found = (
        {t: _kind(of) for t, of in given.items()} if isinstance(given, Mapping) else _kind(given)
    )
    if found != wanted:
        raise RequestError(
            f"{named} gives {plain(str(found), _MOST)} for {counted} {mode}, and must give "
            f"logits of {plain(str(wanted), _MOST)}: correct it"
        )
    if features.isfinite().all() and not all(of.isfinite().all() for of in given.values()):
        raise RequestError(
            f"{named} gives logits that are not finite with its fresh weights {mode}: correct it"
        )
    return dict(given)


def _kind(of: Any) -> tuple[int, ...] | str:
    """Shape of floats; else what it is."""
    if not isinstance(of, Tensor):
        return type(of).__name__
    return tuple(of.shape) if of.is_floating_point() else str(of.dtype)
