"""A network of transformers is transformers' own: features, pixels, frames, weights."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from egofeat.errors import EgofeatError
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.hub import HubFile
from egofeat.extract.transforms import normalise, prepare
from egofeat.pipelines.extraction.choices import check_clip_frames, choose_transform
from egofeat.pipelines.extraction.options import Pixels

tr = pytest.importorskip("transformers")

WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {**WIDE, "intermediate_size": 48}
SEEN = {**SMALL, "image_size": 32, "patch_size": 16}
READ = {**SMALL, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
MIT = {f"mit_{name}": value for name, value in SMALL.items()}
JEPA = {"hidden_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
JEPA |= {f"pred_{name}": value for name, value in JEPA.items()}
CROP = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
COLOURS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
SQUARE = {"size": {"height": 32, "width": 32}, "do_center_crop": False}

KINDS = {
    "vjepa2": (
        "VJEPA2Model",
        lambda: tr.VJEPA2Config(patch_size=16, crop_size=32, frames_per_clip=4, **JEPA),
        {"video_processor_type": "VJEPA2VideoProcessor", **CROP},
    ),
    "videomae": (
        "VideoMAEForVideoClassification",
        lambda: tr.VideoMAEConfig(num_frames=4, **SEEN),
        {"image_processor_type": "VideoMAEImageProcessor", **CROP},
    ),
    "timesformer": (
        "TimesformerForVideoClassification",
        lambda: tr.TimesformerConfig(num_frames=4, **SEEN),
        {"image_processor_type": "VideoMAEImageProcessor", **CROP},
    ),
    "vivit": (
        "VivitModel",
        lambda: tr.VivitConfig(image_size=32, num_frames=4, tubelet_size=[2, 16, 16], **SMALL),
        {"image_processor_type": "VivitImageProcessor", **CROP}
        | {"offset": True, "rescale_factor": 1 / 127.5},
    ),
    "xclip": (
        "XCLIPModel",
        lambda: tr.XCLIPConfig(
            text_config=READ, vision_config={**SEEN, **MIT, "num_frames": 4}, projection_dim=32
        ),
        {"image_processor_type": "VideoMAEImageProcessor", **CROP},
    ),
    "dinov2": (
        "Dinov2Model",
        lambda: tr.Dinov2Config(image_size=32, patch_size=16, **WIDE),
        {"image_processor_type": "BitImageProcessor", **CROP},
    ),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        lambda: tr.Dinov2WithRegistersConfig(image_size=32, patch_size=16, **WIDE),
        {"image_processor_type": "BitImageProcessor", **CROP},
    ),
    "dinov3_vit": (
        "DINOv3ViTModel",
        lambda: tr.DINOv3ViTConfig(num_register_tokens=4, **SEEN),
        {"image_processor_type": "DINOv3ViTImageProcessorFast", **SQUARE},
    ),
    "siglip": (
        "SiglipModel",
        lambda: tr.SiglipConfig(text_config=READ, vision_config=SEEN),
        {"image_processor_type": "SiglipImageProcessor", **SQUARE},
    ),
    "clip": (
        "CLIPModel",
        lambda: tr.CLIPConfig(text_config=READ, vision_config=SEEN),
        {"image_processor_type": "CLIPImageProcessor", **CROP},
    ),
}
FILES = {"vjepa2": "video_preprocessor_config.json"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Kind to its network of transformers, and the folder that it was saved to."""
    made = {}

    def folder_of(kind):
        if kind not in made:
            model, config, processor = KINDS[kind]
            torch.manual_seed(1)
            network = getattr(tr, model)(config()).eval()
            with torch.no_grad():
                for tensor in network.parameters():
                    tensor.add_(0.05 * torch.randn_like(tensor))
            folder = tmp_path_factory.mktemp(kind)
            tr.logging.disable_progress_bar()
            network.save_pretrained(folder)
            said = {**processor, **COLOURS, "resample": 3}
            (folder / FILES.get(kind, "preprocessor_config.json")).write_text(json.dumps(said))
            made[kind] = network, folder
        return made[kind]

    return folder_of


def own(kind, network, batch):
    """Last hidden state, and what is pooled, by transformers' own forward."""
    clips = batch.transpose(1, 2) if batch.ndim == 5 else batch
    with torch.no_grad():
        if kind == "vjepa2":
            return network(pixel_values_videos=clips).last_hidden_state, None
        if kind == "xclip":
            given = network.get_video_features(pixel_values=clips)
            return given.last_hidden_state, given.pooler_output
        tower = {"siglip": "vision_model", "clip": "vision_model"}.get(kind, kind)
        given = getattr(network, tower, network)(pixel_values=clips)
        return given.last_hidden_state, getattr(given, "pooler_output", None)


