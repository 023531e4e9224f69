"""Every manifest of the documentation is read, every piece of Python run."""

from pathlib import Path

import pytest
import yaml
from tests.docs.blocks import PAGES, blocks
from tests.docs.giving import give

from egofeat.extract.backbones import spec_of
from egofeat.manifest import load_manifest
from egofeat.pipelines.sweeping.study import read_study

_EPIC = "egofeat extract --backbone mobilenetv2 --dataset epic --split train,val"
FIRST = {
    "README.md": ("egofeat extract --manifest mine.yaml",),
    "docs/backbones.md": (),
    "docs/extending.md": (),
    "docs/heads.md": (),
    "docs/python.md": (),
    "docs/sweep.md": ("egofeat extract --manifest mine.yaml",),
    "docs/store.md": (
        _EPIC,
        f"{_EPIC} --format zarr --out zarr",
        "egofeat extract --backbone slowfast_8x8_r50 --dataset epic --windows 32 --stride 16"
        " --out dense",
        "egofeat roi --dataset ava",
        "egofeat extract --backbone mobilenetv2 --dataset egtea",
    ),
}
"""Commands that make what a page's Python reads."""


def test_there_is_nothing_that_is_not_tried() -> None:
    kinds = {block.kind for page in PAGES for block in blocks(page)}
    assert kinds <= {"command", "python", "toml", "yaml"}


@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page, number)
        for page in PAGES
        for number, block in enumerate(blocks(page))
        if block.kind == "yaml"
    ],
)
def test_manifests_are_read(page: str, number: int, here: Path) -> None:
    text = blocks(page)[number].text.replace("/data/", f"{here}/data/")
    if text.startswith("family:"):
        (here / "variant.yaml").write_text(text)
        shipped = here / "docs/variants/thesis-slowfast-nl-4x16-r101.yaml"
        assert spec_of(str(here / "variant.yaml")) == spec_of(str(shipped))
        return
    if "version:" not in text:
        text = f"version: 1\ndatasets:\n{text}"
    (here / "m.yaml").write_text(text)
    if "heads:" in text:
        assert read_study(here / "m.yaml")
        return
    for name in yaml.safe_load(text)["datasets"]:
        dataset = load_manifest(here / "m.yaml").dataset(name)
        assert all(media.path.exists() for media in dataset.media.values()), name


def test_the_shipped_manifest_is_read_with_its_comment_signs_removed(here: Path) -> None:
    manifest = load_manifest(here / "data_manifest.yaml")
    assert {"demo", "epic", "egtea", "ava", "handwash", "ucf101"} <= set(manifest.names)
    for name in manifest.names:
        media = manifest.dataset(name).media
        assert all(one.path.exists() for one in media.values()), name


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(block.kind == "python" for block in blocks(p))]
)
def test_python_runs(page: str, here: Path) -> None:
    for line in FIRST[page]:
        give(line, f"before {page}")
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.kind == "python":
            text = block.text.replace('weights="default"', 'weights="random"')
            code = compile("\n" * (block.line - 1) + text, page, "exec")
            exec(code, names)
