"""Who does what: where two act at once, features of each tell, and features of all cannot."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egofeat.boxes import Boxes
from egofeat.heads.config import TrainerConfig
from egofeat.heads.measures.frame_map import Placed, average_precisions, mean_precision
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.persons import roi_from_maps
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head

MADE = runpy.run_path(str(Path(__file__).with_name("moving_figures.py")))


def fit(store: str, out: Path):
    """A head on the persons of a store; returns its run, judged on films of no other use."""
    trainer = TrainerConfig(seed=0, device="cpu", epochs=60, patience=0, batch_size=16, l2=1e-2)
    run = fit_head(
        FitConfig(
            head="roi",
            store=Path(store),
            normalize=True,
            options={"dropout": 0.0},
            trainer=trainer,
            out=out,
        )
    )
    return run.path, evaluate(run.path, "test", device="cpu").metrics["action/mAP"]


def of_the_whole_frame(dataset):
    """The same key frames, each with one box, the frame, that does what all in it do."""
    boxes = {}
    for id_, persons in dataset.boxes.items():
        together = sorted({action for of_one in persons.actions for action in of_one})
        boxes[id_] = Boxes.of([[0, 0, 1, 1]], actions=[together])
    return replace(dataset, boxes=boxes)


def as_if_each(run: Path, dataset) -> float:
    """Frame mAP of the whole frame's scores given to every person in it."""
    given = np.load(run / "predictions-test.npz")
    numbers = {str(id_): number for number, id_ in enumerate(given["ids"])}
    persons = [(numbers[id_], dataset.boxes[id_]) for id_ in dataset.boxes if id_ in numbers]
    frames = np.concatenate([np.full(len(of), number) for number, of in persons])
    corners = np.concatenate([of.corners for _, of in persons]).astype(np.float64)
    actions = np.zeros((len(frames), 4), bool)
    doing = [of_one for _, of in persons for of_one in of.actions]
    for row, of_one in enumerate(doing):
        actions[row, list(of_one)] = True
    placed = Placed(frames.astype(np.int64), corners)
    scores = given["probabilities"][frames]
    return mean_precision(average_precisions(placed, actions, placed, scores, range(4)))


@pytest.mark.real_data
@pytest.mark.slow
def test_persons_tell_who_does_what_and_the_whole_frame_does_not(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(real_data / "weights"))
    dataset = MADE["figures"](tmp_path, 64)
    config = ExtractConfig(
        backbone="i3d",
        weights="kinetics400",
        taps=("Mixed_4f",),
        transform="squash",
        size=112,
        clip_frames=16,
        out=tmp_path / "maps",
        device="cpu",
        workers=1,
    )
    maps = Path(extract.run(config, dataset).store)

    def cut(boxes, out):
        monkeypatch.setattr(roi_from_maps, "read_dataset", lambda *_: boxes)
        asked = roi_from_maps.FromMapsConfig(store=maps, out=tmp_path / out, device="cpu")
        return roi_from_maps.cut_from_maps(asked).store

    _, each = fit(cut(dataset, "persons"), tmp_path / "each")
    run, _ = fit(cut(of_the_whole_frame(dataset), "whole"), tmp_path / "all")
    pooled = as_if_each(run, dataset)
    print(f"frame mAP of persons {100 * each:.1f} %, of the whole frame {100 * pooled:.1f} %")
    assert each >= 0.8
    assert each >= pooled + 0.25
    # The right answer for the frame is right for half of the persons whose neighbour differs.
    assert pooled <= 0.75
