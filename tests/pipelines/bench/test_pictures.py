from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.text import Annotation, Text
from PIL import Image

from egofeat.pipelines.bench.pictures import Point, heads_over_length, scatter
from egofeat.pipelines.bench.tables import operations

pytestmark = pytest.mark.drawn


def crowd(count: int) -> list[Point]:
    """Backbones much alike, as those of one family are."""
    rng = np.random.default_rng(0)
    return [
        Point(
            name=f"slowfast_{number}x8_r{50 + number}",
            group=("top-1, Kinetics-400", "mAP, AVA v2.2")[number % 2],
            across=int(rng.uniform(1, 8) * 1e12),
            height=rng.uniform(65, 80),
        )
        for number in range(count)
    ]


@pytest.fixture
def figures(monkeypatch) -> list[matplotlib.figure.Figure]:
    """Every figure that is written."""
    written = []
    save = matplotlib.figure.Figure.savefig

    def savefig(figure, *arguments, **options):
        save(figure, *arguments, **options)
        written.append(figure)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return written


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("count", [1, 2, 20])
def test_names_neither_overlap_nor_leave_the_picture(log, count, figures, tmp_path):
    points = crowd(count)
    scatter(points, tmp_path / "sub" / "p.png", "accuracy", "%", log=log)
    (figure,) = figures
    (axes,) = figure.axes
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    assert len(names) == count
    boxes = [Text.get_window_extent(name) for name in names]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert box.x0 >= axes.bbox.x0
        assert box.x1 <= axes.bbox.x1
        for point in points:
            assert not box.contains(*axes.transData.transform((point.across, point.height)))
    assert axes.get_xscale() == "log"


def test_heads_have_a_panel_an_output_dimension(figures, tmp_path: Path):
    curves = {
        "lstm, 0.27 M parameters": [(5, 0.2), (10, 0.4)],
        "convlstm, 2.40 M parameters": [(5, 20.0), (10, 40.0)],
    }
    out = heads_over_length({50: curves, 100: curves, 200: curves}, tmp_path / "h.png")
    (figure,) = figures
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"output dimension {n}" for n in (50, 100, 200)]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == list(curves)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    with Image.open(out) as picture:
        edge = np.asarray(picture.convert("L"))
    assert (edge[:2] == 255).all()
    assert (edge[:, -2:] == 255).all()


@pytest.mark.parametrize(
    ("count", "words"),
    [(5, "5"), (299_494_272, "299 M"), (65.7e9, "65.7 G"), (7.26e12, "7.26 T"), (999.9e9, "1 T")],
)
def test_operations_are_said_in_units(count, words):
    assert operations(count) == words
