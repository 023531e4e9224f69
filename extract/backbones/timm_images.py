"""Any image network of timm, as `timm:NAME`, in the pixels that its weights were evaluated in.

timm's own module runs, and nothing of it is folded: features are timm's to rounding. Taps are its
modules by their names, and in every network `map`, `gap` and what else it has of `tokens`, `cls`
and `logits`.
"""

import difflib
import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.building import blank, fill, freeze
from egofeat.extract.backbones.hooked import BATCH, Grid, Hooked, rows_of_modules
from egofeat.extract.hub import HubFile
from egofeat.extract.weights import Weights


def family_of(name: str) -> tuple[Spec, Builder]:
    """Spec and builder of an image network of timm, `timm:NAME` of ours.

    `map` is what `forward_features` gives, `[C, h, w]`, of transformers its patches (which are
    `tokens` too); `cls` the class token; `gap` what enters the classifier, whatever timm pools it
    by; `logits` what leaves it. A module of a transformer gives its patches as maps.

    Args:
        name: of the model in timm, with or without the tag of its weights.

    Raises:
        RequestError: timm is not installed, has no such model, or it takes no square RGB images.
    """
    try:
        import timm  # noqa: PLC0415 - five seconds
    except ImportError:
        raise RequestError(
            f"`backbone` timm:{name} needs timm, which is not installed: pip install egofeat[timm]"
        ) from None
    plain, _, tag = name.partition(".")
    tags = {one.partition(".")[2] for one in timm.list_pretrained(f"{plain}.*")}
    if not timm.is_model(plain) or (tag and tag not in tags):
        known = timm.list_models() if not tag else [f"{plain}.{one}" for one in sorted(tags)]
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.4) or known[:4]
        others = " or timm:".join(near) or plain
        raise RequestError(f"timm has no model '{name}': choose one as timm:{others}")
    return _family_of(name)


@functools.cache
def _family_of(name: str) -> tuple[Spec, Builder]:
    model = TimmModel(name)
    return model.spec, model.build


