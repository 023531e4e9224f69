import dataclasses

import pytest
import typer
from typer.main import get_command

from egofeat.cli import app
from egofeat.pipelines.bench.backbones import BackboneBench
from egofeat.pipelines.bench.heads import HeadBench

OPTIONS = {
    "backbones": {
        *("--weights", "--device", "--precision", "--batch-size", "--views", "--size"),
        *("--frames", "--repeats", "--out", "--json", "backbones"),
    },
    "heads": {"--lengths", "--outputs", "--device", "--repeats", "--out", "--json"},
}


@pytest.mark.parametrize(
    ("command", "config"), [("backbones", BackboneBench), ("heads", HeadBench)]
)
def test_options_and_their_defaults_are_these(command, config):
    group = get_command(app).commands["bench"]
    assert isinstance(group, typer.core.TyperGroup)
    parameters = group.commands[command].params
    assert {option for parameter in parameters for option in parameter.opts} == OPTIONS[command]
    defaults = {parameter.name: parameter.default for parameter in parameters}
    for field in dataclasses.fields(config):
        if field.name in ("lengths", "outputs"):
            assert defaults[field.name] == ",".join(map(str, field.default))
        elif field.default is not dataclasses.MISSING:
            assert defaults[field.name] == field.default, field.name
