"""The command line as a person meets it: words, its two outputs, its exit code."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from egofeat import console
from egofeat.cli import app, main


def egofeat(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, as `process` does in one of its own."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(cwd):
        patch.setattr(sys, "argv", ["egofeat", *map(str, words)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def process(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with no terminal, 80 columns wide."""
    command = [sys.executable, "-W", "error::DeprecationWarning:egofeat", "-c"]
    command += ["from egofeat.cli import main; main()", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def clip(path: Path, brightness: int) -> None:
    """A second of 64 × 48 video that gets brighter, or darker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            level = 128 + brightness * (number - 5)
            picture = np.full((48, 64, 3), level, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with class folders of clips and a manifest of them."""
    folder = tmp_path_factory.mktemp("work")
    for split, count in (("train", 4), ("val", 2)):
        for number in range(count):
            clip(folder / f"clips/{split}/brighter/{number}.mp4", 10 + number)
            clip(folder / f"clips/{split}/darker/{number}.mp4", -10 - number)
    (folder / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
    )
    return folder


EXTRACT = ("extract", "--weights", "random", "--size", 32, "--frames", 6, "--batch-size", 8)


@pytest.fixture(scope="module")
def store(work) -> str:
    """The clips, extracted."""
    result = egofeat(*EXTRACT, "--json", cwd=work)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["store"]


@pytest.fixture(scope="module")
def run(work, store) -> str:
    """A head, trained."""
    words = ("fit-head", "lstm", "--store", store, "--epochs", 3, "--out", "runs/it", "--json")
    result = egofeat(*words, cwd=work)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["parameters"] > 1000
    return "runs/it"


@pytest.mark.parametrize(
    "words",
    [
        ("extract", "--weights", "random"),
        ("fit-head", "linear", "--store", "none"),
        ("sweep", "--store", "none", "--head", "linear"),
        ("compare", "none"),
        ("export-weights", "none"),
    ],
)
def test_a_file_in_the_way_is_told_before_the_work(tmp_path, words):
    (tmp_path / "notes").write_text("mine")
    below = egofeat(*words, "--out", "notes/more", cwd=tmp_path)
    assert below.stderr == "egofeat: notes is a file: name a folder with --out\n"
    assert (below.returncode, (tmp_path / "notes").read_text()) == (2, "mine")
    if words[0] != "export-weights":  # which writes a file
        there = egofeat(*words, "--out", "notes", cwd=tmp_path)
        assert there.stderr == below.stderr


def test_a_folder_where_a_file_is_to_be_is_told_before_the_work(tmp_path):
    for words in (("report", "none"), ("export-challenge", "none")):
        told = egofeat(*words, "--out", ".", cwd=tmp_path)
        assert told.stderr == "egofeat: . is a folder: name a file with --out\n"


def test_extract_ends_with_one_object(work, store):
    again = egofeat(*EXTRACT, "--json", cwd=work)
    report = json.loads(again.stdout)
    assert report["store"] == store
    assert (report["segments"], report["extracted"]) == (12, 0)
    assert (report["skipped"], report["failed"]) == (12, 0)
    assert report["frames_per_second"] == 0
    assert "\x1b" not in again.stderr, "no terminal, no colours"


def test_a_dry_run_says_what_and_how_much(work, store):
    said = egofeat(*EXTRACT, "--dry-run", cwd=work).stdout
    assert "0 of 12 segments would be extracted" in said
    assert store in said
    forecast = json.loads(egofeat(*EXTRACT, "--tap", "map", "--dry-run", "--json", cwd=work).stdout)
    assert forecast["to_extract"] == forecast["videos"] == 12
    assert not (work / forecast["store"]).exists()


def test_ls_and_verify(work, store):
    said = egofeat("ls", cwd=work).stdout
    assert store in said
    assert "12 segments, 0 failures" in said
    assert json.loads(egofeat("ls", "features", "--json", cwd=work).stdout)[0]["segments"] == 12
    assert egofeat("verify", store, cwd=work).stdout == f"{store} is sound\n"


def test_evaluate_gives_every_metric(work, run):
    metrics = json.loads(egofeat("evaluate", run, "--json", cwd=work).stdout)
    for name in ("top1", "top3", "top5", "mean_class_accuracy"):
        assert 0 <= metrics[f"action/{name}"] <= 1
    said = egofeat("evaluate", run, "--split", "train", cwd=work).stdout
    assert said.startswith("8 segments of train; all 8 were trained on\naction  top-1 ")


def test_predict_names_what_it_sees_and_what_it_cannot_read(work, run):
    (work / "bad.mp4").write_bytes(b"not a video")
    good = "clips/val/darker/0.mp4"
    result = process("predict", run, good, "bad.mp4", "--json", cwd=work)
    assert result.returncode == 1
    seen = json.loads(result.stdout)
    (prediction,) = seen["predictions"]
    assert prediction["video"] == good
    names = [guess["name"] for guess in prediction["targets"]["action"]]
    assert sorted(names) == ["brighter", "darker"]
    assert list(seen["failures"]) == ["bad.mp4"]
    assert "darker" in egofeat("predict", run, good, cwd=work).stdout


def test_failures_end_with_1_and_a_line_that_says_where_to_read(work):
    clip(work / "odd/train/one/a.mp4", 5)
    (work / "odd/train/one/b.mp4").write_bytes(b"not a video")
    (work / "odd.yaml").write_text("version: 1\ndatasets:\n  odd: {format: folder, media: odd}\n")
    result = egofeat(*EXTRACT, "--manifest", "odd.yaml", "--out", "others", cwd=work)
    assert result.returncode == 1
    assert "1 segment could not be extracted: the reasons are in" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("extract", "--manifest", "absent.yaml"), "absent.yaml"),
        (("extract", "--backbone", "resnet"), "no backbone 'resnet'"),
        (("extract", "--part", "third"), "--part third is not a part"),
        (("extract", "--weights", "absent.pth"), "'absent.pth' is neither a file nor"),
        (("extract", "--dataset", "yours"), "yours"),
        (("fit-head", "rnn"), "no head 'rnn'"),
        (("fit-head", "--preset", "seed", "rnn", "--help"), "no head 'rnn': choose one of lstm, "),
        (("fit-head", "lstm", "--option", "hidden"), "--option hidden has no value"),
        (("fit-head", "lstm", "--option", "hiden=3"), "no option 'hiden'"),
        (("fit-head", "lstm", "--epochs", "0"), "epochs"),
        (
            ("fit-head", "convlstm"),
            "holds vectors: extract with --tap map or --tap block12",
        ),
        (("fit-head", "lstm", "--option", "hidden=100000000"), "larger than the memory"),
        (("fit-head", "lstm", "--option", "hidden=10000000000"), "larger than the memory"),
        (("fit-head", "lstm", "--seed", 2**70), "--seed is 1180591620717411303424: give less than"),
        (("evaluate", "clips"), "clips is not a run"),
        (("prune", "", "--yes"), "an empty word follows prune"),
        (("extract", "--split", ""), "an empty word follows --split"),
        (("ls", "--json", "features", "--out="), "--out= is empty"),
        (("predict", "runs/it", "a.mp4", "--top", "0"), "--top is 0"),
        (("ls", "nowhere"), "no folder nowhere"),
        (("demo", "--data", "nowhere"), "no folder nowhere"),
        (("roi", "--store", "maps"), "give egofeat roi-from-maps STORE"),
        (("annotate", "a.mp4", "--run=runs/it", "-o", "b.mp4"), "annotate RUN VIDEO --out FILE"),
        (("bench", "backbones", "s3d", "--frames", "9"), "is called --clip-frames"),
        (("evaluate",), "RUN is missing"),
        (("reextract",), "give --from STORE with --backbone NAME, or --all DATASET"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_2(work, run, words, sentence):
    result = egofeat(*words, cwd=work)
    assert result.returncode == 2
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("egofeat: ")
    assert sentence in last


def test_after_a_command_python_is_told_in_its_own_words(work, capsys):
    assert "--part 4/3" in egofeat("extract", "--part", "4/3", cwd=work).stderr
    console.note("give `clip_frames`")
    assert capsys.readouterr().err == "give `clip_frames`\n"


def test_a_store_that_is_not_there_is_a_wrong_request(work):
    result = process("fit-head", "lstm", "--store", "nowhere", cwd=work)
    assert result.returncode == 2
    assert "egofeat extract" in result.stderr.strip().splitlines()[-1]


def test_an_unknown_option_is_refused_with_the_near_ones(work):
    result = egofeat("extract", "--bacbone", "x", cwd=work)
    assert result.returncode == 2
    assert "--backbone" in result.stderr


def test_the_options_are_these():
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    commands = dict(group.commands)
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            del commands[name]
            commands |= {f"{name} {own}": inner for own, inner in command.commands.items()}
    options = {
        name: sorted(option for parameter in command.params for option in parameter.opts)
        for name, command in commands.items()
    }
    frozen = json.loads((Path(__file__).parent / "options.json").read_text())
    assert options == frozen, "an option came or went: change options.json with intent"


def _words_of_help(command, path):
    """Each command's path, and every placeholder such as <clip> that its texts hold."""
    for name, one in getattr(command, "commands", {}).items():
        yield from _words_of_help(one, [*path, name])
    texts = [
        command.help or "",
        *(getattr(option, "help", None) or "" for option in command.params),
    ]
    yield path, set(re.findall(r"<[a-z]+>", " ".join(texts)))


def test_help_shows_its_placeholders():
    found = {" ".join(path): words for path, words in _words_of_help(get_command(app), []) if words}
    assert {"demo", "export"} <= set(found)
    for path, words in found.items():
        shown = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "200"}).stdout
        assert all(word in shown for word in words), path


def test_help_waits_for_no_torch():
    code = """
import sys
from typer.main import get_command
from typer.testing import CliRunner
from egofeat.cli import app

def paths(command, path=()):
    yield path
    for name, one in getattr(command, "commands", {}).items():
        yield from paths(one, (*path, name))

for path in paths(get_command(app)):
    done = CliRunner().invoke(app, [*path, "--help"])
    print(" ".join(path), done.exit_code, "torch" in sys.modules, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "fit-head|0|False" in lines
    assert [line for line in lines if not line.endswith("|0|False")] == []


def test_help_of_a_head_is_that_of_its_preset():
    def shown(*words):
        found = CliRunner().invoke(app, ["fit-head", *words, "--help"], env={"COLUMNS": "200"})
        return found.stdout.partition("Options of ")[2]

    assert "--option filters=" not in shown("conv1d")
    assert "--option filters=" in shown("conv1d", "--preset", "seed")
    assert "[default: 256]" in shown("lstm")
    assert "[default: 50]" in shown("lstm", "--preset=seed")
