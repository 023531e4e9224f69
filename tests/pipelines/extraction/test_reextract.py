"""Swapping backbones over what a store holds, and making stale stores anew."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import light
from torchvision.models import mobilenet_v2

from egofeat.errors import RequestError
from egofeat.pipelines.extraction import extract, made_with, reextract, refresh
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.recipe import Clips, Uniform, Windows
from egofeat.store import is_superseded, open_store, progress_of
from egofeat.store.description import find_stores


@pytest.fixture
def project(encoder, tmp_path, monkeypatch):
    """A folder with a manifest of four clips in two classes, worked in."""
    for split, number in (("train", 0), ("train", 1), ("val", 2), ("val", 3)):
        name = ("brighter", "darker")[number % 2]
        folder = tmp_path / "clips" / split / name
        folder.mkdir(parents=True)
        encoder(folder / f"{number}.mp4", frames=20)
    (tmp_path / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ExtractConfig(weights="random", frames=3, size=32, device="cpu", workers=1)
ON_CPU = ReextractConfig(device="cpu", workers=1)


def small(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a backbone take small pictures by default, and a stand-in look at them."""
    from egofeat.extract.backbones import registry

    spec, build = registry.BACKBONES[name]
    clip = spec.clip and replace(spec.clip, frames=spec.clip.fewest)
    smaller = replace(spec, size=32, squash_size=32, short_side=32, clip=clip, weights=())
    monkeypatch.setitem(registry.BACKBONES.own, name, (smaller, light(build)))


def test_another_backbone_takes_the_same_segments_and_only_those(project, monkeypatch):
    small("r3d_18", monkeypatch)
    old = Path(extract.run(replace(SMALL, splits=("val",))).store)
    (job,) = reextract.swap(old, ["r3d_18"], ON_CPU, weights=["random"])
    assert {segment.id for segment in job.segments} == set(open_store(old).ids)
    assert isinstance(job.recipe.plan, Clips)
    first = extract.run_jobs([job], ON_CPU)
    assert [store.extracted for store in first.stores] == [2]
    again = extract.run_jobs(reextract.swap(old, ["r3d_18"], ON_CPU, weights=["random"]), ON_CPU)
    assert (again.decoded, again.stores[0].skipped) == (0, 2)
    assert old.exists()
    assert Path(again.stores[0].store).parent == old.parent


def test_the_plan_is_followed_as_far_as_the_other_backbone_can(project, monkeypatch):
    small("r3d_18", monkeypatch)
    small("resnet50", monkeypatch)
    random = ["random"]
    images = Path(extract.run(SMALL).store)
    (other,) = reextract.swap(images, ["resnet50"], ON_CPU, weights=random)
    assert other.recipe.plan == Uniform(3)
    assert other.recipe.transform.resize == "squash"
    clips = replace(SMALL, backbone="r3d_18", frames=None, clips=3, crops=3, resize="uint8")
    store = Path(extract.run(clips).store)
    (other,) = reextract.swap(store, ["s3d"], ON_CPU, weights=random)
    assert isinstance(other.recipe.plan, Clips)
    assert (other.recipe.plan.clips, other.recipe.transform.crops) == (3, 3)
    assert other.recipe.transform.arithmetic == "uint8"
    dense = replace(clips, clips=None, crops=1, windows=16, stride=8, fps=25.0)
    store = Path(extract.run(dense).store)
    jobs = reextract.swap(store, ["resnet50", "s3d"], ON_CPU, weights=random)
    assert [job.recipe.plan for job in jobs] == [Windows(16, 8, 25.0, 1), Windows(16, 8, 25.0, 16)]


def test_the_recipe_that_changes_is_said_field_by_field(project, monkeypatch, capsys):
    small("r3d_18", monkeypatch)
    old = Path(extract.run(SMALL).store)
    (job,) = reextract.swap(old, ["r3d_18"], ON_CPU, weights=["random"])
    reextract.say_changes(old, job)
    said = capsys.readouterr().err
    for line in (
        "backbone: mobilenetv2 → r3d_18",
        "plan.sampling: uniform → clips",
        "transform.resize: squash → short-side",
        "taps.gap: (3, 1280) → (1, 512)",
        "plan.fps: none → 15",
    ):
        assert line in said
    assert "dtype" not in said


