"""How many classes there are: in a state dict, and in the sets that networks are published for."""

from collections.abc import Mapping

from torch import Tensor

from egofeat.errors import WeightsError

KINETICS_CLASSES = 400
AVA_CLASSES = 80


def count_classes(state: Mapping[str, Tensor], weight: str, needed: bool, name: str) -> int | None:
    """Classes of the classifier in a state dict; None where it has none.

    Args:
        state: in the network's own layout.
        weight: key of the classifier's weight, whose first axis counts the classes.
        needed: whether a tap was asked for that the classifier gives.
        name: of the backbone, for the error.

    Raises:
        WeightsError: a classifier that is needed is not there.
    """
    if weight in state:
        return len(state[weight])
    if needed:
        raise WeightsError(
            f"there is no classifier ({weight}) in these weights of {name}: ask for another tap "
            "than its logits, or give weights that have one"
        )
    return None
