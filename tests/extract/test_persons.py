"""The person detector: torchvision's network from our own reading of weights, and its boxes."""

import functools
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_V2_Weights,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.ops import nms

from egofeat.errors import WeightsError
from egofeat.extract.backbones.building import blank
from egofeat.extract.detection import unsuppressed
from egofeat.extract.persons import NAME, PARAMETERS, PERSON, RECORD, Detector, build, load

CPU = torch.device("cpu")
COCO = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1


@pytest.fixture(scope="module")
def state():
    """A synthetic state, of a detector of two classes that takes most things for persons."""
    network = build(None, 0, 0.0)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    predictor = "roi_heads.box_predictor"
    state[f"{predictor}.cls_score.weight"] = state[f"{predictor}.cls_score.weight"][:2]
    state[f"{predictor}.cls_score.bias"] = torch.tensor([0.0, 1.0])
    for name in ("weight", "bias"):
        state[f"{predictor}.bbox_pred.{name}"] = state[f"{predictor}.bbox_pred.{name}"][:8]
    return state


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    save_file(state, path)
    return path


def small(detector: Detector) -> Detector:
    """The same network on small images, with few proposals."""
    detector.network.transform.min_size = (64,)
    detector.network.transform.max_size = 96
    detector.network.rpn._post_nms_top_n["testing"] = 20
    return detector


