"""Published weights of the SlowFast family, PyTorchVideo's files first: theirs are torch files.

Neither publisher gives a sha256. Accuracies are over 10 clips × 3 crops; multiply-adds are of one
view, as PyTorchVideo's model zoo prints them.
"""

from functools import partial

from egofeat.extract.weights import Weights

_FAIR = "https://dl.fbaipublicfiles.com"

_resized = partial(Weights, sha256="", resize=256, interpolation="bilinear")


def _kinetics(
    publisher: str, folder: str, file: str, top1: float, multiply_adds: float | None = None
) -> Weights:
    return _resized(
        name=f"{publisher.lower()}_kinetics400",
        file=file,
        url=f"{_FAIR}/{publisher.lower()}/model_zoo/{folder}/{file}",
        licence=f"Apache-2.0 ({publisher})",
        trained_on="Kinetics-400",
        accuracy=top1,
        views=(10, 3),
        test="pyslowfast" if publisher == "PySlowFast" else "pytorchvideo",
        multiply_adds=multiply_adds,
    )


_pytorchvideo = partial(_kinetics, "PyTorchVideo", "kinetics")
_pyslowfast = partial(_kinetics, "PySlowFast", "kinetics400")


def _ava(publisher: str, file: str, kinetics: int, version: str, mean_ap: float) -> Weights:
    return _resized(
        name=f"{publisher.lower()}_ava_v{version}",
        file=file,
        url=f"{_FAIR}/{publisher.lower()}/model_zoo/ava/{file}",
        licence=f"Apache-2.0 ({publisher})",
        trained_on=f"Kinetics-{kinetics}, then AVA v{version}",
        accuracy=mean_ap,
        metric="mAP",
    )


_EPIC = _resized(
    name="epic_kitchens100",
    # Published as SlowFast.pyth, which says too little in a folder of many weights.
    file="SlowFast_EPIC-KITCHENS-100.pyth",
    url="https://www.dropbox.com/s/uxb6i2xkn91xqzi/SlowFast.pyth?dl=1",
    licence="CC-BY-NC-SA-4.0 (epic-kitchens-slowfast)",
    trained_on="EPIC-KITCHENS-100",
    fps=60.0,
    channels="BGR",
    marks=("head.projection_verb.weight", "head.projection_noun.weight"),
)

WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "slowfast_8x8_r50": (
        _pytorchvideo("SLOWFAST_8x8_R50.pyth", 76.94, 65.71),
        _pyslowfast("SLOWFAST_8x8_R50.pkl", 77.0),
        _EPIC,
    ),
    "slowfast_4x16_r50": (
        _pytorchvideo("SLOWFAST_4x16_R50.pyth", 75.34, 36.69),
        _pyslowfast("SLOWFAST_4x16_R50.pkl", 75.6),
    ),
    "slowfast_8x8_r101": (_pytorchvideo("SLOWFAST_8x8_R101.pyth", 77.90, 127.20),),
    "slowfast_16x8_r101": (_pytorchvideo("SLOWFAST_16x8_R101_50_50.pyth", 78.70, 215.61),),
    "slowfast_nln_16x8_r101": (),
    "slowfast_32x2_r50_ava": (
        _ava("PyTorchVideo", "SLOWFAST_8x8_R50_DETECTION.pyth", 400, "2.2", 24.67),
    ),
    "slowfast_32x2_r101_ava": (
        _ava("PySlowFast", "SLOWFAST_32x2_R101_50_50.pkl", 600, "2.2", 29.1),
        _ava("PySlowFast", "SLOWFAST_32x2_R101_50_50_v2.1.pkl", 600, "2.1", 28.2),
    ),
    "slow_8x8_r50": (
        _pytorchvideo("SLOW_8x8_R50.pyth", 74.58, 54.52),
        _pyslowfast("SLOWONLY_8x8_R50.pkl", 74.8),
    ),
    "slow_4x16_r50": (
        _pytorchvideo("SLOW_4x16_R50.pyth", 72.40, 27.55),
        _pyslowfast("SLOWONLY_4x16_R50.pkl", 72.7),
    ),
    "i3d_8x8_r50": (
        _pytorchvideo("I3D_8x8_R50.pyth", 73.27, 37.53),
        _pyslowfast("I3D_8x8_R50.pkl", 73.5),
    ),
    "i3d_nln_8x8_r50": (_pyslowfast("I3D_NLN_8x8_R50.pkl", 74.0),),
    "i3d_nln_8x8_r101": (),
}
"""Backbone to its published weights, the default first; none where nobody published them."""
