"""`egofeat verify` and `ls`: stores, runs, folders of them; what is altered is told."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import NoStoreError, RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.kept import find_kept
from egofeat.pipelines.runs.config import read_config, write_config
from egofeat.pipelines.runs.verify import verify_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.store import open_store
from egofeat.store.reading.opening import find_store


@pytest.fixture
def config(verb_noun_store, tmp_path):
    trainer = TrainerConfig(epochs=2, lr=0.02, device="cpu")
    return FitConfig(
        head="linear",
        store=verb_noun_store(),
        targets=("verb",),
        out=tmp_path / "runs/one",
        trainer=trainer,
    )


def command(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_every_flipped_bit_of_a_run_is_told(config):
    run = fit_head(config).path
    evaluate(run, "train")
    assert verify_run(run) == []
    rng = np.random.default_rng(0)
    for path in sorted(path for path in run.iterdir() if path.suffix != ".png"):
        whole = path.read_bytes()
        for place in {0, len(whole) - 1, *rng.integers(0, len(whole), 12).tolist()}:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            assert verify_run(run), f"{path.name}, byte {place}"
        path.write_bytes(whole)
    assert verify_run(run) == []


def test_what_a_run_lacks_is_told(config):
    def cut(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_head(config, on_epoch=cut)
    (problem,) = verify_run(config.out)
    assert "training is not finished" in problem.message
    checkpoint = config.out / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-1] + b"\x01")
    assert verify_run(config.out)[-1].shard == "checkpoint.safetensors"
    checkpoint.write_bytes(whole)
    run = fit_head(config).path
    (run / "predictions.npz").unlink()
    assert [one.shard for one in verify_run(run)] == ["predictions.npz"]
    shutil.copy(run / "metrics.json", run / "metrics-test.json")
    assert {one.shard for one in verify_run(run)} == {"predictions.npz", "metrics-test.json"}
    (run / "SHA256SUMS").unlink()
    (problem,) = verify_run(run)
    assert "earlier egofeat" in problem.message


def test_a_file_whose_digest_was_taken_out_is_told(config):
    run = fit_head(config).path
    sums = run / "SHA256SUMS"
    whole = sums.read_text()
    for line in whole.splitlines(keepends=True):
        sums.write_text(whole.replace(line, ""))
        assert [one.shard for one in verify_run(run)] == line.split()[1:]


def test_folders_paths_and_exit_codes(config, tmp_path):
    run = fit_head(config).path
    assert find_kept([tmp_path / "features", tmp_path / "runs", run]) == [config.store, run]
    sound = command("verify", tmp_path / "features", tmp_path)
    assert (sound.exit_code, sound.stdout.count("is sound")) == (0, 2)
    one = command("verify", tmp_path / "features")
    assert (one.exit_code, one.stdout) == (0, f"{config.store} is sound\n")
    (run / "metrics.json").write_text("{}")
    both = command("verify", tmp_path / "features", run)
    assert both.exit_code == 1
    assert f"{run}: metrics.json: was altered" in both.stdout
    told = json.loads(command("verify", run, "--json").stdout)
    assert [(one["path"], one["shard"]) for one in told] == [(str(run), "metrics.json")]
    for wrong in (tmp_path / "nowhere", tmp_path / "video_0.mp4"):
        with pytest.raises(RequestError, match="no feature store and no run at"):
            find_kept([wrong])


def test_a_folder_that_holds_one_store_is_that_store(config, tmp_path):
    assert find_store(tmp_path / "features") == find_store(config.store) == config.store
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    shutil.copytree(config.store.parent, deep / "toy")
    with pytest.raises(
        NoStoreError, match=r"at .*a; name one of those further below: .*a/b/c/toy"
    ) as no:
        open_store(tmp_path / "a")
    assert no.value.exit_code == 2
    shutil.copytree(config.store, tmp_path / "features/toy/other")
    with pytest.raises(RequestError, match="holds several feature stores, name one of them: "):
        find_store(tmp_path / "features")
    fit_head(config)
    assert "there are further below: " in command("ls", tmp_path / "a").stdout
    assert "but there are runs" in command("ls", tmp_path / "runs").stdout


def test_what_is_harmless_is_told_of_a_sound_store(config):
    shard = min((config.store / "shards").iterdir())
    shutil.copy(shard, shard.with_name(f"again{shard.suffix}"))
    said = command("verify", config.store)
    assert said.exit_code == 0
    number = len(json.loads(command("verify", config.store, "--json").stdout))
    assert number > 1
    line, sound = said.stdout.splitlines()
    each = f": each of {number} segments is in an earlier row too, and is read from there: harmless"
    assert each in line
    assert sound == f"{config.store} is sound"
    told = json.loads(command("verify", config.store, "--json").stdout)
    assert told
    assert all(one["harmless"] for one in told)


def test_a_store_says_what_it_has_lost(config):
    shards = sorted((config.store / "shards").iterdir())
    lost = len(open_store(config.store))
    for shard in shards:
        shard.rename(shard.with_name(f".{shard.name}"))
    said = command("verify", config.store).stdout
    assert f"of the {lost} segments of the manifest {lost} are without features" in said
    for shard in shards:
        shard.with_name(f".{shard.name}").rename(shard)
    (config.store / "segments.json").unlink()
    gone = command("verify", config.store)
    assert gone.exit_code == 1
    assert "segments.json: is missing, and labels, classes and splits with it" in gone.stdout


def test_a_head_named_by_its_module_is_verified_by_its_bytes(config, tmp_path, monkeypatch):
    run = fit_head(config).path
    (tmp_path / "strangers.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    write_config(run, read_config(run).model_copy(update={"head": "strangers:Head"}))
    assert verify_run(run) == []
    monkeypatch.setenv("EGOFEAT_TRUST", "strangers")
    assert verify_run(run) == []
    (run / "head.safetensors").write_bytes(b"x")
    assert [problem.shard for problem in verify_run(run)] == ["head.safetensors"]
