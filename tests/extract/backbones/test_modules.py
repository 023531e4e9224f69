"""Networks of one's own: what they return is checked, for a store keeps what it is given."""

import pytest
import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones import Spec, load


class Sums(nn.Module):
    """Sums of colours."""

    spec = Spec(taps=("gap",), size=8)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"gap": images.sum(dim=(2, 3))}


class OfAll(Sums):
    """One row for the whole batch."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"gap": images.sum(dim=(0, 2, 3))[None]}


class Listed(Sums):
    """Numbers that are no tensor."""

    def forward(self, images: Tensor) -> dict[str, list[float]]:
        return {"gap": images.sum(dim=(1, 2, 3)).tolist()}


class Other(Sums):
    """Another tap."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"cls": images.sum(dim=(2, 3))}


def test_each_view_of_a_batch_has_its_row():
    (gap,) = load(f"{__name__}:Sums", device="cpu")(torch.ones(3, 3, 8, 8)).values()
    assert torch.equal(gap, torch.full((3, 3), 64.0))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("OfAll", r"OfAll returns \[1, 3\] at tap gap for a batch of 3, and must return a row for"),
        ("Listed", r"Listed returns \[\] at tap gap for a batch of 3"),
        ("Other", "Other returns taps cls, and must return a dict with gap: correct its forward"),
    ],
)
def test_what_is_returned_otherwise_is_refused(name, sentence):
    network = load(f"{__name__}:{name}", device="cpu")
    with pytest.raises(RequestError, match=sentence):
        network(torch.ones(3, 3, 8, 8))
