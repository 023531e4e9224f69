"""Where a network of transformers comes from: a folder, the hub's cache, or the hub."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egofeat.errors import RequestError
from egofeat.extract.hub import HubFile, cache_folder
from egofeat.extract.weights import Weights, sha256_of

_WEIGHTS = "model.safetensors"
_PROCESSORS = (
    "video_preprocessor_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
_RESAMPLING = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that frames are resized by."""
_CLIPS = ("vjepa2", "videomae")
"""Kinds whose processor of videos has defaults of its own."""
V_JEPA_2_1 = ("use_rope_interleave", "use_modality_embeddings", "interpolate_rope")
"""Keys of a configuration of V-JEPA 2.1 in V-JEPA 2's form: transformers, which does not know them,
passes over them, and would turn the positions of patches by other angles."""


def no_v_jepa_2_1(name: str) -> str:
    """Why it is not to be had, for an error."""
    return (
        f"{name} is V-JEPA 2.1, which places patches otherwise than V-JEPA 2 and which "
        "transformers does not have: take V-JEPA 2, as hf:facebook/vjepa2-vitl-fpc64-256, or "
        "import features that its own code made by `egofeat import`"
    )


@dataclass(frozen=True)
class PixelRule:
    """What a processor does to frames."""

    resize: int | tuple[int, int]
    """Pixels before the crop: the short side, or (height, width)."""
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """On values scaled to [0, 1]."""
    frames: int | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Source:
    """One repository at one revision, or a folder."""

    name: str
    revision: str
    folder: Path
    """Where its configurations lie."""
    config: str
    """Text of `config.json`."""
    processor: str
    """Text of its processor's configuration."""
    sha256: str
    """Of the weights of a folder; empty of a repository."""

    @property
    def local(self) -> bool:
        """Whether it is a folder that the user named."""
        return not self.revision

    def records(self, pixels: PixelRule) -> tuple[Weights, ...]:
        """The record of its weights, which may be absent from a folder."""
        hub = None if self.local else HubFile(self.name, _WEIGHTS, self.revision)
        file = f"{self.name}@{self.revision}.safetensors".replace("/", "--")
        return (
            Weights(
                name=self.revision or "folder",
                file=str(self.folder / _WEIGHTS) if self.local else file,
                url=hub.url if hub else str(self.folder),
                hosted=hub is not None,
                sha256=self.sha256,
                hub=hub,
                licence="see its card",
                trained_on="see its card",
                resize=pixels.resize,
                interpolation=pixels.interpolation,
            ),
        )

    def pixels(self, kind: str) -> PixelRule:
        """What its processor does, by its own class where transformers knows one.

        Raises:
            RequestError: it resizes in a way that egofeat has not, or says what is no size, colour
                or rate.
        """
        said = _settled(self.folder, kind, json.loads(self.processor))
        try:
            return self._rule(said)
        except (AttributeError, TypeError, ValueError) as error:
            raise RequestError(
                f"the processor of hf:{self.name} does not say what pixels it makes "
                f"({error}): correct its preprocessor_config.json"
            ) from None

    def _rule(self, said: Mapping[str, Any]) -> PixelRule:
        size, crop = said.get("size") or {}, said.get("crop_size") or {}
        resize: Any = size.get("shortest_edge") or (size.get("height"), size.get("width"))
        resized = (resize, resize) if isinstance(resize, int) else resize
        cropped = (crop.get("height"), crop.get("width"))
        sides = {*(cropped if said.get("do_center_crop") else resized)}
        side, interpolation = min(sides), _RESAMPLING.get(int(said.get("resample", 2)))
        square = len({*resized}) == len(sides) == 1 and 0 < side <= resized[0]
        if not square or not interpolation or said.get("do_resize") is False:
            raise RequestError(
                f"the processor of hf:{self.name} makes no square crops by bilinear or bicubic "
                "resizing: correct its preprocessor_config.json, or choose another network"
            )
        mean, std = _affine(said)
        return PixelRule(
            resize=resize,
            crop=side,
            interpolation=f"{interpolation}-antialias",
            mean=mean,
            std=std,
            frames=_positive(said, "num_frames", int),
            fps=_positive(said, "fps", int, float),
        )


