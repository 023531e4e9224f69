"""Studies are planned, on annotations of their data set's own form: all of each fits."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from tests.docs.giving import give
from tests.docs.world import VERBS, film, write
from tests.networks import light
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.extract.backbones import BACKBONES

STUDIES = Path(__file__).parents[2] / "studies"
FITS = {
    "demo-heads": 12,
    "demo-verbs-nouns": 6,
    "egtea-attention": 63,
    "epic-temporal": 21,
    "handwash-attention": 18,
    "handwash-convlstm": 2,
    "handwash-flow-maps": 3,
    "handwash-flow": 12,
    "handwash-joined": 24,
    "handwash-kernels": 12,
    "handwash-s3d": 15,
    "handwash-temporal": 15,
    "swap": 27,
}
"""Trainings of each; `fit-head tail` has studies that test_results.py only reads."""


@pytest.fixture(scope="module")
def folder(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world, with a file where each video of HandWash is."""
    made = tmp_path_factory.mktemp("studies") / "here"
    shutil.copytree(world, made)
    make_demo(made)
    one = made / "one.mp4"
    film(one, 0.5)
    with (made / "studies/data/handwash.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            video = made / "HandWash/Mock_HandWashDataset" / row["video"]
            video.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, video)
    return made


def make_demo(here: Path) -> None:
    """What `egofeat demo` leaves, of so many participants that some can be held out."""
    rows = ["video,start,stop,split,verb,noun,participant"]
    for number in range(12):
        video, split = ("P00_01", "train") if number < 8 else ("P01_01", "val")
        span = f"{0.3 * (number % 8):.1f},{0.3 * (number % 8) + 0.3:.1f}"
        rows.append(f"{video}.mp4,{span},{split},{VERBS[number % 2]},cup,P{number // 2}")
    write(here / "demo/data/segments.csv", *rows)
    text = (here / "data_manifest.yaml").read_text().replace(": demo/data/", ": data/")
    (here / "demo/data_manifest.yaml").write_text(text)


@pytest.mark.parametrize("name", sorted(FITS))
def test_each_study_would_train_all_that_it_says(name, folder, monkeypatch):
    if name == "swap":
        for package in ("timm", "transformers"):
            pytest.importorskip(package)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    for backbone, (spec, build) in BACKBONES.items():  # stand-ins, whose taps are as large
        monkeypatch.setitem(BACKBONES.own, backbone, (spec, light(build)))
    if name.startswith("demo") and not Path("demo/features").exists():
        give("egofeat extract --dataset demo --out demo/features", name)
    said = yaml.safe_load((STUDIES / f"{name}.yaml").read_text())
    for line in said["features"]:
        if "backbone" in line:
            line["weights"] = "random"
    Path("study.yaml").write_text(yaml.safe_dump(said))
    done = CliRunner().invoke(app, ["sweep", "study.yaml", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    planned = json.loads(done.stdout)
    assert planned["left_out"] == []
    assert planned["fits"] == FITS[name]


def test_a_published_split_that_the_data_set_lacks_is_refused_before_anything_is_extracted(
    folder, monkeypatch
):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    for dataset, said in (("egtea", "no published split '4': known are '1', '2'"), ("demo", "one")):
        study = {
            "version": 1,
            "name": "fourth",
            "dataset": dataset,
            "features": [{"backbone": "mobilenetv2", "weights": "random"}],
            "heads": [{"head": "linear"}],
            "splits": {"published": "4"},
        }
        Path("study.yaml").write_text(yaml.safe_dump(study))
        done = CliRunner().invoke(app, ["sweep", "study.yaml"])
        assert said in str(done.exception)
        assert not Path("features").exists()
