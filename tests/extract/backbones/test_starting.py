"""What a network needs before its first batch: neither torch's compiler nor symbolic algebra."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from egofeat.extract.backbones.backbone import Backbone, Clip, Spec

CODE = """
import sys
from egofeat.extract.backbones import load
backbone = load(sys.argv[1], sys.argv[2])
spec = backbone.spec
print(backbone.tap_shapes(spec.size, spec.clip.frames if spec.clip else 1))
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("name", "weights", "shape"),
    [
        ("mobilenetv2", "random", (1280,)),
        ("mobilenetv2", "default", (1280,)),
        ("i3d", "random", (1024,)),
        ("slowfast_8x8_r50", "random", (2304,)),
        ("s3d", "random", (1024,)),
        ("tv:resnet18", "random", (512,)),
    ],
)
def test_shapes_are_known_without_the_compiler(name, weights, shape):
    command = [sys.executable, "-c", CODE, name, weights]
    shapes, imported = subprocess.check_output(command, text=True).splitlines()
    assert str(shape) in shapes
    assert imported == "[]"


ASKS_FOR_MORE = """
from torch._dynamo.utils import is_compile_supported
import torch._dynamo
from torch._dynamo import utils
from torch._dynamo.utils import counters
assert utils.counters is counters
"""
FINDS_IT = """
import sys
import egofeat.extract.backbones.torchvision
import torch
found = sys.modules["torch._dynamo.utils"]
assert found is torch._dynamo.utils
print(found.__file__)
"""


def test_who_asks_for_the_compiler_meanwhile_gets_it(tmp_path):
    """As another thread may, while torchvision is imported."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(ASKS_FOR_MORE)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}){FINDS_IT}"
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert told.strip().endswith("utils.py")


class NeverEmpty(nn.Module):
    def forward(self, clips):
        if not len(clips):
            raise RuntimeError("cannot reshape a tensor of 0 elements")
        return {"map": clips[:, :2, ::2]}


def test_what_cannot_take_a_batch_of_none_has_shapes_too():
    backbone = Backbone(
        spec=Spec(taps=("map",), size=8, clip=Clip(frames=4, stride=1, fewest=1)),
        module=NeverEmpty(),
        weights="none",
        published=None,
        device=torch.device("cpu"),
        precision="float32",
    )
    assert backbone.tap_shapes(8, 4) == {"map": (2, 2, 8, 8)}
