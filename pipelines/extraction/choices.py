"""Which choices of an extraction go together, and what they come to for a backbone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, Clip, Spec, spec_of
from egofeat.extract.flow import OF_COLOURS, choose_motion
from egofeat.extract.transforms import check_size
from egofeat.extract.video.opening import check_decoder
from egofeat.extract.weights import Weights
from egofeat.pipelines.extraction.options import ExtractConfig, Pixels
from egofeat.recipe import Clips, KeyFrames, Motion, Plan, Transform, Uniform, Windows
from egofeat.recipe.motion import Weighted
from egofeat.recipe.transform import as_published, squash, whole
from egofeat.store.formats.registry import check_choice
from egofeat.words import counted

IMAGE_OPTIONS = ("frames",)
"""Options of networks of images alone."""
CLIP_OPTIONS = ("clips", "clip_frames")
"""Options of networks of clips alone."""


def choose_plan(
    spec: Spec,
    config: ExtractConfig,
    published: Weights | None = None,
    *,
    key_frames: bool = False,
) -> Plan:
    """The plan that the options ask of a backbone.

    Args:
        spec: of the backbone.
        config: the options.
        published: record of its weights.
        key_frames: whether the segments are moments; a number of frames or clips asked for
            samples the second that follows each.

    Raises:
        RequestError: options that do not go together, or that the backbone cannot take.
    """
    refused = CLIP_OPTIONS if spec.clip is None else IMAGE_OPTIONS
    for name in refused:
        if getattr(config, name) is not None:
            takes = "single images, with `frames`" if spec.clip is None else "clips, with `clips`"
            raise RequestError(f"`{name}` does not suit {spec.called}, which takes {takes}")
    if config.clip_rule not in ("ends", "weights") and (spec.clip is None or config.windows):
        raise RequestError(
            f"`clip_rule` {config.clip_rule} places clips, and there are none here: leave it out"
        )
    if config.windows is not None:
        return _choose_windows(spec, config, config.windows)
    if config.stride is not None:
        raise RequestError("`stride` needs windows: give `windows` as well, or leave it out")
    if key_frames and config.frames is None and config.clips is None:
        if spec.clip is None:
            return KeyFrames(1, 1, config.fps or 30.0)
        return KeyFrames(*_choose_clip(spec.clip, spec, config, published))
    if spec.clip is None:
        if config.fps is not None:
            raise RequestError(
                f"`fps` does not suit the frames that {spec.called} takes of a segment: give it "
                "with `windows`"
            )
        return Uniform(20 if config.frames is None else config.frames)
    rule: str | None = config.clip_rule
    if rule == "weights":
        rule = published.test if published else None
    clips = Clips(config.clips or 1, *_choose_clip(spec.clip, spec, config, published))
    return clips.but(rule=None if rule == "ends" else rule or None)


def _choose_clip(
    clip: Clip, spec: Spec, config: ExtractConfig, published: Weights | None
) -> tuple[int, int, float]:
    """Frames of a clip, their stride and frame rate."""
    frames = check_clip_frames(spec, config.clip_frames or clip.frames)
    return frames, clip.stride, config.fps or (published and published.fps) or clip.fps


def _choose_windows(spec: Spec, config: ExtractConfig, size: int) -> Windows:
    for name in ("frames", "clips"):
        if getattr(config, name) is not None:
            raise RequestError(f"`windows` and `{name}` exclude each other: leave one out")
    if config.crops != 1:
        raise RequestError("`windows` takes one crop: leave `crops` out")
    frames = 1
    if spec.clip:
        most = min(spec.clip.frames, size)
        rounded = most - most % spec.clip.multiple
        if config.clip_frames is None and rounded < spec.clip.fewest:
            rounded = size  # to be refused by the number that was given
        frames = check_clip_frames(spec, config.clip_frames or rounded)
        if frames > size:
            raise RequestError(f"`clip_frames` {frames} is more than `windows` {size}: give fewer")
    return Windows(
        size=size, stride=config.stride or max(1, size // 2), fps=config.fps or 30.0, frames=frames
    )


def check_clip_frames(spec: Spec, frames: int) -> int:
    """Refuse clips that the network cannot take.

    Raises:
        RequestError: too few frames, too many, or not the multiple that it needs.
    """
    assert spec.clip is not None
    if spec.clip.most == spec.clip.fewest != frames:
        raise RequestError(
            f"{spec.called} has positions for clips of {spec.clip.most} frames, not of {frames}: "
            "leave `clip_frames` out"
        )
    if frames < spec.clip.fewest or frames % spec.clip.multiple:
        multiple = f", a multiple of {spec.clip.multiple}" if spec.clip.multiple > 1 else ""
        raise RequestError(
            f"{spec.called} takes clips of {spec.clip.fewest} frames or more{multiple}, not "
            f"{frames}: give such a number"
        )
    return frames


def check_transform(spec: Spec, config: ExtractConfig) -> str:
    """The name of the transform that the options ask of a backbone.

    Raises:
        RequestError: there is none of that name, or it cannot be cropped or sized so.
    """
    if config.size is not None:
        check_size(config.size)
    name = config.transform or ("weights" if config.crops > 1 else spec.transform)
    known = ("squash", "weights")
    if config.roi:
        name, known = config.transform or "whole", ("whole", "squash")
    if name not in known:
        raise RequestError(f"there is no transform '{name}': choose {' or '.join(known)}")
    if name == "squash" and config.crops != 1:
        raise RequestError(
            "`crops` 3 cuts frames that squash keeps whole: give `transform` weights"
        )
    if name == "squash" and config.resize == "float32":
        raise RequestError(
            "`transform` squash resizes in uint8: leave `resize` out, or choose another `transform`"
        )
    return name


def choose_transform(
    spec: Spec, published: Weights | None, pixels: Pixels, motion: Motion | None = None
) -> Transform:
    """The transform of a backbone with its weights.

    Args:
        spec: of the backbone.
        published: record of its weights.
        pixels: what was chosen of it, but for the motion.
        motion: what the network sees; None means colours.
    """
    name = pixels.transform or spec.transform
    if name == "squash":
        chosen = squash(pixels.size or spec.squash_size, mean=spec.mean, std=spec.std)
    else:
        record = published or (spec.weights[0] if spec.weights else None)
        resize = record.resize if record else spec.short_side
        colours: dict[str, Any] = {"mean": spec.mean, "std": spec.std}
        colours["interpolation"] = record.interpolation if record else spec.interpolation
        if name == "whole":
            chosen = whole(resize, pixels.size, **colours)
        else:
            chosen = as_published(spec.size, resize, pixels.size, **colours, crops=pixels.crops)
        chosen = _resized_in(pixels.resize, chosen)
    chosen = replace(chosen, motion=motion, pool_grid=pixels.pool_grid, pool_time=pixels.pool_time)
    if spec.channels != 3:
        return replace(chosen, channels="UV")
    if motion and not isinstance(motion.method, Weighted):
        # Differences have no mean, and on their scale a level is half as high as a colour's.
        halved = tuple(deviation / 2 for deviation in spec.std)
        chosen = replace(chosen, mean=(0.5, 0.5, 0.5), std=halved)
    return replace(chosen, channels=published.channels if published else "RGB")


def _resized_in(arithmetic: str | None, transform: Transform) -> Transform:
    if arithmetic != "uint8":
        return transform
    if not transform.interpolation.startswith("bilinear"):
        # Bicubic curves overshoot, and uint8 cuts them off between rows and columns.
        raise RequestError(
            "`resize` uint8 is for bilinear interpolation, and these weights resize by "
            f"{transform.interpolation}: extract with `resize` float32"
        )
    return replace(transform, arithmetic="uint8")


def transform_today(backbone: Backbone, then: Transform) -> Transform:
    """A recipe's transform as it is made today by its backbone with these weights."""
    name = then.resize if then.resize in ("squash", "whole") else "weights"
    pixels = Pixels(
        transform=name,
        size=then.crop,
        resize=then.arithmetic,
        crops=then.crops,
        pool_grid=then.pool_grid,
        pool_time=then.pool_time,
    )
    motion = then.motion and choose_motion(
        backbone.spec, then.motion.method.name, then.motion.values, console.note
    )
    return choose_transform(backbone.spec, backbone.published, pixels, motion)