@pytest.fixture(scope="module")
def frames():
    """Four frames of noise of different coarseness, 60 × 80."""
    rng = np.random.default_rng(3)
    sizes = [4, 5, 10, 20]
    return [
        torch.from_numpy(
            np.kron(rng.integers(0, 256, (60 // s, 80 // s, 3)), np.ones((s, s, 1)))
        ).to(torch.uint8)
        for s in sizes
    ]


@pytest.fixture(scope="module")
def found(weights, frames):
    """The detector from the file, and its persons of all frames at once."""
    detector = small(load(str(weights), threshold=0.5, min_size=0, device=CPU))
    return detector, detector(frames)


def test_the_record_is_torchvisions_own():
    assert COCO.url == RECORD.url
    assert RECORD.file == f"{NAME}_coco-{RECORD.sha256}.pth"
    assert COCO.meta["_metrics"]["COCO-val2017"]["box_map"] == RECORD.accuracy
    assert COCO.meta["_ops"] == RECORD.multiply_adds
    assert COCO.meta["categories"][PERSON] == "person"


def test_the_network_has_the_published_parameters(state):
    make = functools.partial(fasterrcnn_resnet50_fpn_v2, weights=None, weights_backbone=None)
    network = blank(make)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    assert COCO.meta["num_params"] == PARAMETERS
    assert network.state_dict().keys() == state.keys()


def test_persons_are_boxes_in_the_frame_the_surest_first(found):
    detector, boxes = found
    assert detector.weights.startswith("sha256:")
    assert not detector.network.training
    assert not any(parameter.requires_grad for parameter in detector.network.parameters())
    assert sum(map(len, boxes)) > 10
    for one in boxes:
        assert one.corners.dtype == one.scores.dtype == np.float32
        assert (one.corners >= 0).all()
        assert (one.corners <= 1).all()
        assert (one.corners[:, 2:] > one.corners[:, :2]).all()
        assert (one.scores > 0.5).all()
        assert (np.diff(one.scores) <= 0).all()


@pytest.fixture(scope="module")
def reference(state):
    """Torchvision's own network, on small images too."""
    network = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=2).eval()
    network.load_state_dict(state)
    return small(detector(network, threshold=0.05)).network


def test_persons_of_a_batch_are_those_that_torchvision_itself_finds(found, reference, frames):
    for frame, boxes in zip(frames, found[1], strict=True):
        with torch.inference_mode():
            (expected,) = reference([frame.permute(2, 0, 1) / 255])
        surer = (expected["labels"] == PERSON) & (expected["scores"] > 0.5)
        np.testing.assert_allclose(boxes.scores, expected["scores"][surer], atol=1e-4)
        pixels = boxes.corners * [80, 60, 80, 60]
        np.testing.assert_allclose(pixels, expected["boxes"][surer], atol=1e-2)


class Waits(TorchDispatchMode):
    """Counts what a host waits for on a GPU: what is made has a size that only the device knows."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.count += by_mask or name in ("nonzero", "nms", "_unique2", "equal", "item")
        self.count += name in ("_local_scalar_dense", "masked_select", "bincount")
        return func(*args, **(kwargs or {}))


def test_the_host_does_not_wait_for_each_frame(found, reference, frames):
    counts = {}
    for number in (1, 4):
        images = torch.stack(frames[:1] * number).permute(0, 3, 1, 2) / 255
        for name, network in (("batch", found[0].network), ("each", reference)):
            with torch.no_grad(), Waits() as waits:
                network(images if name == "batch" else list(images))
            counts[name, number] = waits.count
    assert counts["batch", 4] == counts["batch", 1] > 0
    assert counts["each", 4] > counts["each", 1] + 15


@pytest.mark.gpu
def test_a_gpu_finds_the_same_persons_without_a_wait_for_each_frame(weights, found, frames, gpu):
    there = small(load(str(weights), threshold=0.5, min_size=0, device=gpu))
    for boxes, expected in zip(there(frames), found[1], strict=True):
        np.testing.assert_allclose(boxes.scores, expected.scores, atol=1e-3)
        np.testing.assert_allclose(boxes.corners, expected.corners, atol=1e-3)
    waits = []
    for number in (1, 8):
        images = torch.stack(frames[:1] * number).to(gpu).permute(0, 3, 1, 2) / 255
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as said, torch.inference_mode():
            warnings.simplefilter("always")
            there.network(images)
        torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchronizing" in str(one.message) for one in said))
    assert waits[1] <= waits[0]


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_boxes_that_a_surer_one_covers_are_those_of_torchvision(threshold):
    chance = torch.Generator().manual_seed(3)
    corners = torch.rand(4, 300, 2, generator=chance) * 12
    boxes = torch.cat([corners, corners + 1 + 20 * torch.rand(4, 300, 2, generator=chance)], -1)
    valid = torch.rand(4, 300, generator=chance) > 0.1
    levels = boxes.split([200, 100], 1), valid.split([200, 100], 1)
    for of_level, of_valid, kept in zip(*levels, unsuppressed(*levels, threshold), strict=True):
        for one, counts, found in zip(of_level, of_valid, kept, strict=True):
            places = counts.nonzero()[:, 0]
            right = places[nms(one[places], -places.float(), threshold)]
            assert found.nonzero()[:, 0].tolist() == sorted(right.tolist())
            assert 10 < len(right) < len(places)


def test_a_batch_in_which_nothing_is_seen():
    network = small(load("random", threshold=0.99999, min_size=0, device=CPU)).network
    network.rpn.score_thresh = 1.1  # not even a proposal
    with torch.inference_mode():
        found = network(torch.zeros(2, 3, 60, 80))
    assert [tuple(one["boxes"].shape) for one in found] == [(0, 4), (0, 4)]


def test_a_frame_alone_has_the_persons_that_it_has_in_a_batch(found, frames):
    detector, together = found
    for frame, expected in zip(frames, together, strict=True):
        (alone,) = detector([frame])
        assert len(alone) == len(expected)
        np.testing.assert_allclose(alone.corners, expected.corners, atol=1e-4)
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-4)


def test_a_higher_threshold_keeps_the_surer_ones_as_they_are(found, weights, frames):
    _, loose = found
    threshold = float(np.median(np.concatenate([one.scores for one in loose])))
    detector = small(load(str(weights), threshold=threshold, min_size=0, device=CPU))
    for strict, expected in zip(detector(frames), loose, strict=True):
        surer = expected.scores > threshold
        np.testing.assert_allclose(strict.corners, expected.corners[surer], atol=1e-4)
        np.testing.assert_allclose(strict.scores, expected.scores[surer], atol=1e-4)


def test_random_weights_are_those_of_their_seed(state):
    same, other = (load(w, threshold=0.8, min_size=0, device=CPU) for w in ("random", "random:1"))
    assert (same.weights, other.weights) == ("random:0", "random:1")
    key = "roi_heads.box_head.0.0.weight"
    assert torch.equal(same.network.state_dict()[key], state[key])
    assert not torch.equal(other.network.state_dict()[key], state[key])


def test_weights_of_another_network_are_refused(state, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=rf"{path}: these are not the weights of {NAME}"):
        load(str(path), threshold=0.8, min_size=0, device=CPU)
    lacking = {key: tensor for key, tensor in state.items() if key != "backbone.fpn.extra"}
    del lacking["backbone.body.conv1.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: backbone\.body\.conv1\.weight"):
        build(lacking, 0, 0.8)


def test_an_official_file_must_have_the_published_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path))
    (tmp_path / RECORD.file).write_bytes(b"altered")
    with pytest.raises(WeightsError, match="does not begin with dd69338a"):
        load(threshold=0.8, min_size=0, device=CPU)


def test_weights_must_be_something():
    with pytest.raises(WeightsError, match="'coco' is neither a file nor weights of faster"):
        load("coco", threshold=0.8, min_size=0, device=CPU)


class Fixed(nn.Module):
    """Finds in every image what it was given."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.found = {
            "boxes": torch.tensor(boxes, dtype=torch.float32),
            "labels": torch.tensor(labels),
            "scores": torch.tensor(scores),
        }
        self.images = []

    def forward(self, images):
        self.images += images
        return [self.found for _ in images]


def detector(network, threshold=0.8, min_size=0.0):
    return Detector(
        network=network, weights="random:0", threshold=threshold, min_size=min_size, device=CPU
    )


PIXELS = [
    [20, 10, 60, 40],
    [-3, 0, 80.5, 40.2],
    [20, 10, 60, 40],
    [20, 10, 60, 40],
    [80, 0, 81, 40],
    [10, 10, 14, 40],
]
LABELS = [1, 1, 3, 1, 1, 1]
SCORES = [0.99, 0.95, 0.95, 0.8, 0.93, 0.92]


def test_boxes_are_fractions_cut_to_the_frame_of_sure_persons_alone():
    (boxes,) = detector(Fixed(PIXELS, LABELS, SCORES))([torch.zeros(40, 80, 3, dtype=torch.uint8)])
    expected = [[0.25, 0.25, 0.75, 1], [0, 0, 1, 1], [0.125, 0.25, 0.175, 1]]
    np.testing.assert_allclose(boxes.corners, expected)
    np.testing.assert_allclose(boxes.scores, [0.99, 0.95, 0.92])
    assert boxes.actions == ()


@pytest.mark.parametrize(("min_size", "count"), [(0, 3), (4, 3), (4.5, 2), (30.5, 1), (41, 0)])
def test_the_shorter_side_counts_in_pixels_of_the_frame(min_size, count):
    finder = detector(Fixed(PIXELS, LABELS, SCORES), min_size=min_size)
    (boxes,) = finder([torch.zeros(40, 80, 3, dtype=torch.uint8)])
    assert len(boxes) == count


def test_the_network_sees_whole_frames_on_a_scale_of_one():
    network = Fixed(PIXELS, LABELS, SCORES)
    frame = torch.arange(40 * 80 * 3).reshape(40, 80, 3).to(torch.uint8)
    detector(network)([frame, frame.rot90()])
    assert [tuple(image.shape) for image in network.images] == [(3, 40, 80), (3, 80, 40)]
    np.testing.assert_allclose(network.images[0].permute(1, 2, 0).numpy() * 255, frame, atol=1e-4)


def test_a_frame_without_anything_has_no_boxes():
    network = Fixed(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32))
    (boxes,) = detector(network)([torch.zeros(40, 80, 3, dtype=torch.uint8)])
    assert boxes.corners.shape == (0, 4)
    assert len(boxes) == 0
