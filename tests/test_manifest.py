"""The manifest: what it accepts, and the one sentence that each mistake is worth."""

import json
import os
import re
from pathlib import Path

import pytest

from egofeat.errors import ManifestError, RequestError
from egofeat.manifest import load_manifest
from egofeat.segments import Dataset

SHIPPED = Path(__file__).parents[1] / "data_manifest.yaml"
CSV = "version: 1\ndatasets: {a: {format: csv, media: x, annotations: y"


def write(folder: Path, text: str) -> Path:
    path = folder / "data.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def clip(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def sentence(path: Path, name: str | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        load_manifest(path).dataset(name)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


@pytest.fixture
def good(tmp_path: Path) -> Path:
    clip(tmp_path, "clips/train/wash/a.mp4", "clips/val/rinse/b.mp4")
    return write(tmp_path, "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n")


def test_the_least_manifest_loads(good):
    manifest = load_manifest(good)
    assert manifest.names == ("mine",)
    data = manifest.dataset()
    assert data.name == "mine"
    assert data == manifest.dataset("mine")
    assert data.classes == {"action": ("rinse", "wash")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty: begin it with `version: 1`"),
        ("- a\n- b", "is not a mapping"),
        ("a: [b", "line 1"),
        ("a: b: c", "line 1: mapping values are not allowed here: correct"),
        ("a: \x07", "is not YAML"),
        ("datasets: {a: {format: folder, media: x}}", "key 'version' is missing: add `version:`"),
        ("version: 2\ndatasets: {a: {format: folder, media: x}}", "key 'version': input should be"),
        ("version: 1", "key 'datasets' is missing"),
        ("version: 1\ndatasets: {}", "key 'datasets'"),
        ("version: 1\ndatasets: []", "key 'datasets'"),
        ("version: 1\ndataset: {}", "unknown key 'dataset': did you mean 'datasets'?"),
        ("version: 1\nversion: 1", "line 2: the key 'version' occurs twice in one mapping: keep"),
        ("version: 1\ndefault: b\ndatasets: {a: {format: folder, media: x}}", "key 'default'"),
        ("version: 1\ndatasets: {3: {format: folder, media: x}}", "should be a valid string"),
        ("version: 1\ndatasets: {../a: {format: folder, media: x}}", "use letters, digits"),
        ("version: 1\ndatasets: {a: clips}", "data set 'a': add `format:`, one of folder, csv"),
        ("version: 1\ndatasets: {a: {media: clips}}", "data set 'a': add `format:`"),
        ("version: 1\ndatasets: {a: {format: foldr}}", "'foldr': did you mean 'folder'?"),
        ("version: 1\ndatasets: {a: {format: [x]}}", "unknown format ['x']: known are 'folder'"),
        (
            "version: 1\ndatasets: {a: {format: folder}}",
            "'a': key 'media' is missing: add `media:`",
        ),
        ("version: 1\ndatasets: {a: {format: folder, media: 3}}", "key 'media': input should be"),
        (
            "version: 1\ndatasets: {a: {format: folder, media: x, medai: y}}",
            "data set 'a': unknown key 'medai': did you mean 'media'?",
        ),
        (
            f"{CSV}, columns: {{sart: t}}}}}}",
            "data set 'a': key 'columns': unknown key 'sart': did you mean 'start'?",
        ),
        (
            f"{CSV}, columns: [video]}}}}",
            "key 'columns': input should be a valid dictionary",
        ),
        (
            "version: 1\ndatasets: {a: {format: folder, media: x, resplit: {val: [1, 2]}}}",
            "key 'resplit.val': takes a list of group names (quote those that look like numbers)",
        ),
        (
            "version: 1\ndatasets: {a: {format: folder, media: x, resplit: {val: 1.5}}}",
            "or a fraction between 0 and 1, not 1.5",
        ),
        (
            "version: 1\ndatasets: {a: {format: folder, media: x, group: '(a'}}",
            "key 'group': '(a' is no regular expression",
        ),
        (
            f"{CSV}, classes: {{verb: 3}}}}}}",
            "key 'classes.verb': takes a list of class names or the name of a file of them",
        ),
    ],
)
def test_a_bad_manifest_is_one_sentence(tmp_path, text, says):
    assert says in sentence(write(tmp_path, text))