def check(config: ExtractConfig) -> None:
    """Refuse values that no backbone can take.

    Raises:
        RequestError: naming the option.
    """
    if config.roi:
        _check_roi(config)
    check_choice(config.format or "hdf5", config.compress if config.format else None)
    check_decoder(config.decoder)


def _check_roi(config: ExtractConfig) -> None:
    of_segments = ("frames", "clips", "windows", "stride", "pool_grid", "pool_time")
    given = [name for name in of_segments if getattr(config, name)]
    if given or config.crops != 1:
        raise RequestError(
            f"`{given[0] if given else 'crops'}` does not suit features of persons, "
            "which are of one clip around each key frame: leave it out"
        )


def for_each(
    config: ExtractConfig,
    backbones: Sequence[str],
    weights: Sequence[str] = (),
    taps: Sequence[tuple[str, ...]] = (),
) -> list[ExtractConfig]:
    """One config a backbone, which differ in nothing else.

    Args:
        config: what they share. Where image and clip networks go together, or networks of
            colours and of flow, each takes the options of its own kind.
        backbones: names, each once.
        weights: one for each backbone, or one for all; none means the config's own.
        taps: likewise.

    Raises:
        RequestError: a number of weights or taps that is neither.
    """
    for option, given in (("weights", weights), ("tap", taps)):
        if len(given) not in (0, 1, len(backbones)):
            number = counted(len(backbones), "backbones")
            raise RequestError(
                f"`{option}` is given {len(given)} times for {number}: give one for all, or "
                "one for each in the same order"
                + ("; taps of one backbone are joined by commas" if option == "tap" else "")
            )
    specs = [spec_of(name) for name in backbones]
    if len({spec.name for spec in specs}) < len(backbones):
        raise RequestError(f"`backbone` names one twice: {', '.join(backbones)}")
    of_clips = [spec.clip is not None for spec in specs]
    of_flow = [spec.channels != 3 for spec in specs]
    configs = []
    for place, name in enumerate(backbones):
        own: dict[str, Any] = {"backbone": name}
        if weights:
            own["weights"] = weights[place % len(weights)]
        if taps:
            own["taps"] = taps[place % len(taps)]
        if len(set(of_clips)) > 1:
            own |= dict.fromkeys(IMAGE_OPTIONS if of_clips[place] else CLIP_OPTIONS)
            if config.windows is None and not of_clips[place]:
                own["fps"] = None
        if len(set(of_flow)) > 1 and of_flow[place] == (config.motion in OF_COLOURS):
            own |= {"motion": None, "motion_values": None}
        configs.append(replace(config, **own))
    return configs
