"""Which persons an extraction keeps the features of, and how they are cut out of maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.adapters.reading.box_files import Detections, annotated, read_detections
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, Spec, spec_of
from egofeat.extract.roi import strides_of
from egofeat.extract.weight_files import detection_settings
from egofeat.extract.weights import Weights
from egofeat.pipelines.extraction.options import RoiConfig
from egofeat.pipelines.extraction.recipe_weights import named_weights
from egofeat.recipe import Recipe
from egofeat.recipe.persons import TAPS, RoiAlign
from egofeat.segments import Dataset

_SIDE = 256
"""Pixels of the input by which the strides of maps are found."""


def find_boxes(config: RoiConfig, dataset: Dataset) -> Detections:
    """The boxes of a data set's key frames; what is left out of them is said.

    Raises:
        RequestError: `boxes` is absent, the data set has no key frames, or none of them has a box.
        ManifestError: a file that is not what it must be.
    """
    if config.boxes != "annotated" and not Path(config.boxes).exists():
        raise RequestError(
            f"`boxes` {config.boxes} is neither a file nor a folder of boxes: give one, or "
            "'annotated' for those of the data set"
        )
    if not dataset.key_frames:
        raise RequestError(
            f"the data set '{dataset.name}' has segments and no key frames, at which persons have "
            "boxes: give `boxes` that a detector found in its videos, describe it with "
            "`format: ava`, or use `egofeat extract`"
        )
    if config.boxes == "annotated":
        found = annotated(dataset)
    else:
        found = read_detections(Path(config.boxes), dataset.segments, config.min_score)
    for remark in found.remarks:
        console.note(remark)
    if not found.boxes:
        raise RequestError(
            f"`boxes` {config.boxes} has no box for a key frame of '{dataset.name}': give boxes of "
            "its videos and times, or see above what was left out"
        )
    return found


def choose_maps(spec: Spec, config: RoiConfig) -> tuple[str, ...]:
    """The taps that boxes are cut out of.

    Raises:
        RequestError: none is named, and the backbone has none that is plain.
    """
    maps = config.maps or tuple(tap for tap in spec.taps if tap == "map" or tap.endswith("_map"))
    if not maps:
        raise RequestError(
            f"{spec.called} has no maps to cut boxes from: choose another `backbone`, as "
            "slowfast_32x2_r50_ava"
        )
    return maps


def choose_person_taps(taps: Sequence[str]) -> tuple[str, ...]:
    """What is kept of each person, `roi` by default.

    Raises:
        RequestError: a tap that persons do not have.
    """
    for tap in taps:
        if tap not in TAPS:
            raise RequestError(f"persons have no tap '{tap}': choose from {', '.join(TAPS)}")
    return tuple(tap for tap in TAPS if tap in (taps or TAPS[:1]))


def choose_align(
    shapes: Mapping[str, tuple[int, ...]],
    side: int,
    config: RoiConfig,
    trained: Mapping[str, Any] | None = None,
) -> RoiAlign:
    """How boxes are cut out of maps.

    Args:
        shapes: tap to the shape of its maps.
        side: pixels of the square input that they are of.
        config: what the person chose.
        trained: the points as the weights were trained, see `grid_of`.

    Raises:
        RequestError: a tap without maps.
    """
    points = {"sampling": 0, "aligned": False, **(trained or {})}
    chosen = {name: getattr(config, name) for name in points if getattr(config, name) is not None}
    return RoiAlign(tuple(shapes), strides_of(shapes, side), **points | chosen)


def align_of(backbone: Backbone, weights: str, frames: int, config: RoiConfig) -> RoiAlign:
    """How boxes are cut out of a backbone's maps, with its points as its weights were trained.

    Args:
        backbone: with these maps as its taps.
        weights: as they were named.
        frames: of a clip.
        config: what the person chose.

    Raises:
        RequestError: a tap without maps.
    """
    trained = grid_of(backbone, weights, config)
    return choose_align(backbone.tap_shapes(_SIDE, frames), _SIDE, config, trained)


def grid_of(backbone: Backbone, weights: str, config: RoiConfig) -> dict[str, Any]:
    """The points of a place as the weights were trained: by their record, or by their own file.

    Nothing where neither says so; of a detection network, that is told.
    """
    record = backbone.published
    if record is None and Path(weights).expanduser().is_file():
        if trained := detection_settings(Path(weights).expanduser()):
            return trained
        if config.aligned is None and backbone.spec.detects:
            console.note(
                f"{weights} does not say how boxes were cut out of its maps: they are not shifted; "
                "give `aligned` if they were while it was trained"
            )
    return _of_record(record)


def trained_grid(recipe: Recipe) -> dict[str, Any]:
    """The same of the published weights of a store."""
    published, name = spec_of(recipe.backbone).weights, named_weights(recipe)
    return _of_record(next((one for one in published if one.name == name), None))


def _of_record(record: Weights | None) -> dict[str, Any]:
    return {"sampling": record.sampling, "aligned": record.aligned} if record else {}