TARGETS = {
    "folder": "{{format: folder, media: clips/train, target: {}}}",
    "csv": "{{format: csv, media: clips, annotations: t.csv, columns: {{labels: {{{}: verb}}}}}}",
}
"""Entries that name a target."""


def with_target(folder: Path, kind: str, target: str) -> Path:
    clip(folder, "clips/train/wash/a.mp4")
    (folder / "t.csv").write_text("video,verb\ntrain/wash/a.mp4,wash\n")
    entry = TARGETS[kind].format(json.dumps(target))
    return write(folder, f"version: 1\ndatasets: {{mine: {entry}}}")


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("verb/noun", "does not stay inside its folder"),
        ("verb\\noun", "does not stay inside its folder"),
        ("..", "does not stay inside its folder"),
        (".", "does not stay inside its folder"),
        ("", "is empty"),
        ("a\nb", "holds characters that cannot be printed"),
        ("\ud800", "holds characters that cannot be printed"),
        ("é" * 101, "is longer than 200 bytes"),
        ("a,b", "has a comma"),
        (" verb", "has a comma, or begins or ends with a blank"),
    ],
)
def test_a_target_that_no_store_or_option_could_name(tmp_path, kind, target, says):
    said = sentence(with_target(tmp_path, kind, target))
    assert re.search(rf"data set 'mine': the target '.*' {says}.*: choose another name$", said)


def test_a_data_set_made_in_python_has_no_such_target():
    with pytest.raises(RequestError, match="the target 'a/b' does not stay inside its folder"):
        Dataset("mine", {}, (), {"a/b": ("wash",)})


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("target", ["verb", "verb of hand", "été", "a.b-c", "...", "x" * 200])
def test_a_target_of_a_plain_name(tmp_path, kind, target):
    data = load_manifest(with_target(tmp_path, kind, target)).dataset()
    assert data.classes == {target: ("wash",)}
    assert [dict(segment.labels) for segment in data.segments] == [{target: 0}]


LAUGHS = "".join(f"  - &l{n + 1} {{<<: [{', '.join([f'*l{n}'] * 9)}]}}\n" for n in range(9))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 3000,
        "version: 0x" + "f" * 9000,
        f"version: 1{':0' * 4000}",
        "version: " + "9" * 5000,
        "version: !!timestamp x",
        "version: !!int ''",
        "version: 2001-99-99",
        f"a:\n  - &l0 {{k: v}}\n{LAUGHS}",
        "version: &a [*a]\ndatasets: *a",
        f"version: 1\ndatasets: {{a: {{format: {'x' * 100_000}}}}}",
        f"version: 1\ndatasets: {{{'x' * 100_000}: {{format: folder, media: x}}}}",
        "version: 1\ndatasets: {a: {format: [folder], media: x}}",
        "version: 1\ndatasets: {a: {format: folder, media: x, ? [1] : 2}}",
        f"version: 1\ndatasets: {{a: {{format: folder, media: x, {'k' * 100_000}: 1}}}}",
        "version: 1\ndatasets: {a: {format: folder, media: x, lists: 0x" + "f" * 9000 + "}}",
    ],
)
def test_a_manifest_made_to_harm_is_one_readable_sentence(tmp_path, text):
    said = sentence(write(tmp_path, text))
    assert "\n" not in said
    assert len(said) < 1500


@pytest.mark.parametrize("media", ["x\\0y", "x" * 5000])
def test_a_path_that_cannot_be_one(tmp_path, media):
    manifest = load_manifest(
        write(tmp_path, f'version: 1\ndatasets: {{a: {{format: folder, media: "{media}"}}}}')
    )
    with pytest.raises(ManifestError, match="correct the path"):
        manifest.dataset("a")


