"""Where official weights are looked for, and what is refused."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from egofeat.errors import WeightsError
from egofeat.extract.weights import Weights, Wheel, find, read_tensors

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
        top1=0.0,
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
    with pytest.raises(WeightsError, match="delete it to have it fetched again"):
        find(record())


def test_tensors_are_read_from_either_format(tmp_path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "a.pth")
    save_file(tensors, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert torch.equal(read_tensors(tmp_path / name)["a"], tensors["a"])


class Malicious:
    """Would create a file if it were unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    torch.save({"a": Malicious(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth holds more than tensors"):
        read_tensors(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_a_damaged_file_is_one_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="bad") as refusal:
        read_tensors(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_a_model_that_is_no_state_dict(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_tensors(tmp_path / "absent.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="not a state dict"):
        read_tensors(tmp_path / "list.pth")
