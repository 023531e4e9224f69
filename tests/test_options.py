"""Options: declared once, checked when they are made, read from files and command lines."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import egofeat.cli  # noqa: F401 - every command's options
from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.options import Options, declared, inherited, option, plain
from egofeat.pipelines.extraction.options import ExtractRequest, RoiRequest
from egofeat.pipelines.training.options import FitConfig
from egofeat.saved_options import read_saved

KINDS = ("a", "b")


class Size(Options, panel="Size"):
    width: int = option("Width.", default=8, least=1, most=10)


class Config(Size, panel="Own"):
    path: Path = option("Where.", argument=True)
    kind: str | None = option("Kind.", default=None, choices=f"{__name__}:KINDS")
    names: tuple[str, ...] = option("Names, by comma.", default=(), flag="--name")


class Typed(Config):
    rate: float = option("Rate.", default=1.0, above=0)
    share: float | None = option("Share.", default=None, above=0, most=1)
    steps: tuple[int, int] = option("Steps.", default=(1, 2), least=0)
    more: Mapping[str, int] = option("More.", default={})
    size: Size | None = None


def _heirs(kind: type[Options]) -> Iterator[type[Options]]:
    for heir in kind.__subclasses__():
        yield heir
        yield from _heirs(heir)


def test_a_name_and_type_is_declared_once():
    """What has other words or another default in a command is `inherited` of a group."""
    by: dict[object, set[str]] = {}
    for kind in (kind for kind in _heirs(Options) if kind.__module__.startswith("egofeat.")):
        above = {one.name for base in kind.__bases__ for one in fields(base)}
        for one in fields(kind):
            if "option" in one.metadata and one.name not in above:
                by.setdefault((one.name, one.type), set()).add(kind.__qualname__)
    assert len(by) > 100
    assert {name: kinds for name, kinds in by.items() if len(kinds) > 1} == {}


def test_an_inherited_option_keeps_what_is_not_said_anew():
    class Small(Size, panel="Small"):
        width: int = inherited("Small width.", default=2)

    (width,) = declared(Small)
    assert (width.panel, width.option.help, width.default) == ("Small", "Small width.", 2)
    assert Small().width == 2
    with pytest.raises(RequestError, match="`width` is 11: give 1 to 10"):
        Small(width=11)
    assert (Size().width, declared(Size)[0].option.help) == (8, "Width.")


def test_a_group_without_a_panel_stands_in_its_heir_s():
    class Group(Options):
        depth: int = option("Depth.", default=1)

    class Middle(Group, panel="Middle"):
        height: int = option("Height.", default=1)

    class Command(Middle, panel="Own"):
        path: Path = option("Where.")

    found = [(one.name, one.panel) for one in declared(Command)]
    assert found == [("path", "Own"), ("height", "Middle"), ("depth", "Middle")]


def test_own_options_come_first_and_stand_in_their_panel():
    found = [(one.name, one.panel, one.flags) for one in declared(Config)]
    assert found == [
        ("path", "Own", ()),
        ("kind", "Own", ("--kind",)),
        ("names", "Own", ("--name",)),
        ("width", "Size", ("--width",)),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0}, "`width` is 0: give 1 to 10"),
        ({"width": 11}, "`width` is 11"),
        ({"kind": "c"}, "`kind` is c: choose a or b"),
        ({"steps": [1, 2**63]}, r"`steps` is .*: give less than 2\*\*63$"),
        ({"rate": float("inf")}, "`rate` is inf: give a finite number$"),
        ({"rate": float("nan")}, "`rate` is nan: give a finite number$"),
        ({"share": 1e30}, r"`share` is 1e\+30: give more than 0, up to 1$"),
        ({"share": float("inf")}, "`share` is inf: give more than 0, up to 1$"),
        ({"width": "2"}, "^`width` is '2': give a whole number$"),
        ({"width": 2.5}, "^`width` is 2.5: give a whole number$"),
        ({"width": True}, "^`width` is True: give a whole number$"),
        ({"width": None}, "^`width` is None: give a whole number$"),
        ({"rate": "2"}, "^`rate` is '2': give a number$"),
        ({"share": (1, 2)}, "^`share` is .*: give a number$"),
        ({"kind": 3}, "^`kind` is 3: give a string$"),
        ({"names": "a"}, "^`names` is 'a': give a tuple of strings$"),
        ({"steps": (1, 2, 3)}, "^`steps` is .*: give a tuple of 2 whole numbers$"),
        ({"more": [1]}, "^`more` is .*: give a mapping$"),
        ({"size": 3}, "^`size` is 3: give a Size$"),
        ({"path": "here"}, "^`path` is 'here': give a path$"),
    ],
)
def test_a_value_that_cannot_be_is_refused_when_it_is_made(changes, said):
    with pytest.raises(RequestError, match=said):
        Typed(**{"path": Path(), **changes})


def test_numbers_of_arrays_and_lists_are_numbers_and_tuples():
    Typed(path=Path(), width=np.int64(3), rate=np.float32(2), share=1, names=["a"], steps=[0, 1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("widht: 3", "there is no option 'widht': did you mean 'width'"),
        ("width: wide", "width cannot be 'wide': input should be a valid integer"),
        ("width: true", "width cannot be True"),
        ("name: {a: 1}", "name cannot be"),
        ("- width", "holds no options"),
        ("", "holds no options"),
        ("width: [", "is no YAML: expected .*, line 1, column 9"),
        ("name: &a [x]\nkind: *a", "refers to parts of itself"),
    ],
)
def test_a_file_that_cannot_be_is_one_sentence_that_names_it(tmp_path, text, said):
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(RequestError, match=said) as refusal:
        read_saved(tmp_path / "options.yaml", [Config, Config])
    assert "options.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_is_read_as_it_is_typed_or_as_the_fields_are(tmp_path):
    file = tmp_path / "options.yaml"
    for text in ("name: a, b\nwidth: 3", "names: [a, b]\nwidth: 3", 'request: {"name": "a,b"}'):
        file.write_text(text)
        assert read_saved(file, [Config])["names"] == ("a", "b")
    file.write_text("tap: [gap, 'map, gap']")
    assert read_saved(file, [ExtractRequest])["taps"] == (("gap",), ("map", "gap"))


def test_a_file_has_no_names_of_one_letter():
    class Command(Options):
        out: Path = option("Where.", flag="--out,-o")

    (out,) = declared(Command)
    assert (out.flags, out.names) == (("--out", "-o"), {"out"})


@pytest.mark.parametrize(
    "config",
    [
        ExtractRequest(taps=(("gap",), ("map", "gap")), part=(2, 3), out=Path("x"), fps=2.5),
        RoiRequest(splits=("val",), retry_failed=True),
        FitConfig(
            head="lstm",
            store=[Path("a"), Path("b")],
            options={"hidden": 9},
            trainer=TrainerConfig(
                iterations=9, eval_every=3, schedule="multistep", lr_milestones=(3, 5)
            ),
        ),
    ],
)
def test_what_is_echoed_makes_the_same_again(tmp_path, config):
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"seconds": 3, "request": plain(config)}))
    kind = type(config)
    again = kind.of(kind.over(read_saved(file, [kind]), {}))
    assert plain(again) == plain(config)


SAVED = """
schema: 2
head: stam
preset: null
options: {depth: 2}
normalize: false
classes: {verb: [cut, stir]}
splits: {train: a, val: b, published: null, val_from_train: 0.1, val_groups: [x]}
trainer: {epochs: 100, iterations: 9, eval_every: 3, seed: 5}
init: null
fuse: logits
sources: [{store: one, tap: map}, {store: two, tap: gap}]
"""


def test_a_run_says_what_makes_it_again(tmp_path):
    (tmp_path / "config.yaml").write_text(SAVED)
    config = FitConfig.of(FitConfig.over(read_saved(tmp_path / "config.yaml", [FitConfig]), {}))
    assert (config.head, config.preset, config.options) == ("stam", None, {"depth": 2})
    assert (list(config.store), config.tap) == ([Path("one"), Path("two")], "map,gap")
    assert (config.targets, config.train_split, config.val_split) == (("verb",), "a", "b")
    assert config.trainer == TrainerConfig(iterations=9, eval_every=3, seed=5)


def test_a_run_of_before_says_it_too():
    saved = read_saved(
        Path(__file__).parent / "golden/runs_without_schema/lstm/config.yaml", [FitConfig]
    )
    config = FitConfig.of(FitConfig.over(saved, {"out": Path("again")}))
    assert (config.head, config.tap, config.options["hidden"]) == ("lstm", "block4", 4)
    assert config.trainer == TrainerConfig(epochs=3, lr=0.01, device="cpu")
    assert (config.normalize, config.out) == (True, Path("again"))


def test_what_is_typed_wins_over_a_file():
    saved = {"iterations": 3000, "eval_every": 100, "head": "lstm"}
    given = FitConfig.over(saved, {"epochs": 3})
    assert FitConfig.of(given).trainer == TrainerConfig(epochs=3)