def test_files_that_cannot_be_read(tmp_path):
    assert "does not exist" in sentence(tmp_path / "none.yaml")
    assert "is no file, but a folder" in sentence(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is no file, but a folder, pipe or device" in sentence(tmp_path / "pipe.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("version: 1 # é".encode("latin-1"))
    assert "is not UTF-8 text: save it as UTF-8" in sentence(latin)


def test_merge_keys_are_no_duplicates(good):
    good.write_text(
        "version: 1\ndatasets:\n"
        "  one: &one {format: folder, media: clips, target: step}\n"
        "  two: {<<: *one, target: act}\n"
    )
    assert load_manifest(good).dataset("two").classes == {"act": ("rinse", "wash")}


def test_a_key_that_is_no_scalar_is_refused(tmp_path):
    assert "unhashable key" in sentence(write(tmp_path, "? [a]\n: 1\n"))


def test_which_entry_is_meant(good):
    two = "version: 1\n{}datasets:\n  a: &a {{format: folder, media: clips}}\n  b: *a\n"
    good.write_text(two.format(""))
    assert "several data sets (a, b): name one" in sentence(good)
    assert "no data set 'c'" in sentence(good, "c")
    assert load_manifest(good).dataset("a").name == "a"
    good.write_text(two.format("default: a\n"))
    assert load_manifest(good).dataset().name == "a"


def test_missing_media_says_how_to_obtain_it(tmp_path):
    text = "version: 1\ndatasets:\n  demo:\n    format: folder\n    media: demo\n"
    assert "'media' is" in sentence(write(tmp_path, text))
    assert "does not exist: correct the path" in sentence(write(tmp_path, text))
    text += "    obtain: |\n      run `egofeat demo`\n      to draw it\n"
    assert sentence(write(tmp_path, text)).endswith("does not exist: run `egofeat demo` to draw it")


def test_media_that_is_a_file(tmp_path):
    (tmp_path / "clips.mp4").touch()
    path = write(tmp_path, "version: 1\ndatasets: {a: {format: folder, media: clips.mp4}}")
    assert "data set 'a': 'media' is" in sentence(path)
    assert "name the folder it lies in" in sentence(path)


def test_home_and_variables_are_expanded(good, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLIPS", "clips")
    for media in ("~/clips", "$CLIPS", "${CLIPS}", f"{tmp_path}/$CLIPS"):
        good.write_text(f'version: 1\ndatasets: {{a: {{format: folder, media: "{media}"}}}}')
        assert len(load_manifest(good).dataset().segments) == 2
    monkeypatch.delenv("CLIPS")
    good.write_text("version: 1\ndatasets: {a: {format: folder, media: $CLIPS/x}}")
    assert "the environment has no CLIPS: set it" in sentence(good)
    good.write_text("version: 1\ndatasets: {a: {format: folder, media: a$/b}}")
    assert "cannot be expanded: write the path out ('$$' stands for a plain '$')" in sentence(good)


def test_relative_paths_start_at_the_manifest(good, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    data = load_manifest(Path("../data.yaml")).dataset()
    assert all(media.path.exists() for media in data.media.values())


def test_the_shipped_manifest_is_valid_and_its_examples_too(tmp_path):
    shipped = SHIPPED.read_text(encoding="utf-8")
    assert load_manifest(SHIPPED).default == "demo"
    uncommented = re.sub(r"(?m)^  # ((?:  ){0,2}[a-z0-9_-]+:( |$))", r"  \1", shipped)
    manifest = load_manifest(write(tmp_path, uncommented))
    names = (
        "demo",
        "epic",
        "epic-flow",
        "egtea",
        "ava",
        "handwash",
        "handwash-by-session",
        "ucf101",
    )
    assert manifest.names == names


def test_the_examples_of_the_manual_are_valid(tmp_path):
    page = (SHIPPED.parent / "docs/manifest.md").read_text(encoding="utf-8")
    examples = re.findall(r"(?s)```yaml\n(.*?)```", page)
    assert len(examples) >= 5
    for example in examples:
        text = example if "version:" in example else f"version: 1\ndatasets:\n{example}"
        assert load_manifest(write(tmp_path, text)).names


def test_the_shipped_demo_entry_tells_how_to_draw_it(tmp_path):
    path = write(tmp_path, SHIPPED.read_text(encoding="utf-8"))
    assert "data set 'demo': 'media' is" in sentence(path)
    assert "run `egofeat demo` to draw it" in sentence(path)
