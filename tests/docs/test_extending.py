"""The package of docs/extending.md, installed beside egofeat, goes the whole road."""

import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.docs.blocks import blocks
from typer.testing import CliRunner, Result

from egofeat import plugins
from egofeat.cli import app
from egofeat.errors import EgofeatError
from egofeat.extract.backbones import load
from egofeat.store import open_store

PAGE = "docs/extending.md"


def install(folder: Path) -> None:
    """What `pip install` leaves of the package that the page writes."""
    for block in blocks(PAGE):
        if block.kind in ("python", "toml"):
            file = folder / block.text.split("\n", 1)[0].removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "top_level.txt").write_text("toy\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages in which the page's is installed, and nobody else's."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(folder)
    plugins._entry_points.cache_clear()
    yield folder
    plugins._entry_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


def give(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def printed(*words: str | Path) -> str:
    result = give(*words)
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


def refused(*words: str | Path) -> str:
    result = give(*words)
    assert isinstance(result.exception, EgofeatError), result.output
    return str(result.exception)


@pytest.fixture
def manifest(tmp_path: Path, encoder: Callable[..., Path]) -> Path:
    """Six films, of two classes, in the format of the page."""
    videos = tmp_path / "videos"
    videos.mkdir()
    rows = []
    for number in range(6):
        film = encoder(videos / f"{number}.mp4", frames=8)
        rows.append(f"{film.name} {'ab'[number % 2]} {'train' if number < 4 else 'val'}\n")
    (tmp_path / "list.txt").write_text("".join(rows))
    entry = {"format": "toy-list", "media": str(videos), "annotations": "list.txt"}
    (tmp_path / "m.yaml").write_text(yaml.dump({"version": 1, "datasets": {"mine": entry}}))
    return tmp_path / "m.yaml"


def test_the_page_is_one_package_that_every_command_takes(
    site: Path, manifest: Path, tmp_path: Path
) -> None:
    here, run = tmp_path / "features", tmp_path / "runs/toy"
    added = json.loads(printed("plugins", "--json"))["plugins"]
    assert {(one["name"], one["package"], one["problem"]) for one in added} == {
        (name, "toy 1.0", "") for name in ("toynet", "toyhead", "toy-list", "npz")
    }
    assert "toynet: added by toy 1.0, 32 px, gap of 2 taps" in printed("backbones")
    printed(
        *("extract", "--backbone", "toynet", "--manifest", manifest, "--format", "npz"),
        *("--tap", "map,gap", "--out", here, "--frames", "3", "--workers", "1"),
    )
    (path,) = (here / "mine").iterdir()
    store = open_store(path, tap="gap")
    assert (store.row_shape, store.mapped, len(store.ids)) == ((3, 8), False, 6)
    assert all(file.suffix == ".npz" for file in (path / "shards").iterdir())
    (listed,) = json.loads(printed("ls", here, "--json"))
    assert (listed["backbone"], listed["format"], listed["problem"]) == ("toynet", "npz", "")
    recipe = json.loads((path / "store.json").read_text())["recipe"]
    assert recipe["weights"] == load("toynet").weights
    assert recipe["weights"].startswith("own:")
    assert recipe["package"] == "toy 1.0"
    printed("verify", path)
    printed(
        *("fit-head", "toyhead", "--store", path, "--tap", "gap", "--out", run),
        *("--epochs", "2", "--option", "temperature=2.0", "--device", "cpu"),
    )
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["options"], config["package"]) == ({"temperature": 2.0}, "toy 1.0")
    printed("evaluate", run, "--split", "val")
    printed("verify", run)
    film = tmp_path / "videos/0.mp4"
    assert json.loads(printed("predict", run, film, "--json"))
    printed("annotate", run, film, "--out", tmp_path / "seen.mp4", "--device", "cpu")
    printed("extract", "--backbone", "toy.backbone:ToyNet", "--manifest", manifest, "--out", here)
    again = ("reextract", "--from", path, "--manifest", manifest, "--out", tmp_path / "again")
    printed(*again, "--backbone", "toy.backbone:ToyNet", "--tap", "gap", "--workers", "1")


def test_what_a_missing_package_made_is_told_in_one_sentence(
    site: Path, manifest: Path, tmp_path: Path
) -> None:
    here, run = tmp_path / "features", tmp_path / "runs/toy"
    asked = ("extract", "--backbone", "toynet", "--manifest", manifest, "--out", here)
    printed(*asked, "--frames", "2", "--format", "npz", "--workers", "1")
    (path,) = (here / "mine").iterdir()
    printed("fit-head", "toyhead", "--store", path, "--out", run, "--epochs", "1")
    printed("fit-head", "linear", "--store", path, "--out", tmp_path / "plain", "--epochs", "1")
    metadata = site / "toy-1.0.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "2.0"))
    plugins._entry_points.cache_clear()
    told = refused("evaluate", run)
    assert "head toyhead needs package toy 1.0, and toy 2.0 is installed" in told
    told = refused("predict", tmp_path / "plain", tmp_path / "videos/0.mp4")
    assert "made by toynet of package toy 1.0, and toy 2.0 is installed: install the one" in told
    (site / "toy-1.0.dist-info/entry_points.txt").unlink()
    plugins._entry_points.cache_clear()
    installs = "install the package that adds it"
    (listed,) = json.loads(printed("ls", here, "--json"))
    assert listed["problem"].endswith(f"store format 'npz', which is not installed: {installs}")
    for words in (("verify", path), ("fit-head", "linear", "--store", path)):
        assert refused_or_told(*words).count(installs) == 1
    told = refused_or_told("evaluate", run, "--store", path)
    assert "head toyhead needs package toy 1.0, and none is installed: install the one" in told
    assert "unknown format 'toy-list'" in refused("extract", "--manifest", manifest)


def refused_or_told(*words: str | Path) -> str:
    result = give(*words)
    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, EgofeatError | SystemExit)
    return f"{result.output}{result.exception}"
