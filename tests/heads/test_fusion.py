"""Several sources in one head or a head each; rows of clips; segments of one step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError
from egofeat.heads import HEADS, PRESETS, Examples, TrainerConfig, build_head, train
from egofeat.heads.fusion import AveragedHeads, Concatenated, concatenate, concatenated_shape
from egofeat.heads.head import Standardise
from egofeat.heads.training.feed import channel_statistics

EXTENT = st.integers(1, 7)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(EXTENT, min_size=1, max_size=3), channels=EXTENT, space=st.booleans())
def test_each_step_stands_beside_the_nearest_of_the_others(steps, channels, space):
    """Naive reading of the rule, one step and one source at a time."""
    rng = np.random.default_rng(0)
    sizes = [(t, channels + k, *((2, 3) if space else ())) for k, t in enumerate(steps)]
    blocks = [rng.normal(size=(4, *size)).astype(np.float32) for size in sizes]
    joined = concatenate([torch.from_numpy(block) for block in blocks]).numpy()
    longest = max(steps)
    assert joined.shape[1:] == concatenated_shape(sizes)
    first = 0
    for block, (length, width, *_) in zip(blocks, sizes, strict=True):
        for step in range(longest):
            nearest = int(np.floor((step + 0.5) * length / longest))
            beside = joined[:, step, first : first + width]
            assert np.array_equal(beside, block[:, nearest])
        first += width


def test_clips_of_maps_join_by_their_time():
    """Two clips of two steps beside four frames: clip-major steps are in order of time."""
    clips = torch.arange(4.0).reshape(1, 2, 2, 1, 1, 1)
    frames = 10 * torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    joined = concatenate([clips, frames])
    assert joined.shape == (1, 4, 2, 1, 1)
    assert torch.equal(joined[0, :, 1, 0, 0], 10 * joined[0, :, 0, 0, 0])


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([(4, 6), (4, 6, 2, 2)], "vectors and 2×2 .* `fuse` logits"),
        ([(4, 6, 3, 3), (2, 2, 6, 4, 4)], "3×3 and 4×4 .* `fuse` logits"),
    ],
)
def test_other_sizes_are_refused_with_the_mend(shapes, says):
    with pytest.raises(RequestError, match=says):
        concatenated_shape(shapes)


def test_joined_rows_are_gathered_as_stored_or_wider(array_features):
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=(9, 2, 3)).astype(np.float16),
        rng.normal(size=(9, 4, 5)).astype(np.float32),
    ]
    sources = [array_features(array) for array in arrays]
    both = Concatenated(sources)
    expected = np.concatenate([np.repeat(arrays[0], 2, axis=1), arrays[1]], axis=2)
    assert both.row_shape == (4, 8)
    assert both.dtype == np.float32
    assert both.nbytes == 9 * (12 + 80)
    for rows in (np.array([3, 1]), np.arange(9), np.array([8])):
        assert np.array_equal(both.take(rows), expected[rows])
        out = np.empty((len(rows), 4, 8), np.float32)
        assert both.take(rows, out=out) is out
        assert np.array_equal(out, expected[rows])
    both.advise_random(np.array([2, 7]))
    assert [source.advised for source in sources] == [[[2, 7]], [[2, 7]]]


def test_averaged_heads_give_the_mean_of_their_logits():
    classes = {"verb": 3, "noun": 2}
    heads = [build_head("linear", (4, 6), classes), build_head("lstm", (2, 5), classes)]
    features = [torch.randn(3, 4, 6), torch.randn(3, 2, 5)]
    fused = AveragedHeads(heads).eval()
    logits = fused(features)
    assert list(logits) == ["verb", "noun"]
    for target in logits:
        alone = [head(x)[target] for head, x in zip(heads, features, strict=True)]
        assert torch.allclose(logits[target], (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "tail"])
def test_clips_of_maps_are_one_row_of_steps(name):
    torch.manual_seed(0)
    head = build_head(name, (3, 2, 6, 2, 2), {"verb": 4})
    head.standardise = Standardise(6)
    head.standardise.mean.copy_(torch.randn(6))
    head.eval()
    clips = torch.randn(5, 3, 2, 6, 2, 2)
    assert torch.equal(head(clips)["verb"], head(clips.flatten(1, 2))["verb"])


def test_channel_statistics_of_clips_of_maps(array_features):
    array = np.random.default_rng(0).normal(3, 2, (8, 3, 2, 5, 2, 2)).astype(np.float32)
    mean, std = channel_statistics(array_features(array), np.arange(8))
    assert np.allclose(mean, array.mean(axis=(0, 1, 2, 4, 5)))
    assert np.allclose(std, array.std(axis=(0, 1, 2, 4, 5)), rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(clips=st.integers(1, 10), crops=st.sampled_from([1, 3]), maps=st.booleans())
def test_linear_is_the_average_of_the_logits_of_the_views(clips, crops, maps):
    """Ten clips of three crops, each scored alone, then averaged: what a linear head gives."""
    torch.manual_seed(clips)
    views, space = clips * crops, (2, 5, 3, 3) if maps else (5,)
    head = build_head("linear", (views, *space), {"verb": 4}).eval()
    head.standardise = Standardise(5)
    head.standardise.mean.copy_(torch.randn(5))
    features = torch.randn(2, views, *space)
    per_view = torch.stack([head(features[:, [view]])["verb"] for view in range(views)])
    assert torch.allclose(head(features)["verb"], per_view.mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 6), (1, 6, 2, 2), (1, 1, 6, 2, 2)])
@pytest.mark.parametrize("preset", [None, "seed"])
@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("tail", "knn")])
def test_one_step_a_segment_trains_or_is_refused(array_features, name, preset, shape):
    if preset and name not in PRESETS[preset]:
        return
    on_maps = ("convlstm", "stam", "flow_attention")
    needs = "feature maps" if name in on_maps and len(shape) == 2 else None
    if not needs and preset and name in ("conv1d", "flow_attention"):
        needs = r"has 1: extract with `frames` 20 \(`clips` 20"
    if needs:
        with pytest.raises(RequestError, match=needs):
            build_head(name, shape, {"verb": 2}, preset)
        return
    labels = np.arange(24) % 2
    array = np.random.default_rng(0).normal(size=(24, *shape)).astype(np.float32)
    array[labels == 1] += 1
    task = Examples(array_features(array), {"verb": labels}, np.arange(16), np.arange(16, 24))
    head = build_head(name, shape, {"verb": 2}, preset)
    progress = train(head, task, TrainerConfig(epochs=2, batch_size=8, device="cpu"))
    assert len(progress.history) == 2