def on_grid(kind, hidden):
    """Patches `[B, t, C, h, w]` or `[B, C, h, w]` of a sequence, written out kind by kind."""
    if kind == "timesformer":
        return hidden[:, 1:].reshape(2, 2, 2, 4, 32).permute(0, 3, 4, 1, 2)
    if kind == "xclip":
        return hidden[:, 1:].reshape(2, 4, 2, 2, 32).permute(0, 1, 4, 2, 3)
    if kind in ("vjepa2", "videomae", "vivit"):
        patches = hidden[:, 1:] if kind == "vivit" else hidden
        return patches.reshape(2, 2, 2, 2, -1).permute(0, 1, 4, 2, 3)
    return hidden[:, -4:].reshape(2, 2, 2, 32).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_transformers(kind, folders):
    network, folder = folders(kind)
    spec = spec_of(f"hf:{folder}")
    taps = [tap for tap in spec.taps if tap in ("tokens", "mean", "cls", "pooled")]
    ours = load(f"hf:{folder}", taps=taps)
    assert ours.weights.startswith("sha256:")
    batch = torch.randn(2, 3, *((4,) if spec.clip else ()), 32, 32)
    found, (hidden, pooled) = ours(batch), own(kind, network, batch)
    expected = {"tokens": on_grid(kind, hidden)}
    steps = expected["tokens"].movedim(-3, 1).flatten(2)
    expected["mean"] = steps.mean(2)
    if kind not in ("vjepa2", "videomae", "xclip", "siglip"):
        expected["cls"] = hidden[:, 0]
    if pooled is not None:
        expected["pooled"] = pooled
    assert set(found) == set(expected)
    for tap, right in expected.items():
        torch.testing.assert_close(found[tap], right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["vjepa2", "videomae", "vivit", "dinov3_vit"])
def test_a_layer_gives_its_patches_where_they_are_in_the_picture(kind, folders):
    _, folder = folders(kind)
    ours = load(f"hf:{folder}", taps=["embeddings" if kind != "vjepa2" else "encoder.embeddings"])
    shape = (1, 3, 4, 32, 32) if ours.spec.clip else (1, 3, 32, 32)
    before = torch.randn(shape)
    after = before.clone()
    after[..., 16:, :16] += 1  # the lower left patch
    if ours.spec.clip:
        after[:, :, :2] = before[:, :, :2]  # of the second step
    (one,), (other,) = ours(before).values(), ours(after).values()
    changed = (one != other).any(dim=-3)[0].nonzero().tolist()
    assert changed == ([[1, 1, 0]] if ours.spec.clip else [[1, 0]])


@pytest.mark.parametrize("kind", ["vjepa2", "vivit", "dinov2", "siglip", "clip"])
def test_pixels_are_those_of_the_processor(kind, folders):
    _, folder = folders(kind)
    image = np.random.default_rng(1).integers(0, 256, (5, 8, 3), np.uint8)
    image = np.array(Image.fromarray(image).resize((80, 50), Image.Resampling.BICUBIC))
    spec = spec_of(f"hf:{folder}")
    transform = choose_transform(spec, None, Pixels())
    ours = normalise(transform, prepare(transform, torch.from_numpy(image)))[0]
    if kind == "vjepa2":
        processor = tr.AutoVideoProcessor.from_pretrained(folder)
        right = processor([[image]], return_tensors="pt")["pixel_values_videos"][0, 0]
    else:
        processor = tr.AutoImageProcessor.from_pretrained(folder)
        given = [[image]] if spec.clip else image
        right = processor(given, return_tensors="pt")["pixel_values"].reshape(3, 32, 32)
    levels = (ours - right).abs() * torch.tensor(transform.std)[:, None, None] * 255
    assert levels.max() < 1.01


def test_another_number_of_frames_than_a_network_takes_is_refused(folders):
    _, folder = folders("videomae")
    with pytest.raises(EgofeatError, match=r"cannot take 8 frames of 32 × 32 pixels: .* 4$"):
        load(f"hf:{folder}").tap_shapes(32, 8)
    for frames in (2, 8):
        with pytest.raises(EgofeatError, match=f"positions for clips of 4 frames, not of {frames}"):
            check_clip_frames(spec_of(f"hf:{folder}"), frames)
    _, folder = folders("vjepa2")  # which takes any
    assert load(f"hf:{folder}", taps=["tokens"]).tap_shapes(32, 8) == {"tokens": (4, 48, 2, 2)}