def new_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (made_with, refresh):
        monkeypatch.setattr(module, "decoder_version", lambda name: f"{name} 99")


def current(folder: Path) -> list[Path]:
    return find_stores(folder)


def test_a_store_whose_decoder_changed_is_made_anew_and_the_old_one_stays(project, monkeypatch):
    old = Path(extract.run(SMALL).store)
    features = {id_: open_store(old)[id_].copy() for id_ in open_store(old).ids}
    assert refresh.stale_stores("mine", ON_CPU) == []
    new_decoder(monkeypatch)
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    assert stale.paths == (old,)
    assert "→ pyav 99" in stale.changes[-1]
    report = refresh.refresh([stale], ON_CPU)
    assert report.stores[0].extracted == 4
    assert report.stores[0].store == str(old)
    aside = [path for path in old.parent.iterdir() if is_superseded(path)]
    assert len(aside) == 1
    for path in (old, *aside):
        for id_, values in features.items():
            np.testing.assert_array_equal(open_store(path)[id_], values)
    assert current(project / "features") == [project / old]
    assert refresh.stale_stores("mine", ON_CPU) == []


def test_a_store_whose_weights_changed_is_made_anew_beside_the_old_one(project):
    weights = project / "mine.pth"
    for value in (1.0, 2.0):
        state = mobilenet_v2().state_dict()
        state["features.0.0.weight"].fill_(value / 100)
        torch.save(state, weights)
        if value == 1.0:
            old = Path(extract.run(replace(SMALL, weights=str(weights))).store)
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    assert any(change.startswith("weights: sha256:") for change in stale.changes)
    report = refresh.refresh([stale], ON_CPU)
    new = Path(report.stores[0].store)
    assert new != old
    assert not old.exists()
    assert len(progress_of(new).done) == 4
    assert refresh.stale_stores("mine", ON_CPU) == []


def test_old_stores_that_become_one_give_it_all_their_segments(project):
    weights = project / "mine.pth"
    olds = []
    for value, split in ((1, "train"), (2, "val"), (3, None)):
        state = mobilenet_v2().state_dict()
        state["features.0.0.weight"].fill_(value / 100)
        torch.save(state, weights)
        if split:
            own = replace(SMALL, weights=str(weights), splits=(split,))
            olds.append(Path(extract.run(own).store))
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    assert set(stale.paths) == set(olds)
    (report,) = refresh.refresh([stale], ON_CPU).stores
    assert len(progress_of(Path(report.store)).done) == 4
    assert not any(old.exists() for old in olds)


@pytest.mark.parametrize("step", ["run_jobs", "supersede", "_move"])
def test_a_refresh_that_was_killed_goes_on(project, monkeypatch, step):
    """Killed before each of its steps; at no instant are there no features to read."""
    old = Path(extract.run(SMALL).store)
    new_decoder(monkeypatch)
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    with monkeypatch.context() as killed:

        def kill(*words):
            raise KeyboardInterrupt

        killed.setattr(refresh, step, kill)
        with pytest.raises(KeyboardInterrupt):
            refresh.refresh([stale], ON_CPU)
    again = refresh.stale_stores("mine", ON_CPU)
    extracted = [store.extracted for store in refresh.refresh(again, ON_CPU).stores]
    assert extracted == {"run_jobs": [4], "supersede": [0], "_move": []}[step]
    assert current(project / "features") == [project / old]
    assert len(open_store(old)) == 4
    assert refresh.stale_stores("mine", ON_CPU) == []


