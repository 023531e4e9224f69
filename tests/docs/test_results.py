"""docs/results.md has no table but those that studies made."""

import hashlib
import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.docs.giving import read

from egofeat.pipelines.options import Compute
from egofeat.pipelines.sweeping.candidates import candidates
from egofeat.pipelines.sweeping.features import Feature, Features
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.study import Places, read_study, set_split

STUDIES = Path(__file__).parents[2] / "studies"
_SPEC = importlib.util.spec_from_file_location("results", STUDIES / "results.py")
assert _SPEC
assert _SPEC.loader
results = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(results)

TEXT = results.PAGE.read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- results: ([\w-]+) -->", TEXT)


def test_the_page_has_the_tables_that_were_found_and_no_other():
    assert results.page(TEXT) == TEXT, "run python studies/results.py"
    prose = re.sub(r"<!-- results: .*?<!-- end -->", "", TEXT, flags=re.DOTALL)
    assert not re.findall(r"^\|.*\|$", prose, re.MULTILINE), "a table that no study made"


@pytest.mark.parametrize("name", SHOWN)
def test_each_table_is_the_output_of_the_study_as_it_stands(name):
    record = json.loads(results.RECORD.read_text())[name]
    found = (results.FOUND / f"{name}.csv").read_bytes()
    assert hashlib.sha256(found).hexdigest() == record["table"], "edited by hand"
    assert results.digest_of(results.studies()[name]) == record["study"], f"run study {name} again"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*-*.yaml")), ids=lambda path: path.stem)
def test_each_study_can_be_read_and_says_its_command(path):
    study, _ = read_study(path)
    assert study.name == path.stem
    head = path.read_text(encoding="utf-8").partition("version:")[0]
    assert f"egofeat sweep studies/{path.name}" in head
    lines = head.replace("\\\n#", "").splitlines()
    for line in lines:
        if command := re.match(r"#     +(egofeat [^#]+)", line):
            read(command[1], path.name)
            check_settings(study, shlex.split(command[1]))


def check_settings(study, words):
    """Each `--set` is the published split, or an option of every head of the study."""
    said = dict(words[place + 1].split("=") for place, word in enumerate(words) if word == "--set")
    study, settings = set_split(study, said)
    if "published_split" in said:
        assert {of.published for of in study.splits} == {said["published_split"]}
    only = next(iter(study.parts.values()))
    plain = only.model_copy(update={"heads": [{"head": "linear"}], "common": {}, "search": {}})
    asked = SweepConfig(study=Path("study"), settings=settings)
    feature = Feature("a/gap", "", Path("none"), SimpleNamespace(tap="gap"), None)
    of = Features((feature,), (), Compute())
    assert candidates(plain, Places(None), of, asked)


def test_a_study_is_run_and_its_table_kept_with_where_and_when(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOUND", tmp_path / "studies/found")
    monkeypatch.setattr(results, "RECORD", tmp_path / "studies/found/record.json")
    (tmp_path / "studies").mkdir()
    (tmp_path / "timings.json").write_text('{"machine": "a cpu"}')
    table = "head,mean,deviation,p\nlstm,0.5,0.021,0.0001\na|b,,,\n"
    script = tmp_path / "made.py"
    script.write_text(f"open('table.csv', 'w').write({table!r})")
    (tmp_path / "studies/list.yaml").write_text(
        "small: {command: made, needs: made.py, made: table.csv,"
        " columns: {head: head, top-1: mean % ± deviation %, p: p p}}\n"
        "far: {command: made, needs: nowhere, made: table.csv, columns: {}}\n"
    )
    assert results.run([]) == 0
    assert "far: left out, nowhere is not here" in capsys.readouterr().out
    page = results.page("# A\n<!-- results: small -->\nold\n<!-- end -->\nProse.\n")
    assert "| lstm | 50.0 ± 2.1 | < 0.001 |\n| a\\|b | – | – |\n" in page
    assert "`made`; " in page
    assert ", a cpu.*\n<!-- end -->\nProse.\n" in page
    assert results.page(page) == page
    script.write_text("raise SystemExit(3)\n")
    assert results.run(["small"]) == 1
    assert results.run(["smal"]) == 2
