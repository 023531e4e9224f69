"""Rows of a store in torch's loaders, by several workers too."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from egofeat.boxes import Boxes
from egofeat.errors import RequestError
from egofeat.store import open_persons, open_store

ABOUT = {
    "a": {"labels": {"verb": 1}, "split": "train"},
    "b": {"labels": {"verb": 0}, "split": "val"},
    "c": {"split": "train"},
    "d": {"labels": {"verb": 1}, "split": "train"},
}


@pytest.fixture
def store(make, tmp_path):
    rows = make.rows(list("abcd"))
    dataset = make.dataset(rows, classes={"verb": ("take", "put")}, **ABOUT)
    writer = make.writer(tmp_path, dataset)
    writer.write_shard("s", rows)
    writer.close()
    return open_store(writer.path)


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_batches_are_the_rows_of_a_split(store, workers, context):
    dataset = store.as_dataset("train")
    loader = DataLoader(dataset, 2, num_workers=workers, multiprocessing_context=context)
    features, labels = zip(*loader, strict=True)
    rows = store.rows("train")
    assert [len(part) for part in features] == [2, 1]
    np.testing.assert_array_equal(torch.cat(features), store.take(rows).astype(np.float32))
    assert torch.cat(features).dtype == torch.float32
    assert torch.cat([part["verb"] for part in labels]).tolist() == [1, -1, 1]


def test_an_item_is_a_pair_and_a_data_set_shows_its_shapes(store):
    dataset = store.as_dataset()
    assert len(dataset) == 4
    features, labels = dataset[1]
    np.testing.assert_array_equal(features, store["b"].astype(np.float32))
    assert labels == {"verb": torch.tensor(0)}
    with pytest.raises(IndexError):
        dataset[4]
    assert repr(dataset) == "LabelledFeatures(4 × (2, 5) float32; labels verb (4,))"
    assert len(pickle.dumps(dataset)) < 10_000  # the features stay in their files


def test_persons_have_a_label_a_class(make, tmp_path):
    boxes = {"v_1": Boxes.of([(0.0, 0.1, 0.5, 0.9)], actions=[[1]])}
    rows = make.person_rows(boxes)
    dataset = make.dataset(rows, classes={"action": ("bend", "sit")})
    writer = make.writer(tmp_path, dataset, make.person_recipe())
    writer.write_shard("v", rows)
    features, labels = open_persons(writer.path, others=1).as_dataset()[0]
    assert features.shape == (2, 5)
    assert labels["action"].tolist() == [False, False]


def test_a_split_that_the_store_does_not_have_is_refused(store):
    for ask in (store.rows, store.as_dataset):
        with pytest.raises(RequestError, match="has no split 'nope': its splits are train, val"):
            ask("nope")
