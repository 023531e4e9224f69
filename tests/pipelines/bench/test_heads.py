import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.pipelines.bench.heads import HeadBench, bench_heads

pytestmark = pytest.mark.drawn


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    return bench_heads(
        HeadBench(lengths=(4, 1), outputs=(50, 2), device="cpu", seconds=0.0, out=out)
    )


def test_every_head_output_and_length_has_a_row(report):
    rows = [(row.output, row.head, row.length) for row in report.rows]
    assert rows == [
        (output, head, length)
        for output in (2, 50)
        for head in ("lstm", "convlstm")
        for length in (1, 4)
    ]
    assert all(row.ms > 0 for row in report.rows)


def test_the_parameters_are_the_reports(report):
    lstm = {row.parameters for row in report.rows if (row.head, row.output) == ("lstm", 50)}
    assert lstm == {266_963}
    convlstm = {row.parameters for row in report.rows if (row.head, row.output) == ("convlstm", 50)}
    gates, norm, classifier = 4 * 50 * (9 * (1280 + 50) + 1), 2 * 50, 13 * 51
    assert convlstm == {gates + norm + classifier}


def test_the_convlstm_of_the_reports_figure_is_a_preset(tmp_path):
    asked = {"lengths": (1,), "outputs": (50,), "device": "cpu", "seconds": 0.0, "out": tmp_path}
    lstm, convlstm = bench_heads(HeadBench(**asked, preset="seed-strided")).rows
    assert (lstm.head, convlstm.head) == ("lstm", "convlstm:seed-strided")
    assert convlstm.parameters == 4 * 50 * (16 * (1280 + 50) + 1) + 2 * 50 + 13 * 51
    with pytest.raises(RequestError, match="preset 'ava' has no head 'convlstm'"):
        bench_heads(HeadBench(**asked, preset="ava"))


def test_what_is_written_is_what_is_reported(report):
    table, whole, picture = map(Path, report.files)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(row["ms"]) for row in rows] == [row.ms for row in report.rows]
    assert json.loads(whole.read_text())["rows"][0]["head"] == "lstm"
    with Image.open(picture) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lengths": ()}, "`lengths`"),
        ({"outputs": (0, 3)}, "`outputs`"),
        ({"seconds": -1.0}, "`seconds` is -1"),
        ({"device": "tpu"}, "the device 'tpu'"),
    ],
)
def test_a_wrong_request_is_refused(changes, sentence, tmp_path):
    with pytest.raises(RequestError, match=sentence):
        bench_heads(HeadBench(**{"out": tmp_path, **changes}))


def test_the_command_prints_a_line_a_head_and_output(tmp_path):
    def run(*words: str) -> Result:
        options = ["--device", "cpu", "--seconds", "0", "--out", str(tmp_path)]
        return CliRunner().invoke(app, ["bench", "heads", *options, *words])

    done = run("--lengths", "1,2", "--outputs", "50")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["head", "output", "parameters", "1", "2"] in lines
    assert any(line[:3] == ["lstm", "50", "0.27"] for line in lines)
    as_json = run("--lengths", "1", "--outputs", "2", "--json")
    assert len(json.loads(as_json.stdout)["rows"]) == 2
    refused = run("--lengths", "5,ten")
    assert isinstance(refused.exception, RequestError)
    assert str(refused.exception).startswith("--lengths 5,ten is no list of numbers")
