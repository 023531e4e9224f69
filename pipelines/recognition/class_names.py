"""Names of the classes that published networks tell apart, in the order of their logits.

torchvision's weights carry two lists: 1,000 of ImageNet, 400 of Kinetics (in alphabetical order, as
every publisher of Kinetics-400 weights here numbers them). The others are files beside this one:

- `kinetics600.txt`: `data/label_map_600.txt` of google-deepmind/kinetics-i3d, in alphabetical
  order; `kinetics_600_labels.txt` of tensorflow/models is the same list.
- `ava80.txt`: the 80 actions of AVA v2.2 by their ids, from 1; the 60 that its evaluation counts
  are those of `ava_action_list_v2.1_for_activitynet_2018.pbtxt`.
"""

from collections.abc import Sequence
from importlib.resources import files

from egofeat.errors import RequestError

_LISTS = {600: "kinetics600.txt", 80: "ava80.txt"}


def class_names(classes: int, backbone: str) -> tuple[str, ...]:
    """Names of so many classes.

    Args:
        classes: how many logits there are.
        backbone: for the sentence.

    Raises:
        RequestError: no list of so many is known here.
    """
    if classes in _LISTS:
        return _read(_LISTS[classes])
    # Half a second to import, and wanted by few commands.
    from torchvision.models import ResNet50_Weights  # noqa: PLC0415
    from torchvision.models.video import R3D_18_Weights  # noqa: PLC0415

    for record in (ResNet50_Weights.IMAGENET1K_V2, R3D_18_Weights.KINETICS400_V1):
        names: list[str] = record.meta["categories"]
        if len(names) == classes:
            return tuple(names)
    raise RequestError(
        f"the names of the {classes:,} classes of {backbone} are not known here: choose weights "
        "trained on ImageNet-1k, Kinetics-400, Kinetics-600 or AVA, or fit a head on features of "
        "your own classes"
    )


def _read(name: str) -> tuple[str, ...]:
    place = files("egofeat.pipelines.recognition") / "names" / name
    return tuple(place.read_text(encoding="utf-8").splitlines())


def match_names(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Place of each name among those that are known, -1 where it is none of them.

    Case does not matter, nor whether words are parted by spaces, `_` or `-`.
    """
    places = {_plain(name): place for place, name in reversed(list(enumerate(known)))}
    return [places.get(_plain(name), -1) for name in names]


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
