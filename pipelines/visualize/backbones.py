"""`egofeat visualize`: a backbone's kernels, maps, what channels answer to; optical flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, Spec, load, spec_of
from egofeat.extract.backbones.backbone import check_taps
from egofeat.extract.flow import choose_motion
from egofeat.pipelines.extraction import options
from egofeat.pipelines.extraction.choices import choose_transform
from egofeat.pipelines.figures.mosaics import Pixels, draw_mosaic, on_lines
from egofeat.pipelines.visualize.flow import draw_flow, read_moments
from egofeat.pipelines.visualize.kernels import (
    bottleneck_layers,
    convolutions,
    draw_kernels,
    find_layer,
    first_layers,
)
from egofeat.pipelines.visualize.maps import draw_maps, maps_of, plan_of, read_excerpt
from egofeat.pipelines.visualize.maximise import maximise
from egofeat.pipelines.visualize.options import (
    FlowConfig,
    KernelsConfig,
    MapsConfig,
    MaximisationConfig,
)
from egofeat.segments import Media

_CHANNELS = 12
"""Channels of a block whose images are made where none are named."""
_COLUMNS = 6
"""Images on a line."""


@dataclass(frozen=True)
class Pictures:
    """What was drawn."""

    pictures: tuple[str, ...]

    def lines(self) -> list[str]:
        """One path a line."""
        return list(self.pictures)


def kernels(asked: KernelsConfig) -> Pictures:
    """Draw first-layer kernels and those of chosen convolutions, a PNG each.

    Without any chosen, of residual networks, the second ones of the last bottleneck of each stage.

    Raises:
        RequestError: no such backbone or convolution, or a backbone without any.
        WeightsError: see `load`.
    """
    backbone, layers = asked.backbone, asked.layers
    spec = spec_of(backbone)
    network = _load(asked, _all_taps(spec), "cpu")
    bgr = network.published is not None and network.published.channels == "BGR"
    known = convolutions(network.module)
    for name in layers:
        find_layer(known, name, backbone)
    if not known:
        raise RequestError(f"{backbone} has no kernels to draw: choose another `backbone`")
    chosen = first_layers(known, spec.channels) + list(layers or bottleneck_layers(network.module))
    drawn = [
        draw_kernels(
            known[name], _file(asked.out, backbone, "kernels", name), f"{backbone} {name}", bgr=bgr
        )
        for name in dict.fromkeys(chosen)
    ]
    return Pictures(tuple(map(str, drawn)))


def maps(asked: MapsConfig) -> Pictures:
    """Draw the feature maps of a clip, a PNG a tap.

    Raises:
        RequestError: no such video, backbone or tap, a tap without maps, or a backbone of flow.
        WeightsError: see `load`.
        MediaError: the video cannot be read, or ends before the start.
    """
    backbone, video, taps = asked.backbone, asked.video, asked.taps
    if not video.exists():
        raise RequestError(f"there is no video {video}: give `video` a file that exists")
    if spec_of(backbone).channels != 3:
        raise RequestError(
            f"{backbone} sees flow, and visualize maps draws what networks make of colours: see "
            "flow itself with egofeat visualize flow, or choose another `backbone`"
        )
    network = _load(asked, taps or _all_taps(spec_of(backbone)), asked.device)
    transform = choose_transform(network.spec, network.published, options.Pixels())
    plan = plan_of(network)
    shapes = network.tap_shapes(transform.crop, plan.frames)
    for tap in taps:
        if len(shapes[tap]) == 1:
            raise RequestError(f"the tap '{tap}' of {backbone} is a vector: choose one with maps")
    excerpt = read_excerpt(video, plan, transform, asked.start)
    made = maps_of(network, transform, excerpt)
    pictures = []
    for tap, of_tap in made.items():
        seen = excerpt.only(network.frames_seen(tap, len(excerpt.times)))
        path, title = _file(asked.out, backbone, "maps", tap), f"{backbone} on {video.name}: {tap}"
        pictures.append(str(draw_maps(of_tap, seen, path, title)))
    return Pictures(tuple(pictures))


def flow(asked: FlowConfig) -> Pictures:
    """Draw the optical flow of a few frames, one PNG; see `draw_flow`.

    Raises:
        RequestError: no such method, or what it needs is not there.
        WeightsError: RAFT's weights are not to be had.
        MediaError: the video cannot be read, or ends before the start.
    """
    video, method = asked.video, asked.method
    motion = choose_motion(spec_of("flow_grid"), method, note=console.note)
    assert motion is not None
    media = Media(video, fps=asked.fps or 30.0)
    moments = read_moments(media, motion.method, asked.start, choose_device(asked.device))
    name = video.stem.replace(" ", "_")
    title = f"optical flow of {video.name} by {method}"
    return Pictures((str(draw_flow(moments, asked.out / f"flow-{method}-{name}.png", title)),))


def activation_maximisation(asked: MaximisationConfig) -> Pictures:
    """Draw images that channels of chosen blocks answer to most: a PNG a block and an overview.

    Raises:
        RequestError: no such backbone, block or channel, or a backbone without blocks.
        WeightsError: see `load`.
    """
    backbone = asked.backbone
    spec = spec_of(backbone)
    if spec.clip or "block0" not in spec.taps:
        raise RequestError(f"{backbone} has no blocks to maximise: choose mobilenetv2")
    networks = {
        tap: _load(asked, [tap], asked.device)
        for tap in check_taps([f"block{number}" for number in asked.blocks], spec)
    }
    chosen = {tap: _channels(network, tap, asked.channels) for tap, network in networks.items()}
    total = asked.steps * sum(map(len, chosen.values()))
    with console.progress("maximising", total, "steps") as progress:
        made = {
            tap: maximise(
                network.module,
                tap,
                chosen[tap],
                mean=spec.mean,
                std=spec.std,
                steps=asked.steps,
                seed=asked.seed,
                on_step=progress,
            )
            for tap, network in networks.items()
        }
    return _draw_maximised(backbone, made, chosen, asked.out)


def _draw_maximised(
    backbone: str, made: Mapping[str, Pixels], chosen: Mapping[str, Sequence[int]], out: Path
) -> Pictures:
    """Draw each tap's images `[n, H, W, 3]` under their channels, and all taps' first ones."""
    method = "activation-maximisation"
    pictures = [
        _draw_images(
            on_lines(images, min(_COLUMNS, len(images))),
            chosen[tap],
            _file(out, backbone, method, tap),
            f"{backbone} {tap}: images that a channel answers to most",
        )
        for tap, images in made.items()
    ]
    width = min(_COLUMNS, *map(len, made.values()))
    overview = _draw_images(
        np.concatenate([on_lines(images, width)[:1] for images in made.values()]),
        [channel for some in chosen.values() for channel in some[:width]],
        _file(out, backbone, method),
        f"{backbone}: images that a channel of each block answers to most",
        rows=list(made),
    )
    return Pictures((*map(str, pictures), str(overview)))


def _channels(network: Backbone, tap: str, wanted: Sequence[int]) -> list[int]:
    count = network.tap_shapes(64)[tap][0]
    for channel in wanted:
        if not 0 <= channel < count:
            raise RequestError(
                f"`channels` {channel}: {tap} of {network.spec.name} has channels 0 to {count - 1}"
            )
    spread = [(2 * place + 1) * count // (2 * _CHANNELS) for place in range(_CHANNELS)]
    return list(dict.fromkeys(wanted or spread))


def _draw_images(
    tiles: Pixels, channels: Sequence[int], out: Path, title: str, rows: Sequence[str] = ()
) -> Path:
    return draw_mosaic(
        tiles,
        out,
        title=title,
        rows=rows or [""] * len(tiles),
        captions=[str(channel) for channel in channels],
        note="the number is the channel's",
        gap=4,
    )


def _file(folder: Path, backbone: str, *words: str) -> Path:
    return folder / ("-".join([backbone.replace(":", "-"), *words]) + ".png")


def _all_taps(spec: Spec) -> list[str]:
    """All but the classifier, which weights may lack."""
    return [tap for tap in spec.taps if tap != "logits"]


def _load(
    asked: KernelsConfig | MapsConfig | MaximisationConfig, taps: Sequence[str], device: str
) -> Backbone:
    return load(
        asked.backbone,
        weights=asked.weights,
        taps=taps,
        device=choose_device(device),
        note=console.note,
    )
