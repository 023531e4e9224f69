"""Features held on the device, or read from the map batch by batch: the same bits of every head."""

from dataclasses import replace

import pytest

from egofeat.heads import HEADS, TrainerConfig
from egofeat.heads.head import VectorHead
from egofeat.pipelines.training.fit import FitConfig, fit_head

SHORT = TrainerConfig(epochs=3, batch_size=8, device="cpu", patience=0)
"""Validation reads more rows at a time than training does."""
MAPS = (4, 6, 3, 3)
ROW = {"convlstm": MAPS, "stam": MAPS, "flow_attention": MAPS}
"""Heads that need maps; the others take vectors too."""
KEPT = ("head.safetensors", "history*.csv", "predictions.npz", "metrics.json")


def kept(path):
    files = sorted(file for pattern in KEPT for file in path.glob(pattern))
    assert len(files) >= len(KEPT)
    return {file.name: file.read_bytes() for file in files}


def same_bits_held_or_not(config, tmp_path, short=SHORT):
    trained = []
    for choice in ("on", "off"):
        trainer = replace(short, device_cache=choice)
        run = fit_head(replace(config, trainer=trainer, out=tmp_path / choice / "run"))
        assert len((run.path / "metrics.json").read_text()) > 0
        trained.append(kept(run.path))
    held, read = trained
    assert held.keys() == read.keys()
    assert [name for name in held if held[name] != read[name]] == []


@pytest.mark.parametrize(
    "head", [name for name in HEADS if name not in ("roi", "tail", "knn", "logistic")]
)
def test_every_head_of_segments(head, verb_noun_store, tmp_path):
    stores = [verb_noun_store(row=ROW.get(head, (4, 6)))]
    if head == "flow_attention":
        stores.append(verb_noun_store(row=(4, 1, 3, 3), weights="none", out="grid"))
    same_bits_held_or_not(FitConfig(head=head, store=stores, normalize=True), tmp_path)


@pytest.mark.parametrize(
    ("head", "amp"),
    [("linear", "off"), ("linear", "bf16"), ("attention_pool", "off"), ("conv1d", "off")],
)
def test_heads_of_vectors_average_maps_once(head, amp, verb_noun_store, tmp_path, monkeypatch):
    """Maps that are held are averaged before the first epoch, and in each where they are read."""
    store, averaged = verb_noun_store(row=MAPS), []
    condense = VectorHead.condense
    monkeypatch.setattr(
        VectorHead, "condense", lambda self, maps: averaged.append(maps) or condense(self, maps)
    )
    config = FitConfig(head=head, store=store, normalize=True)
    same_bits_held_or_not(config, tmp_path, replace(SHORT, amp=amp))
    if head != "linear":
        assert {maps.ndim for maps in averaged} == {5}
        assert len(averaged) == 3  # both are tried on a row, and the rows of one fit one batch


@pytest.mark.parametrize("fuse", ["features", "logits", "weighted"])
def test_joined_stores(fuse, verb_noun_store, tmp_path):
    stores = [verb_noun_store(), verb_noun_store(row=(2, 8), weights="random:1", out="two")]
    same_bits_held_or_not(FitConfig(head="conv1d", store=stores, fuse=fuse), tmp_path)


@pytest.mark.parametrize("rows", [64, 65, 66])
def test_a_validation_of_a_batch_and_one_row(rows, labelled_store, tmp_path):
    """What is left over joins the batch before it, which is then the longest of all."""
    splits = ["train"] * 16 + ["val"] * rows
    labels = {"verb": [row % 3 for row in range(len(splits))]}
    store = labelled_store(splits, labels, {"verb": ("take", "put", "cut")})
    same_bits_held_or_not(FitConfig(head="linear", store=store), tmp_path)
