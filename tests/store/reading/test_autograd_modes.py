"""What a reader hands out and keeps does not depend on the autograd mode of an earlier call."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from egofeat.boxes import Boxes
from egofeat.store import join, open_persons, open_store

MODES = {"training": nullcontext, "no_grad": torch.no_grad, "inference": torch.inference_mode}


def _segments(make, folder, dtype, form):
    rows = make.rows("abcde", dtype=dtype)
    return open_store(make.store(folder, {"s": rows}, make.recipe(dtype=dtype), format=form))


def _persons(make, folder, dtype, form):
    frames = {f"v_{n}": Boxes.of([(0.1, 0.2, 0.3, 0.4)] * 2) for n in range(3)}
    recipe = make.person_recipe(dtype=dtype)
    path = make.store(folder, {"s": make.person_rows(frames, dtype=dtype)}, recipe, format=form)
    return open_persons(path, others=1)


def _joined(make, folder, dtype, form):
    first, second = (
        open_store(
            make.store(
                folder / str(seed),
                {"s": make.rows("abcde", dtype=dtype, seed=seed)},
                make.recipe(dtype=dtype, weights=f"random:{seed}"),
                format=form,
            )
        )
        for seed in range(2)
    )
    return join([first, second]).parts[1]


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
@pytest.mark.parametrize("kind", [_segments, _persons, _joined])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_gathered_alike_in_every_mode_after_every_other(make, tmp_path, kind, dtype, form):
    for first, then in itertools.permutations(MODES, 2):
        features = kind(make, tmp_path, dtype, form)
        rows = np.arange(4)
        with MODES[first]():
            few = features.take(rows[:1], np.empty((1, *features.row_shape), np.float32))
            wide = features.take(rows, np.empty((4, *features.row_shape), np.float32))
            stored = features.take(rows)
        with MODES[then]():
            again = torch.empty((4, *features.row_shape))
            features.take(rows, again.numpy())
            weights = torch.ones(features.row_shape[-1], requires_grad=True)
            assert (again @ weights).requires_grad == (then == "training")
            np.testing.assert_array_equal(features.take(rows), stored)
        np.testing.assert_array_equal(again.numpy(), wide)
        np.testing.assert_array_equal(wide[:1], few)
        np.testing.assert_array_equal(stored.astype(np.float32), wide)