def test_a_store_that_cannot_be_made_anew_whole_stays_in_use(project, monkeypatch, capsys):
    old = Path(extract.run(SMALL).store)
    new_decoder(monkeypatch)
    (project / "clips/val/brighter/2.mp4").write_bytes(b"damaged")
    report = refresh.refresh(refresh.stale_stores("mine", ON_CPU), ON_CPU)
    assert report.stores[0].failed == 1
    assert "stays in use: 1 of its segments could not be extracted again" in capsys.readouterr().err
    assert len(open_store(old)) == 4
    assert not any(is_superseded(path) for path in old.parent.iterdir())


def test_what_never_could_be_read_does_not_hold_a_refresh_up(project, monkeypatch):
    (project / "clips/val/brighter/2.mp4").write_bytes(b"damaged")
    old = Path(extract.run(SMALL).store)
    new_decoder(monkeypatch)
    stale = refresh.stale_stores("mine", ON_CPU)
    (forecast,) = refresh.forecast(stale, ON_CPU).stores
    assert forecast.store == str(old)
    (report,) = refresh.refresh(stale, ON_CPU).stores
    assert (report.extracted, report.failed) == (forecast.to_extract - 1, 1) == (3, 1)
    assert refresh.stale_stores("mine", ON_CPU) == []


def test_a_store_whose_weights_are_gone_is_left_and_the_others_are_not(
    project, monkeypatch, capsys
):
    weights = project / "mine.pth"
    torch.save(mobilenet_v2().state_dict(), weights)
    lost = Path(extract.run(replace(SMALL, weights=str(weights))).store)
    other = Path(extract.run(SMALL).store)
    weights.unlink()
    new_decoder(monkeypatch)
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    assert stale.paths == (other,)
    assert f"{lost} is left as it is: " in capsys.readouterr().err


def test_what_is_not_there_is_said(project):
    with pytest.raises(RequestError, match="there is no feature store at nowhere: make one"):
        reextract.swap(Path("nowhere"), ["resnet50"], ON_CPU)
    with pytest.raises(RequestError, match="there is no store in features/mine"):
        refresh.stale_stores("mine", ON_CPU)


SWAP = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.networks import light
from egofeat.extract import shards
from egofeat.extract.backbones import registry
from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.extraction.options import ReextractConfig
from egofeat.pipelines.extraction.reextract import swap
import egofeat.pipelines.extraction.extract as pipeline

spec, build = registry.BACKBONES["i3d"]
clip = replace(spec.clip, frames=spec.clip.fewest)
spec = replace(spec, size=32, short_side=32, clip=clip, weights=())
registry.BACKBONES.own["i3d"] = (spec, light(build))
shards.MAX_ROWS = 1
kill_after = int(sys.argv[2])
written = []
write = pipeline.StoreWriter.write_shard

def counted(self, name, rows):
    if len(written) == kill_after:
        import os
        os._exit(9)
    written.extend(rows.ids)
    return write(self, name, rows)

pipeline.StoreWriter.write_shard = counted
config = ReextractConfig(device="cpu")
report = run_jobs(swap(Path(sys.argv[1]), ["i3d"], config, weights=["random"]), config)
print(report.stores[0].store, report.stores[0].extracted, report.stores[0].skipped)
"""


@pytest.mark.slow
def test_a_swap_killed_half_way_goes_on_and_a_head_is_trained_on_both(project):
    from egofeat.heads.config import TrainerConfig
    from egofeat.pipelines.training.fit import FitConfig, fit_head

    old = Path(extract.run(SMALL).store)

    def swap(kill_after: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SWAP, str(old), str(kill_after)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert swap(2).returncode == 9
    resumed = swap(-1)
    assert resumed.returncode == 0, resumed.stderr
    store, extracted, skipped = resumed.stdout.split()
    assert (int(extracted), int(skipped)) == (2, 2)  # nothing twice
    assert sorted(open_store(store).ids) == sorted(open_store(old).ids)
    config = FitConfig(
        head="linear", store=(old, Path(store)), fuse="features", trainer=TrainerConfig(epochs=2)
    )
    run = fit_head(config)
    shapes = [source.shape for source in run.config.sources]
    assert shapes == [(3, 1280), (1, 1024)]
