"""Any image network of timm is timm's own: its features, its pixels, its weights."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from egofeat.errors import EgofeatError, WeightsError
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.transforms import normalise, prepare
from egofeat.pipelines.extraction.choices import choose_transform
from egofeat.pipelines.extraction.options import Pixels

timm = pytest.importorskip("timm")

NAMES = (
    *("test_resnet", "test_convnext", "test_efficientnet"),
    *("test_vit", "test_vit3", "test_mambaout"),
)


def kept(name, folder):
    """A network of timm with weights that no layer begins with, and their file."""
    torch.manual_seed(3)
    network = timm.create_model(name).eval()
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(0.02 * torch.randn_like(tensor))
    file = folder / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, file)
    return network, file


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_timm(name, tmp_path):
    network, file = kept(name, tmp_path)
    taps = [tap for tap in spec_of(f"timm:{name}").taps if tap in ("map", "cls", "gap", "logits")]
    ours = load(f"timm:{name}", weights=file, taps=taps)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        (maps,) = network.forward_intermediates(
            images, indices=1, intermediates_only=True, norm=True
        )
        given = network.forward_features(images)
        expected = {
            "map": maps,
            "gap": network.forward_head(given, pre_logits=True),
            "logits": network(images),
        }
    found = ours(images)
    if name == "test_vit":
        expected["cls"] = given[:, 0]
    if given.ndim == 4:
        last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        expected["map"] = given.movedim(-1, 1) if last else given
    assert set(found) == set(expected)
    for tap, right in expected.items():
        torch.testing.assert_close(found[tap], right, rtol=1e-5, atol=1e-5)


def test_a_block_is_a_tap_and_what_is_deeper_does_not_run(tmp_path):
    network, file = kept("test_vit", tmp_path)
    ours = load("timm:test_vit", weights=file, taps=["blocks.2"])
    images = torch.randn(2, 3, 160, 160)
    (right,) = network.forward_intermediates(images, indices=[2], intermediates_only=True)
    torch.testing.assert_close(ours(images)["blocks.2"], right.detach(), rtol=1e-5, atol=1e-5)
    ours.module.network.norm.forward = None  # which would fail
    assert ours.tap_shapes(160) == {"blocks.2": (64, 10, 10)}


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "vit_base_patch16_siglip_224"])
@pytest.mark.parametrize("size", [(456, 256), (100, 77), (640, 480)])
def test_pixels_are_those_of_timm_to_what_pillow_rounds(name, size):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    image = np.random.default_rng(1).integers(0, 256, (9, 16, 3), np.uint8)
    image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    right = timm.data.create_transform(**config)(Image.fromarray(image))
    transform = choose_transform(spec_of(f"timm:{name}"), None, Pixels())
    ours = normalise(transform, prepare(transform, torch.from_numpy(image)))[0]
    levels = (ours - right).abs() * torch.tensor(transform.std)[:, None, None] * 255
    assert levels.max() < 1.01
    assert (levels > 0.01).float().mean() < 0.25


def test_a_module_s_tap_is_what_it_gave_and_not_what_was_written_over_it(tmp_path):
    network, file = kept("test_resnet", tmp_path)
    images, gave = torch.randn(1, 3, 160, 160), {}
    taps = ["layer1.0.bn2", "layer2.0.conv1", "layer2.0"]
    for tap in taps:
        network.get_submodule(tap).register_forward_hook(
            lambda _module, _inputs, output, tap=tap: gave.update({tap: output.clone()})
        )
    with torch.no_grad():
        network(images)
    for tap, found in load("timm:test_resnet", weights=file, taps=taps)(images).items():
        torch.testing.assert_close(found, gave[tap], rtol=1e-5, atol=1e-5)


def test_weights_are_looked_for_in_the_cache_of_the_hub(tmp_path, monkeypatch):
    _, file = kept("test_vit", tmp_path)
    cache = tmp_path / "hub" / "models--timm--test_vit.r160_in1k"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("c0ffee")
    (cache / "snapshots" / "c0ffee").mkdir(parents=True)
    file.rename(cache / "snapshots" / "c0ffee" / "model.safetensors")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = load("timm:test_vit")
    assert found.weights.startswith("sha256:")
    assert found.published.trained_on == "r160_in1k"


def test_a_backbone_with_other_classes_loads_and_one_without_has_no_logits(tmp_path):
    network = timm.create_model("test_vit", num_classes=7)
    save_file(network.state_dict(), tmp_path / "seven.safetensors")
    seven = load("timm:test_vit", weights=tmp_path / "seven.safetensors", taps=["logits"])
    assert seven.tap_shapes(160) == {"logits": (7,)}
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "none.pth")
    assert load("timm:test_vit", weights=tmp_path / "none.pth").tap_shapes(160) == {"gap": (64,)}
    with pytest.raises(EgofeatError, match=r"timm:test_vit have no classifier"):
        load("timm:test_vit", weights=tmp_path / "none.pth", taps=["logits"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet1", "timm has no model 'resnet1': choose one as timm:resnet"),
        ("timm:test_vit.x", "no model 'test_vit.x': choose one as timm:test_vit.r160_in1k"),
        ("timm:vit_base_patch16_sapiens2", "takes no square crops of RGB"),
    ],
)
def test_what_cannot_be_is_one_sentence(name, words):
    with pytest.raises(EgofeatError, match=words):
        spec_of(name)


def test_another_size_than_a_transformer_takes_is_refused():
    with pytest.raises(EgofeatError, match="cannot take 96 × 96 pixels: give `size` 224"):
        load("timm:vit_tiny_patch16_224", weights="random").tap_shapes(96)


def test_without_timm_the_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EgofeatError, match=r"pip install egofeat\[timm\]"):
        spec_of("timm:test_vit")


def test_weights_are_to_blame_where_batch_norms_stay_apart(tmp_path):
    network, file = kept("test_resnet", tmp_path)
    state = network.state_dict()
    state["bn1.running_var"][0] = -1.0
    save_file(state, file)
    backbone = load("timm:test_resnet", file)
    with pytest.raises(WeightsError, match="values of timm:test_resnet at tap gap are not finite"):
        backbone.check_on_noise(64, 1)
