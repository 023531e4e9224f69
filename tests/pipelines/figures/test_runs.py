from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from egofeat.errors import RequestError
from egofeat.pipelines.figures import style as drawing
from egofeat.pipelines.figures.classes import confusion_matrix, instances_per_class
from egofeat.pipelines.figures.runs import comparison, loss_curves

pytestmark = pytest.mark.drawn

CLASSES = (2, 13, 97, 300)


def pixels(path: Path) -> NDArray[np.uint8]:
    """Read a picture after checking that it is a PNG of a size that a page can show."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 300 <= picture.width <= 2600
        assert 200 <= picture.height <= 2600
        return np.asarray(picture.convert("RGB"))


def margin_is_clear(picture: NDArray[np.uint8]) -> bool:
    """Nothing touches the edge, so that nothing was cut off."""
    edge = [picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]]
    return all((strip == 255).all() for strip in edge)


def names(classes: int) -> list[str]:
    return [f"class {number} of $many" for number in range(classes)]


def long_tail(classes: int, size: int) -> NDArray[np.int64]:
    share = 1 / np.arange(1, classes + 1)
    return np.random.default_rng(0).choice(classes, size, p=share / share.sum())


def test_names_that_are_written_in_codes_have_room(tmp_path):
    results = {"a" + "\x07" * 8: {"top1": 0.5}, "b": {"top1": 0.4}}
    assert margin_is_clear(pixels(comparison(results, tmp_path / "codes.png")))


@pytest.mark.parametrize("classes", CLASSES)
def test_confusions_are_whole_at_any_number_of_classes(classes: int, tmp_path: Path) -> None:
    labels = long_tail(classes, 20 * classes)
    guesses = np.where(np.arange(len(labels)) % 2, labels, 0)
    out = confusion_matrix(labels, guesses, names(classes), tmp_path / "sub" / "c.png", "verb")
    assert out == tmp_path / "sub" / "c.png"
    assert margin_is_clear(pixels(out))


def test_confusions_leave_out_classes_that_do_not_occur(tmp_path: Path) -> None:
    few = confusion_matrix([0, 1, 1], [0, 1, 0], names(2), tmp_path / "few.png", "verb")
    same = confusion_matrix([0, 9, 9], [0, 9, 0], names(10), tmp_path / "same.png", "verb")
    assert abs(pixels(few).shape[0] - pixels(same).shape[0]) <= 2


def test_confusions_do_not_count_the_unlabelled(tmp_path: Path) -> None:
    whole = confusion_matrix([0, 1], [0, 1], names(2), tmp_path / "a.png", "verb")
    more = confusion_matrix([0, -1, 1], [0, 0, 1], names(2), tmp_path / "b.png", "verb")
    np.testing.assert_array_equal(pixels(whole), pixels(more))


def test_confusions_show_a_class_that_is_only_predicted(tmp_path: Path) -> None:
    out = confusion_matrix([0, 0, 1], [0, 2, 1], names(3), tmp_path / "c.png", "verb")
    assert margin_is_clear(pixels(out))


@pytest.mark.parametrize("classes", [12, 97])
def test_there_is_room_for_the_longest_name(classes: int, tmp_path: Path) -> None:
    words, each = ["W" * 26 if number == 7 else "a" for number in range(classes)], range(classes)
    confusions = confusion_matrix(each, each, words, tmp_path / "c.png", "verb")
    instances = instances_per_class({"train": each}, words, tmp_path / "i.png", "verb")
    assert margin_is_clear(pixels(confusions))
    assert margin_is_clear(pixels(instances))


@pytest.mark.parametrize("classes", CLASSES)
def test_instances_are_whole_at_any_number_of_classes(classes: int, tmp_path: Path) -> None:
    counts = {
        "train": np.bincount(long_tail(classes, 30 * classes), minlength=classes),
        "val": np.bincount(long_tail(classes, 3 * classes), minlength=classes),
    }
    out = instances_per_class(counts, names(classes), tmp_path / "i.png", "verb")
    assert margin_is_clear(pixels(out))


def test_instances_of_one_split_with_an_empty_class(tmp_path: Path) -> None:
    out = instances_per_class({"train": [4, 0, 9]}, names(3), tmp_path / "i.png", "verb")
    assert margin_is_clear(pixels(out))


FULL = """epoch,train/loss,val/loss,train/verb/top1,val/verb/top1,val/noun/top1,lr,seconds
1,3.1,2.9,0.2,0.2,0.1,0.001,4
2,2.2,2.0,0.4,0.4,0.3,0.001,4
3,1.9,2.1,0.6,0.45,0.2,0.001,4
"""


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        "epoch,train/loss\n1,3.0\n",
        "epoch,train/loss,val/loss\n1,3.0,2.5\n2,2.0,\n",
        "epoch,val/loss,train/loss\n1,,2.5\n",
    ],
    ids=["full", "train alone", "one validation", "no validation"],
)
def test_curves_draw_the_columns_that_are_there(text: str, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(text)
    out = loss_curves(tmp_path / "history.csv", tmp_path / "loss.png")
    assert margin_is_clear(pixels(out))


def test_curves_have_a_panel_more_with_accuracies(tmp_path: Path) -> None:
    (tmp_path / "full.csv").write_text(FULL)
    (tmp_path / "bare.csv").write_text("epoch,train/loss\n1,3.0\n")
    full = pixels(loss_curves(tmp_path / "full.csv", tmp_path / "full.png"))
    bare = pixels(loss_curves(tmp_path / "bare.csv", tmp_path / "bare.png"))
    assert full.shape[1] > 1.5 * bare.shape[1]


def test_of_one_epoch_there_is_one_tick_at_a_whole_number(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(drawing, "save", lambda sheet, out: written.append(sheet))
    (tmp_path / "history.csv").write_text("epoch,train/loss,val/loss\n1,3.0,2.5\n")
    loss_curves(tmp_path / "history.csv", tmp_path / "loss.png")
    (axes,) = written[0].axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("text", ["epoch,train/loss\n", "step,loss\n1,2\n"])
def test_curves_of_nothing_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(RequestError, match=r"history\.csv"):
        loss_curves(tmp_path / "history.csv", tmp_path / "loss.png")


def test_heads_stand_beside_chance(tmp_path: Path) -> None:
    results = {
        "linear": {"verb/top1": 0.4, "noun/top1": 1.0, "action/top1": 0.3, "verb/top5": 0.9},
        "lstm": {"verb/top1": 0.9},
    }
    chance = {"chance": {"verb/top1": 0.125, "noun/top1": 0.17}}
    plain = pixels(comparison(results, tmp_path / "plain.png"))
    with_chance = pixels(comparison({**results, **chance}, tmp_path / "chance.png"))
    assert margin_is_clear(with_chance)
    assert not np.array_equal(plain, with_chance)


def test_a_picture_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (
        confusion_matrix([0, 1], [1, 1], names(2), tmp_path / name, "verb").read_bytes()
        for name in ("a.png", "b.png")
    )
    assert first == second


def test_class_names_of_a_stranger_draw_without_a_warning(tmp_path):
    names = ["\x1b]0;TITLE\x07", "日本\n語", "$\\foo$"]
    out = confusion_matrix([0, 1, 2], [0, 1, 1], names, tmp_path / "a.png", names[0])
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_a_target_of_a_stranger_is_no_formula(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,val/loss,val/$\\foo$/top1\n1,3.0,0.5\n")
    assert margin_is_clear(pixels(loss_curves(history, tmp_path / "loss.png")))


@pytest.mark.parametrize("width", [3.0, 5.4, 14.0])
def test_a_caption_stays_on_its_sheet(width):
    sheet = drawing.figure(width, 4.0)
    words = "30 segments, 93.3 % right · 2 of 5 classes do not occur · MMMMMM WWWWW MMMM"
    drawing.note(sheet, words)
    sheet.draw_without_rendering()
    (caption,) = [text for text in sheet.texts if text.get_text()]
    box = caption.get_window_extent()
    assert 0 < box.x0 < box.x1 < sheet.bbox.width
    assert caption.get_text().replace("\n", " ") == words