class TimmModel:
    """The spec of a timm model, and how to build it for some taps.

    Args:
        name: of the model in timm.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        network = freeze(blank(self._make))
        self.config: dict[str, Any] = dict(network.pretrained_cfg)  # type: ignore[arg-type]
        channels, self.size, wide = self.config["input_size"]
        if (channels, self.size) != (3, wide) or self.config.get("crop_mode") == "border":
            raise RequestError(
                f"timm:{name} takes no square crops of RGB: choose another model of timm"
            )
        classifier = self.config.get("classifier") or ""
        self.classifier: str = classifier if isinstance(classifier, str) else classifier[0]
        self.grid = _grid_of(network)
        blanks = torch.empty(BATCH, 3, self.size, self.size, device="meta")
        features = network.forward_features(blanks)  # type: ignore[operator]
        self.ends = _ends_of(network, features, blanks, self.grid)
        modules = rows_of_modules(network, lambda: network(blanks))
        taps = (*(tap for tap in modules if tap not in self.ends), *self.ends)
        self.spec = self._spec(taps, sum(each.numel() for each in network.parameters()))

    def build(
        self, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
    ) -> nn.Module:
        """The network with the taps, in eval mode, gradients off.

        Args:
            taps: names out of the spec's.
            state: timm's state dict, or one that timm converts; None gives random weights.
            seed: of the random weights.

        Raises:
            WeightsError: keys or shapes that are not the model's, or no classifier for `logits`.
        """
        if state is not None:
            state = self._converted(state)
        classifier = self.classifier or "no classifier"
        network = fill(self._make, state, seed, classifier, "logits" in taps, self.spec.name)
        return Hooked(freeze(network), _run, self.ends, taps, self.grid, self.size)

    def _make(self, **classes: int) -> nn.Module:
        import timm  # noqa: PLC0415

        network: nn.Module = timm.create_model(self.name, pretrained=False, **classes)
        return network

    def _converted(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What timm makes of an older or another project's layout; its own stays."""
        network = blank(self._make)
        if all(key in state for key in network.state_dict() if not key.startswith(self.classifier)):
            return state
        convert: Callable[..., Any] | None = getattr(
            sys.modules[type(network).__module__], "checkpoint_filter_fn", None
        )
        converted: Mapping[str, Tensor] = convert(dict(state), network) if convert else state
        return converted

    def _spec(self, taps: Sequence[str], parameters: int) -> Spec:
        resize, interpolation = self._resize(), f"{self.config['interpolation']}-antialias"
        record = self._record(resize, interpolation)
        return Spec(
            name=f"timm:{self.name}",
            taps=tuple(taps),
            default_tap="gap",
            grew_from=(),
            weights=(record,) if record else (),
            parameters=parameters,
            size=self.size,
            short_side=resize,
            interpolation=interpolation,
            mean=tuple(self.config["mean"]),
            std=tuple(self.config["std"]),
        )

    def _resize(self) -> int | tuple[int, int]:
        """What frames are resized to before the crop: the short side, or both (`squash`)."""
        side = math.floor(self.size / (self.config.get("crop_pct") or 0.875))
        return (side, side) if self.config.get("crop_mode") == "squash" else side

    def _record(self, resize: int | tuple[int, int], interpolation: str) -> Weights | None:
        repository, url = self.config.get("hf_hub_id"), self.config.get("url") or ""
        tag = self.config.get("tag") or "timm"
        hub = None
        if repository:
            hub = HubFile(repository, self.config.get("hf_hub_filename") or "model.safetensors")
            url, ending = hub.url, hub.file.rpartition(".")[2]
            file = f"{self.config['architecture']}.{tag}.{ending}"
        elif url:
            file = url.rpartition("/")[2]
        else:
            return None
        return Weights(
            name=tag,
            file=file,
            url=url,
            sha256="",
            hub=hub,
            licence=f"{self.config.get('license') or 'not stated'} (timm)",
            trained_on=tag,
            resize=resize,
            interpolation=interpolation,
        )


def _run(network: nn.Module, batch: Tensor) -> Any:
    return network.forward_features(batch)  # type: ignore[operator]


def _grid_of(network: nn.Module) -> Grid | None:
    embed = getattr(network, "patch_embed", None) or getattr(network, "stem", None)
    patch = getattr(embed, "patch_size", None)
    if patch is None:
        return None
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    return Grid(patch=sides, prefix=getattr(network, "num_prefix_tokens", 0) or 0)


_End = Callable[[nn.Module, Any, Tensor], Tensor]


def _ends_of(
    network: nn.Module, features: Any, batch: Tensor, grid: Grid | None
) -> dict[str, _End]:
    """The taps that are no modules: how each is made of what `forward_features` gives."""
    ends: dict[str, _End] = {}
    if isinstance(features, Tensor) and features.ndim == 4:
        last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        ends["map"] = _channels_second if last else lambda _network, given, _batch: given
    elif isinstance(features, Tensor) and features.ndim == 3 and grid:
        if grid.lay(features, batch).ndim == 4:
            ends["map"] = ends["tokens"] = lambda _network, given, batch: grid.lay(given, batch)
        if grid.prefix and getattr(network, "cls_token", None) is not None:
            ends["cls"] = lambda _network, given, _batch: given[:, 0]
    ends["gap"] = lambda network, given, _batch: network.forward_head(given, pre_logits=True)  # type: ignore[operator]
    if getattr(network, "num_classes", 0):
        ends["logits"] = lambda network, given, _batch: network.forward_head(given)  # type: ignore[operator]
    return ends


def _channels_second(_network: nn.Module, given: Any, _batch: Tensor) -> Tensor:
    maps: Tensor = given.movedim(-1, 1)
    return maps
