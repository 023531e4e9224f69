"""Where official weights are looked for, and what is refused."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from egofeat.errors import WeightsError
from egofeat.extract.weights import Weights, Wheel, find, sha256_of

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def record(url: str = "file:///nowhere/net.pth", wheel: Wheel | None = None, sha256: str = DIGEST):
    return Weights(
        name="v1",
        file="net.pth",
        url=url,
        sha256=sha256,
        licence="",
        trained_on="",
        accuracy=0.0,
        resize=256,
        wheel=wheel,
    )


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A torch hub cache with nothing in it, and no folder of the user's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("EGOFEAT_WEIGHTS", raising=False)
    return tmp_path / "torch/hub/checkpoints"


def test_the_users_folder_comes_first(tmp_path, monkeypatch, empty_cache):
    for folder in (tmp_path / "mine", empty_cache):
        folder.mkdir(parents=True)
        (folder / "net.pth").write_bytes(CONTENT)
    assert find(record()) == empty_cache / "net.pth"
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path / "mine"))
    assert find(record()) == tmp_path / "mine/net.pth"


def test_an_installed_package_serves(tmp_path, monkeypatch):
    (tmp_path / "carrier/files").mkdir(parents=True)
    (tmp_path / "carrier/__init__.py").touch()
    (tmp_path / "carrier/files/net.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    wheel = Wheel("carrier", "1", "carrier/files/net.pth")
    assert find(record(wheel=wheel)) == tmp_path / "carrier/files/net.pth"
    assert "carrier" not in sys.modules


def test_a_download_is_checked_and_kept(tmp_path, empty_cache):
    (tmp_path / "net.pth").write_bytes(CONTENT)
    said = []
    weights = record(url=(tmp_path / "net.pth").as_uri())
    assert find(weights, said.append) == empty_cache / "net.pth"
    assert said == ["downloading net.pth"]
    assert find(weights, said.append) == empty_cache / "net.pth"
    assert len(said) == 1


def test_a_bad_download_leaves_nothing(tmp_path, empty_cache):
    (tmp_path / "net.pth").write_bytes(b"else")
    with pytest.raises(WeightsError, match="could not be downloaded"):
        find(record(url=(tmp_path / "net.pth").as_uri()))
    assert list(empty_cache.iterdir()) == []


def test_a_wheel_of_the_index_serves(tmp_path, monkeypatch, empty_cache):
    def pip_download(command, **_):
        folder = next(word.removeprefix("--dest=") for word in command if "--dest" in word)
        assert command[-1] == "carrier==1"
        assert "--no-deps" in command
        with zipfile.ZipFile(Path(folder) / "carrier-1-py3-none-any.whl", "w") as archive:
            archive.writestr("carrier/net.pth", CONTENT)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pip_download)
    assert find(record(wheel=Wheel("carrier", "1", "carrier/net.pth"))) == empty_cache / "net.pth"


def test_without_a_network_one_sentence_says_which_file_goes_where(monkeypatch, empty_cache):
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(WeightsError) as refusal:
        find(record(wheel=Wheel("carrier", "1", "carrier/net.pth")))
    assert str(empty_cache) in str(refusal.value)
    assert "net.pth" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_altered_file_is_refused(empty_cache):
    empty_cache.mkdir(parents=True)
    (empty_cache / "net.pth").write_bytes(b"altered")
    with pytest.raises(WeightsError, match="delete it to download it again"):
        find(record())


def net(folder: Path, value: float = 0.0) -> Path:
    """A file that reads as weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.full((3,), value)}, folder / "net.pth")
    return folder / "net.pth"


def test_without_a_published_digest_a_file_is_held_to_its_first_one(tmp_path, empty_cache):
    weights = record(url=net(tmp_path).as_uri(), sha256="")
    digest, said = sha256_of(tmp_path / "net.pth"), []
    assert find(weights, said.append) == empty_cache / "net.pth"
    assert said[0] == "downloading net.pth"
    assert digest in said[1]
    assert (empty_cache / "net.pth.sha256").read_text() == f"{digest}  net.pth\n"
    find(weights, said.append)
    assert len(said) == 2
    assert sorted(path.name for path in empty_cache.iterdir()) == ["net.pth", "net.pth.sha256"]

    net(empty_cache, 1.0)
    with pytest.raises(WeightsError, match="not the file that was first used there") as refusal:
        find(weights)
    assert "\n" not in str(refusal.value)
    (empty_cache / "net.pth").unlink()
    assert sha256_of(find(weights)) == digest
    net(empty_cache, 1.0)
    (empty_cache / "net.pth.sha256").unlink()
    assert sha256_of(find(weights)) != digest


def test_a_download_that_differs_from_the_first_is_not_kept(tmp_path, empty_cache):
    weights = record(url=net(tmp_path).as_uri(), sha256="")
    find(weights).unlink()
    net(tmp_path, 1.0)
    with pytest.raises(WeightsError, match="not the file that was first used there"):
        find(weights)
    assert [path.name for path in empty_cache.iterdir()] == ["net.pth.sha256"]


@pytest.mark.parametrize("name", ["net.pth", "net.pkl", "net.safetensors"])
def test_a_page_in_place_of_weights_is_not_kept(tmp_path, empty_cache, name):
    """What a network that asks for a login answers, with success."""
    (tmp_path / name).write_bytes(b"<html>Please log in</html>")
    weights = replace(record(url=(tmp_path / name).as_uri(), sha256=""), file=name)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        find(weights)
    assert list(empty_cache.iterdir()) == []


def test_a_file_of_the_users_is_pinned_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path / "mine"))
    said, weights = [], record(sha256="")
    path = net(tmp_path / "mine")
    assert find(weights, said.append) == find(weights, said.append) == path
    assert len(said) == 1
    (tmp_path / "mine/net.pth.sha256").unlink()
    path.write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        find(weights)
    assert not (tmp_path / "mine/net.pth.sha256").exists()


def test_a_folder_that_takes_no_note_serves_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path / "mine"))
    path, said = net(tmp_path / "mine"), []
    (tmp_path / "mine/net.pth.sha256").mkdir()  # as good as a folder without leave to write
    assert find(record(sha256=""), said.append) == path
    assert sha256_of(path) in said[0]
    assert "cannot record" in said[0]


def test_what_nobody_hosts_is_not_fetched(tmp_path, monkeypatch, empty_cache):
    (tmp_path / "page").write_bytes(CONTENT)
    weights = replace(record(url=(tmp_path / "page").as_uri()), hosted=False)
    said = []
    with pytest.raises(WeightsError) as refusal:
        find(weights, said.append)
    assert str(refusal.value).startswith(f"nobody hosts net.pth: put that file into {empty_cache}")
    assert said == []
    assert not empty_cache.exists()
    empty_cache.mkdir(parents=True)
    (empty_cache / "net.pth").write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"\): name it with `weights` to use it as it is"):
        find(weights)
    (empty_cache / "net.pth").write_bytes(CONTENT)
    assert find(weights) == empty_cache / "net.pth"