def find_source(name: str) -> Source:
    """The configurations of `ORG/NAME`, `ORG/NAME@REVISION` or a folder.

    Raises:
        RequestError: they are not here and cannot be downloaded, or not whole.
    """
    folder = Path(name).expanduser().absolute()
    if folder.is_dir():
        repository, revision = name, ""  # as the user wrote it: a relative one may move
    else:
        repository, _, revision = name.partition("@")
        revision = revision or "main"
        if repository.count("/") != 1 or not all(repository.split("/")):
            raise RequestError(
                f"'hf:{name}' is neither a folder nor a repository: write hf:ORG/NAME or "
                "hf:/path/to/folder"
            )
        if re.search(r"v-?jepa[-_]?2[._-]1(?![0-9a-z])", repository.lower()):
            raise RequestError(no_v_jepa_2_1(f"hf:{repository}"))
        folder = _snapshot(repository, revision)
    processor = next((folder / file for file in _PROCESSORS if (folder / file).is_file()), None)
    config = folder / "config.json"
    if processor is None or not config.is_file():
        missing = "preprocessor_config.json" if config.is_file() else "config.json"
        raise RequestError(
            f"{folder} has no {missing}, which says what hf:{name} takes: put it there"
        )
    weights = folder / _WEIGHTS
    digest = sha256_of(weights) if not revision and weights.is_file() else ""
    try:
        texts = [config.read_text(), processor.read_text()]
        if not all(isinstance(json.loads(text), dict) for text in texts):
            raise ValueError("no object")
    except ValueError as error:
        raise RequestError(f"{folder} has a configuration that is no JSON ({error})") from None
    return Source(repository, revision, folder, texts[0], texts[1], digest)


def _snapshot(repository: str, revision: str) -> Path:
    """The folder of the cache with a repository's configurations."""
    config = HubFile(repository, "config.json", revision).cached()
    if config:
        return config.parent
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - it asks the network

    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns="*.json", cache_dir=cache_folder()
            )
        )
    except Exception:  # no network, no such repository, a login
        raise RequestError(
            f"hf:{repository} at {revision} is not in {cache_folder()} and could not be "
            "downloaded: download the repository elsewhere and name its folder, "
            "hf:/path/to/folder"
        ) from None


def _settled(folder: Path, kind: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A processor's configuration with the defaults of its class."""
    from transformers import AutoImageProcessor, AutoVideoProcessor  # noqa: PLC0415

    for processor in (AutoVideoProcessor, AutoImageProcessor):
        if processor is AutoVideoProcessor and kind not in _CLIPS:
            continue
        try:
            settled: Mapping[str, Any] = processor.from_pretrained(
                folder, local_files_only=True
            ).to_dict()
        except Exception:  # transformers raises many kinds where it knows no class
            continue
        return settled
    inner = said.get("video_processor") or said.get("image_processor") or said
    return inner if isinstance(inner, dict) else said


def _positive(said: Mapping[str, Any], key: str, *types: type) -> Any:
    """A number above 0, or None where none is said."""
    value = said.get(key)
    is_number = isinstance(value, types)
    if value and not (is_number and 0 < value < math.inf):
        raise ValueError(f"{key} is {value}")
    return value or None


def _affine(said: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation on values in [0, 1], of x · factor − offset, then normalised."""
    scaled = said.get("do_rescale") is not False
    factor = 255 * float((scaled and said.get("rescale_factor")) or (1 / 255 if scaled else 1))
    offset = 1.0 if said.get("offset") else 0.0
    mean, std = said.get("image_mean") or (0.0,) * 3, said.get("image_std") or (1.0,) * 3
    if not said.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    if not len(mean) == len(std) == sum(0 < s < math.inf for s in std) == 3:
        raise ValueError("image_mean and image_std are not of three colours")
    if not all(map(math.isfinite, mean)):
        raise ValueError("image_mean is not finite")
    return tuple((m + offset) / factor for m in mean), tuple(s / factor for s in std)