def test_v_jepa_2_1_is_not_run_as_v_jepa_2(folders, tmp_path, monkeypatch):
    """Its own keys change its positions, and transformers passes over them without a word."""
    shutil.copytree(folders("vjepa2")[1], tmp_path, dirs_exist_ok=True)
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(said | {"use_rope_interleave": False}))
    assert spec_of(f"hf:{tmp_path}").clip
    (tmp_path / "config.json").write_text(json.dumps(said | {"use_rope_interleave": True}))
    told = r"is V-JEPA 2\.1, which places patches .*: take V-JEPA 2, as hf:"
    for name in (tmp_path, "facebook/vjepa2.1-vitl-fpc64-384", "meta/V-JEPA-2_1-large@main"):
        with pytest.raises(EgofeatError, match=told):
            spec_of(f"hf:{name}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EgofeatError, match="could not be downloaded"):
        spec_of("hf:facebook/vjepa2-1b-and-more")


@pytest.mark.parametrize("prefix", ["hf", "timm", "tv"])
def test_a_library_alone_names_no_network(prefix):
    with pytest.raises(EgofeatError, match=f"'{prefix}:' names no network: {prefix}:NAME is a"):
        spec_of(f"{prefix}:")


def test_weights_of_another_network_are_refused(folders):
    _, folder = folders("dinov2")
    _, other = folders("siglip")
    with pytest.raises(EgofeatError, match=r"not the weights of hf:.*embeddings"):
        load(f"hf:{folder}", weights=other / "model.safetensors")


def test_a_repository_is_read_from_the_cache_without_a_network(folders, tmp_path, monkeypatch):
    _, folder = folders("dinov2")
    cache = tmp_path / "models--org--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("c0ffee\n")
    (cache / "snapshots").mkdir()
    (cache / "snapshots" / "c0ffee").symlink_to(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    cached, named = load("hf:org/name"), load("hf:org/name@c0ffee")
    assert cached.weights == named.weights == load(f"hf:{folder}").weights


def test_what_cannot_be_is_one_sentence(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EgofeatError, match="download the repository elsewhere and name its folder"):
        spec_of("hf:org/name")
    with pytest.raises(EgofeatError, match="neither a folder nor a repository"):
        spec_of("hf:name")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EgofeatError, match=r"has no preprocessor_config\.json"):
        spec_of(f"hf:{tmp_path}")
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(EgofeatError, match="of the kind 'bert': choose"):
        spec_of(f"hf:{tmp_path}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EgofeatError, match=r"pip install egofeat\[hf\]"):
        spec_of("hf:org/name")


@pytest.mark.parametrize(
    ("kind", "file", "wrong", "sentence"),
    [
        ("dinov2", "config.json", {"patch_size": 0}, r"cannot build .*ZeroDiv.*config\.json$"),
        ("dinov2", "config.json", {"num_channels": 4}, "cannot build .* by its configuration"),
        ("videomae", "config.json", {"hidden_act": "foo"}, "cannot build .*KeyError: 'foo'"),
        ("dinov2", "", {"size": "big"}, "does not say what pixels it makes"),
        ("dinov2", "", {"image_mean": [0.5]}, "not of three colours"),
        ("dinov2", "", {"image_std": [0, 1, 1]}, "not of three colours"),
        ("dinov2", "", {"image_mean": [float("nan")] * 3}, "not finite"),
        ("dinov2", "", {"crop_size": {"height": 32, "width": 16}}, "makes no square crops"),
        ("dinov2", "", {"crop_size": {"height": 64, "width": 64}}, "makes no square crops"),
        ("dinov2", "", {"size": {"shortest_edge": -5}}, "makes no square crops"),
        ("dinov2", "", {"do_resize": False}, "makes no square crops"),
        ("vjepa2", "", {"fps": -3}, "fps is -3"),
        ("vjepa2", "", {"num_frames": "y"}, "num_frames is y"),
    ],
)
def test_a_configuration_that_says_what_cannot_be_is_one_sentence(
    kind, file, wrong, sentence, folders, tmp_path
):
    shutil.copytree(folders(kind)[1], tmp_path, dirs_exist_ok=True)
    path = tmp_path / (file or FILES.get(kind, "preprocessor_config.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(EgofeatError, match=sentence):
        spec_of(f"hf:{tmp_path}")


def test_a_folder_without_the_one_file_of_weights_says_which(folders, tmp_path):
    shutil.copytree(folders("dinov2")[1], tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(EgofeatError, match=rf"there is no {tmp_path}/model\.safetensors: save"):
        load(f"hf:{tmp_path}")
    assert load(f"hf:{tmp_path}", weights="random:1").weights == "random:1"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["facebook/dinov2-small", "MCG-NJU/videomae-base", "facebook/vjepa2-vitl-fpc64-256"]
)
def test_published_weights_give_transformers_features(name):
    if HubFile(name, "model.safetensors").cached() is None:
        pytest.skip(f"{name} is not in the cache of the hub")
    ours, right = load(f"hf:{name}", taps=["mean"]), tr.AutoModel.from_pretrained(name).eval()
    spec = ours.spec
    batch = torch.randn(1, 3, *((spec.clip.frames,) if spec.clip else ()), spec.size, spec.size)
    hidden, _ = own(right.config.model_type, right, batch)
    skipped = 1 if "dinov2" in name else 0
    torch.testing.assert_close(
        ours(batch)["mean"], hidden[:, skipped:].mean(1), rtol=1e-5, atol=1e-5
    )
