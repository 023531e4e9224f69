"""Every command of the documentation, in the order of its page, on small data."""

from pathlib import Path

import pytest
from tests.docs.blocks import PAGES, Block, blocks
from tests.docs.giving import give, read
from tests.docs.make_options import PAGE, page

ELSEWHERE = {
    "bench backbones": "tests/pipelines/bench/test_backbones.py: each in a process of its own",
    "demo": "tests/pipelines/demo/test_demo.py, and .ci/run gives it as it stands",
    **dict.fromkeys(
        (
            "predict --backbone",
            "evaluate --backbone",
            "annotate VIDEO --backbone",
            "annotate kitchen.mp4 --backbone",
            "annotate films --backbone",
            "annotate frames.tar --fps 30 --backbone",
        ),
        "tests/pipelines/recognition: real published weights",
    ),
    "score-boxes": "tests/pipelines/recognition/test_score_boxes.py: AVA's own files",
    "--init ": "tests/pipelines/training/test_published_heads.py: a file of published weights",
    "--motion raft": "tests/extract/flow/test_methods.py: RAFT's published weights",
    "features/handwash": "docs/results.md: trained on real videos, with real weights",
    "--ray ": "tests/pipelines/extraction/workers/test_workers.py and test_ray_cluster.py: actors",
    "--slurm ": "tests/pipelines/extraction/workers/test_workers.py: submitit's local executor",
    "cuda:0": "a machine with GPUs",
    "--dataset handwash": "docs/results.md: extracted of real videos, with real weights",
}
"""Words of commands whose options alone are checked here, and where they are given."""

_EPIC = "egofeat extract --backbone mobilenetv2 --dataset epic --split train,val"
_AVA = "egofeat roi --dataset ava"
FIRST: dict[str, tuple[str, ...]] = {
    "docs/annotate.md": (
        f"{_AVA} --out annotated",
        "egofeat fit-head roi --preset ava --store annotated --out runs/ava-roi",
        _EPIC,
        "egofeat fit-head lstm --store features/epic --out runs/kitchen-lstm",
    ),
    "docs/backbones.md": (_EPIC,),
    "docs/attention.md": (
        "egofeat extract --backbone i3d --dataset egtea --tap map",
        "egofeat extract --backbone mobilenetv2 --dataset epic --split train,val --tap map"
        " --out maps",
        "egofeat extract --backbone flow_grid --dataset epic --split train,val --motion farneback"
        " --out flow",
    ),
    "docs/compare.md": (
        _EPIC,
        *(
            f"egofeat fit-head linear --store features/epic --epochs 2 --seed {k} --out runs/{name}"
            for k, name in enumerate("abc")
        ),
        f"{_EPIC} --out mine",
    ),
    "docs/heads.md": (_EPIC, "egofeat extract --backbone i3d --dataset epic --split train,val"),
    "docs/runs.md": (_EPIC, "egofeat fit-head linear --store features/epic --out runs/first"),
    "docs/store.md": (_EPIC,),
    "docs/sweep.md": ("egofeat extract --dataset demo --out demo/features",),
}
"""What a page takes for granted: done by another page before."""


def commands(page: str) -> list[Block]:
    return [block for block in blocks(page) if block.text.startswith("egofeat ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_command_of_a_page_works(page: str, here: Path) -> None:
    for line in FIRST.get(page, ()):
        give(line, f"before {page}")
    for block in commands(page):
        where = f"{page}:{block.line}"
        if any(words in f"{block.text} " for words in ELSEWHERE):
            read(block.text, where)
        else:
            give(block.text, where)


def test_the_page_of_options_is_what_the_command_line_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/docs/make_options.py"
