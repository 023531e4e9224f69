"""Two stores side by side."""

import csv

import numpy as np
import pytest

from egofeat.cli.command import show
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.features import Likeness, compare_features
from egofeat.pipelines.comparing.options import CompareFeaturesConfig
from egofeat.store import open_store

SPLITS = ["train"] * 8 + ["val"] * 4
LABELS = {"verb": [0, 1] * 6}
CLASSES = {"verb": ("cut", "mix")}


@pytest.fixture
def compared(labelled_store, tmp_path):
    def compare(first, second):
        stores = [
            labelled_store(SPLITS, asked.pop("labels", LABELS), CLASSES, **asked, out=out)
            for asked, out in ((first, "first"), (second, "second"))
        ]
        asked = CompareFeaturesConfig(first=stores[0], second=stores[1], out=tmp_path / "out")
        return compare_features(asked), stores

    return compare


def test_the_same_features_are_identical(compared, capsys):
    found, _ = compared({}, {})
    assert (found.segments, found.identical, found.recipes_differ) == (12, 12, ())
    assert found.likeness["cosine"]["worst"] == pytest.approx(1)
    assert found.likeness["largest difference"]["worst"] == 0
    show(found, as_json=False)
    said = capsys.readouterr().out
    assert "12 segments of tap gap in both" in said
    assert "identical to the last bit: all" in said


def test_what_differs_is_measured_and_told(compared, tmp_path, capsys):
    others = {"verb": [0, 1] * 3 + [1, 0] * 3}  # features tell the label
    second = {"weights": "random:1", "without": (3, 5), "labels": others}
    found, stores = compared({}, second)
    assert found.identical == 4
    assert {one.id for one in found.worst} < {f"segment_{k:03d}" for k in range(6, 12)}
    assert (found.segments, found.left_out) == (10, (2, 0))
    assert found.recipes_differ == ("weights: random:0, random:1",)
    one, other = (open_store(store)["segment_007"].astype(float).ravel() for store in stores)
    with (tmp_path / "out" / "features.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    said = rows["segment_007"]
    expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert float(said["cosine"]) == pytest.approx(expected)
    assert expected < 0.9
    assert float(said["largest"]) == pytest.approx(np.abs(one - other).max())
    show(found, as_json=False)
    assert "2 segments in one of them alone" in capsys.readouterr().out


def test_likeness_of_values():
    ones = np.ones((2, 3), np.float16)
    assert Likeness.of("a", ones, 2 * ones) == Likeness("a", 1.0, 1.0, 1.0)
    turned = Likeness.of("a", np.array([1.0, 0]), np.array([0, 1.0]))
    assert (turned.cosine, turned.largest) == (0, 1)
    assert turned.relative == pytest.approx(np.sqrt(2))
    zeros = np.zeros(3)
    assert Likeness.of("a", zeros, zeros) == Likeness("a", 1.0, 0.0, 0.0)
    assert Likeness.of("a", zeros, np.ones(3)) == Likeness("a", 0.0, 1.0, 1.0)


def test_stores_that_have_nothing_in_common_are_refused(compared, labelled_store, tmp_path):
    with pytest.raises(RequestError, match=r"holds rows of \(4, 6\) and .* of \(4, 7\): compare"):
        compared({}, {"row": (4, 7)})
    with pytest.raises(RequestError, match=r"no segment has as many rows .*\[4, 6\] and \[5, 6\]"):
        compared({}, {"row": (5, 6)})
    with pytest.raises(RequestError, match="have no segment in common"):
        compared({"without": range(6)}, {"without": range(6, 12)})
