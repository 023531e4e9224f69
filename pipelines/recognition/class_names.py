"""Names of the classes that published networks tell apart, in the order of their logits.

torchvision's weights carry the lists: 1,000 of ImageNet, 400 of Kinetics (in alphabetical order, as
every publisher of Kinetics-400 weights here numbers them).
"""

from egofeat.errors import RequestError


def class_names(classes: int, backbone: str) -> tuple[str, ...]:
    """Names of so many classes.

    Args:
        classes: how many logits there are.
        backbone: for the sentence.

    Raises:
        RequestError: no list of so many is known here.
    """
    # Half a second to import, and wanted by this command alone.
    from torchvision.models import ResNet50_Weights  # noqa: PLC0415
    from torchvision.models.video import R3D_18_Weights  # noqa: PLC0415

    for record in (ResNet50_Weights.IMAGENET1K_V2, R3D_18_Weights.KINETICS400_V1):
        names: list[str] = record.meta["categories"]
        if len(names) == classes:
            return tuple(names)
    raise RequestError(
        f"the names of the {classes:,} classes of {backbone} are not known here: choose weights "
        "trained on ImageNet-1k or Kinetics-400, or fit a head on features of your own classes"
    )
