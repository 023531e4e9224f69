"""A network of transformers as a backbone: its own module, held to its own forward.

No code of a repository runs, and no pickle is read: configurations are JSON, weights safetensors.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from egofeat.errors import EgofeatError, RequestError, WeightsError
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.building import blank, freeze, seeded
from egofeat.extract.backbones.hf.sources import V_JEPA_2_1, Source, find_source, no_v_jepa_2_1
from egofeat.extract.backbones.hf.towers import TOWERS, Given, Tower
from egofeat.extract.backbones.hooked import BATCH, Hooked, rows_of_modules


def family_of(name: str) -> tuple[Spec, Builder]:
    """Spec and builder of a network of transformers, `hf:NAME` of ours.

    `tokens` are its patches, `[C, h, w]` of images and `[t, C, h, w]` of clips; `mean` their mean;
    `cls` its class token; `pooled` what the network itself pools. A layer is a tap by its
    module's name, and gives its patches likewise.

    Args:
        name: `ORG/NAME`, with `@REVISION` where it is not `main`, or the path of a folder.

    Raises:
        RequestError: transformers is not installed, the configuration cannot be had, or it is
            of a kind that is not known.
    """
    try:
        import transformers  # noqa: F401, PLC0415 - seven seconds
    except ImportError:
        raise RequestError(
            f"`backbone` hf:{name} needs transformers, which is not installed: "
            "pip install egofeat[hf]"
        ) from None
    return _family_of(find_source(name))


@functools.lru_cache(maxsize=8)
def _family_of(source: Source) -> tuple[Spec, Builder]:
    try:
        network = HubNetwork(source)
    except EgofeatError:
        raise
    except Exception as error:  # others' code, by values that it does not check
        raise RequestError(
            f"transformers cannot build hf:{source.name} by its configuration "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}): correct its "
            "config.json"
        ) from None
    return network.spec, network.build


_End = Callable[[nn.Module, Given, Tensor], Tensor]


class HubNetwork:
    """The spec of a network of transformers, and how to build it for some taps.

    Args:
        source: its configuration, its processor's and its weights.
    """

    def __init__(self, source: Source) -> None:
        self.name = f"hf:{source.name}"
        said = json.loads(source.config)
        kind = said.get("model_type")
        if kind == "vjepa2" and any(said.get(key) for key in V_JEPA_2_1):
            raise RequestError(no_v_jepa_2_1(self.name))
        if kind not in TOWERS:
            raise RequestError(
                f"{self.name} is of the kind '{kind}': choose a network of one of the kinds "
                f"{', '.join(TOWERS)}"
            )
        self.tower: Tower = TOWERS[kind]
        self.config = _configuration(kind, said, self.tower)
        seen = self.config.vision_config if kind == "xclip" else self.config
        pixels = source.pixels(kind)
        self.grid, self.size = self.tower.grid(seen), pixels.crop
        clip = self.tower.clip(seen, pixels.frames, pixels.fps)
        network = freeze(blank(self._make))
        sides = (clip.frames, self.size, self.size) if clip else (self.size, self.size)
        blanks = torch.empty(BATCH, 3, *sides, device="meta")
        self.ends: dict[str, _End] = {}
        modules = rows_of_modules(network, lambda: self._find_ends(network, blanks))
        taps = (*(tap for tap in modules if tap not in self.ends), *self.ends)
        self.spec = Spec(
            name=self.name,
            taps=taps,
            default_tap=next(tap for tap in ("cls", "pooled", "mean") if tap in taps),
            weights=source.records(pixels),
            grew_from=(),
            parameters=sum(each.numel() for each in network.parameters()),
            size=self.size,
            short_side=pixels.resize,
            interpolation=pixels.interpolation,
            mean=pixels.mean,
            std=pixels.std,
            clip=clip,
        )

    def build(
        self, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
    ) -> nn.Module:
        """The network with the taps, in eval mode, gradients off.

        Args:
            taps: names out of the spec's.
            state: as published, for whatever head; None gives random weights.
            seed: of the random weights.

        Raises:
            WeightsError: weights of the network are missing or of other shapes.
        """
        network = seeded(self._make, seed) if state is None else self._loaded(state, taps)
        made_for = self.size, self.spec.clip.frames if self.spec.clip else None
        return Hooked(freeze(network), self.tower.run, self.ends, taps, self.grid, *made_for)

    def _make(self) -> nn.Module:
        import transformers  # noqa: PLC0415

        return _seeing(getattr(transformers, self.tower.model)(self.config))

    def _loaded(self, state: Mapping[str, Tensor], taps: Sequence[str]) -> nn.Module:
        """The network with weights, by transformers' own renaming of older keys."""
        import transformers  # noqa: PLC0415

        said, model = transformers.logging.get_verbosity(), getattr(transformers, self.tower.model)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            network, told = model.from_pretrained(
                None,
                config=self.config,
                state_dict=dict(state),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # which are told, below
            )
        finally:
            transformers.logging.set_verbosity(said)
            transformers.logging.enable_progress_bar()
        unused = "predictor." if "pooled" in taps else ("predictor.", "pooler.")
        missing = sorted(key for key in told["missing_keys"] if not key.startswith(unused))
        problems = [*missing, *sorted(str(key[0]) for key in told["mismatched_keys"])]
        if problems:
            raise WeightsError(
                f"these are not the weights of {self.name}: missing or misshapen are "
                f"{', '.join(problems[:8])}" + (" and more" if len(problems) > 8 else "")
            )
        return _seeing(network)

    def _find_ends(self, network: nn.Module, blanks: Tensor) -> None:
        """The taps that are no modules: how each is made of what the network gives."""
        given = self.tower.run(network, blanks)
        first, grid = self.grid.prefix, self.grid
        if grid.lay(given.tokens, blanks).ndim > 3:
            self.ends["tokens"] = lambda _network, given, batch: grid.lay(given.tokens, batch)
        self.ends["mean"] = lambda _network, given, _batch: given.tokens[:, first:].mean(1)
        if self.tower.class_token:
            self.ends["cls"] = lambda _network, given, _batch: given.tokens[:, 0]
        if given.pooled is not None:
            self.ends["pooled"] = _pooled


def _seeing(network: nn.Module) -> nn.Module:
    """A network without V-JEPA's predictor of masked patches: features need none of it."""
    if hasattr(network, "predictor"):
        network.predictor = nn.Identity()
    return network


def _pooled(_network: nn.Module, given: Given, _batch: Tensor) -> Tensor:
    assert given.pooled is not None
    return given.pooled


def _configuration(kind: str, said: dict[str, Any], tower: Tower) -> Any:
    from transformers import AutoConfig  # noqa: PLC0415

    try:
        config = AutoConfig.for_model(kind, **{k: v for k, v in said.items() if k != "model_type"})
    except Exception as error:  # its checks raise many kinds
        raise RequestError(
            f"the configuration of a {kind} is not one that transformers takes "
            f"({str(error).splitlines()[0][:200]}): correct its config.json"
        ) from None
    return getattr(config, tower.tower, config) if tower.tower else config
