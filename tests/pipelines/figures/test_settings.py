"""What a user has matplotlib draw by changes none of our pictures, and stays theirs."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context, rcParams

from egofeat.pipelines.bench import pictures as bench
from egofeat.pipelines.figures import classes, runs, style
from egofeat.pipelines.figures.mosaics import draw_mosaic

pytestmark = pytest.mark.drawn

THEIRS = {
    "text.usetex": True,
    "savefig.dpi": 40,
    "savefig.bbox": "tight",
    "image.origin": "lower",
    "font.family": "serif",
    "font.weight": "bold",
    "font.size": 20,
    "figure.autolayout": True,
    "figure.constrained_layout.use": True,
    "axes.facecolor": "black",
    "axes.grid.axis": "x",
    "lines.linewidth": 9,
    "pdf.fonttype": 3,
    "svg.hashsalt": None,
}
NAMES = ["take", "put"]
LABELS = np.array([0, 1, 1])
HISTORY = "epoch,train/loss,val/loss,val/verb/top1\n1,3,2.5,0.2\n2,2,2.1,0.4\n"


def history(out: Path) -> Path:
    path = out.with_name("history.csv")
    path.parent.mkdir(exist_ok=True)
    path.write_text(HISTORY)
    return path


PICTURES = {
    "confusion": lambda out: classes.confusion_matrix(LABELS, LABELS, NAMES, out, "verb"),
    "bars": lambda out: classes.instances_per_class({"train": [4, 2]}, NAMES, out, "verb"),
    "tail": lambda out: classes.instances_per_class({"train": [4] * 41}, ["a"] * 41, out, "verb"),
    "precision": lambda out: classes.precision_bars({"take": (0.5, 3)}, out, "verb"),
    "losses": lambda out: runs.loss_curves(history(out), out),
    "heads": lambda out: runs.comparison({"lstm": {"verb/top1": 0.5}}, out),
    "accuracies": lambda out: runs.accuracies(["lstm"], [(0.5, 0.4, 0.6)], out, "verb"),
    "curves": lambda out: runs.curves({"lstm": [history(out)]}, "verb/top1", out),
    "mosaic": lambda out: draw_mosaic(
        np.eye(4, dtype=np.float32)[None, :, :, None].repeat(3, 3), out, title="a", rows=["row"]
    ),
    "scatter": lambda out: bench.scatter(
        [bench.Point(name="r50", group="top-1", across=1e9, height=70.0)], out, "cost", "%"
    ),
    "lengths": lambda out: bench.heads_over_length({5: {"lstm": [(1, 0.2), (20, 3.0)]}}, out),
    "storage": lambda out: bench.storage_over_segments({"f16": [(10, 10**6, 10**6, 2.0)]}, out),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_no_picture_follows_the_settings_of_a_user(kind, tmp_path):
    with style.also("svg"):
        usual = PICTURES[kind](tmp_path / "usual" / "a.png")
        with rc_context(THEIRS):
            before = dict(rcParams)
            theirs = PICTURES[kind](tmp_path / "theirs" / "a.png")
            assert dict(rcParams) == before, "what is theirs comes back"
    for suffix in (".png", ".svg"):
        assert usual.with_suffix(suffix).read_bytes() == theirs.with_suffix(suffix).read_bytes()
