"""Entry points of installed packages: found lazily, and broken ones told in one sentence."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from egofeat import plugins
from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, find_backbone
from egofeat.heads import HEADS, build_head
from egofeat.pipelines.plugins import plugins as listed
from egofeat.pipelines.runs.run import load_run
from egofeat.plugins import FromFile
from egofeat.recipe import Recipe

ENTRY_POINTS = """
[egofeat.heads]
lstm = broken.head:Head
raises = broken.raises:Head
absent = broken.head:Absent
function = broken.head:function
twice = broken.head:function

[egofeat.backbones]
bare = broken.head:Bare
"""
HEAD = """
from torch import nn

def function(): ...

class Bare(nn.Module): ...
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that add what cannot be used."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/head.py").write_text(HEAD)
    (tmp_path / "broken/raises.py").write_text("raise OSError('no\\nlibrary')")
    for name, points in (
        ("broken", ENTRY_POINTS),
        ("other", "[egofeat.heads]\ntwice = broken.head:Bare\n"),
    ):
        info = tmp_path / f"{name}-2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2\n")
        (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raises", r"the head 'raises' of broken 2 cannot be imported \(OSError: no library\): .*"),
        ("absent", r"the head 'absent' of broken 2 cannot be imported \(AttributeError: .*\): .*"),
        ("function", r"the head 'function' of broken 2 is <function .*, and must be a class of .*"),
        ("twice", r"the head 'twice' is added by broken 2 and other 2: uninstall one of them"),
    ],
)
def test_a_broken_plugin_is_one_sentence_with_package_and_reason(
    broken: None, name: str, sentence: str
) -> None:
    with pytest.raises(RequestError) as told:
        build_head(name, (2, 3), {"verb": 2})
    assert re.fullmatch(sentence, str(told.value))


def test_broken_plugins_break_nothing_else(broken: None) -> None:
    assert build_head("lstm", (2, 3), {"verb": 2}).lstm.hidden_size == 256
    assert not {"lstm"} & set(HEADS) - set(HEADS.own)
    problems = {one.name: problem for one, problem in listed().plugins}
    assert set(problems) == {"lstm", "raises", "absent", "function", "twice", "bare"}
    assert problems["lstm"].startswith("the head 'lstm' of broken 2 is not used, egofeat has one")
    assert all(problems.values())


def test_a_module_without_a_spec_is_no_backbone(broken: None) -> None:
    with pytest.raises(RequestError, match="class with a Spec"):
        find_backbone("bare")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nobody.knows:Net", "cannot be imported .*No module named 'nobody'.* on PYTHONPATH"),
        ("torch.nn:Linear", "must be an nn.Module class with a Spec"),
        ("os:system", "there is no backbone 'os:system'"),
        ("no way:x", "there is no backbone 'no way:x'"),
    ],
)
def test_a_path_that_is_no_backbone_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        find_backbone(name)


def test_packages_are_not_asked_where_the_name_is_known_or_help_is_wanted(broken: None) -> None:
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
    assert "mobilenetv2" in BACKBONES
    assert BACKBONES["mobilenetv2"][0].name == "mobilenetv2"
    assert plugins._entry_points.cache_info().currsize == 0


def test_a_module_of_a_package_is_named_with_its_version() -> None:
    assert HEADS.package("torch.nn:Linear").startswith("torch ")
    assert HEADS.package("lstm") == ""


def test_a_file_has_no_module_imported_that_is_no_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strangers.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lonely.py").write_text("raise SystemExit('it ran')")
    (tmp_path / "lonely-1.dist-info").mkdir()
    (tmp_path / "lonely-1.dist-info/METADATA").write_text("Name: lonely\nVersion: 1\n")
    (tmp_path / "lonely-1.dist-info/top_level.txt").write_text("lonely\n")
    for module in ("strangers", "lonely"):
        name = FromFile(f"{module}:Head")
        with pytest.raises(RequestError, match=f"a file names it: .* set EGOFEAT_TRUST={module}"):
            build_head(name, (2, 3), {"verb": 2})
        monkeypatch.setenv("EGOFEAT_TRUST", f"others,{module}")
        with pytest.raises(RequestError, match=r"cannot be imported .*it ran"):
            build_head(name, (2, 3), {"verb": 2})
        monkeypatch.delenv("EGOFEAT_TRUST")


def test_the_head_of_a_run_and_the_backbone_of_a_store_are_names_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unknown.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    golden = Path(__file__).parent / "golden/runs_without_schema"
    run = tmp_path / "run"
    shutil.copytree(golden / "lstm", run)
    (run / "SHA256SUMS").unlink()
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("head: lstm", "head: unknown:Head"))
    with pytest.raises(RequestError, match=r"'unknown:Head' is no plug-in .* a file names it"):
        load_run(run)
    recipe = json.loads((golden / "store/store.json").read_text())["recipe"]
    backbone = Recipe.from_dict({**recipe, "backbone": "unknown:Net"}).backbone
    with pytest.raises(RequestError, match=r"'unknown:Net' is no plug-in .* a file names it"):
        find_backbone(backbone)


def test_a_file_may_name_what_stands_in_a_plug_in(broken: None) -> None:
    with pytest.raises(RequestError, match="and must be a class of"):
        build_head(FromFile("broken.head:function"), (2, 3), {"verb": 2})


def test_a_name_that_code_passes_in_is_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "from egofeat.heads.linear import LinearHead\n\n\nclass Mine(LinearHead): ...\n"
    (tmp_path / "own_module.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    assert type(build_head("own_module:Mine", (2, 3), {"verb": 2})).__name__ == "Mine"
    assert "own_module:Mine" in HEADS
    build_head(FromFile("own_module:Mine"), (2, 3), {"verb": 2})  # and so it is in a run of theirs


def test_a_name_in_a_config_file_is_a_file_s_and_a_typed_one_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given.py").write_text("raise SystemExit('it ran')")
    (tmp_path / "c.yaml").write_text("head: given:Head\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = CliRunner().invoke(app, ["fit-head", "--config", str(tmp_path / "c.yaml")]).exception
    assert "a file names it" in str(told)
    told = CliRunner().invoke(app, ["fit-head", "given:Head"]).exception
    assert "it ran" in str(told)
